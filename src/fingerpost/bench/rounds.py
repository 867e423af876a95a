"""A run: every work in rounds in which the peers take turns, so that a disturbance is shared by all."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fingerpost.bench.errors import BenchError
from fingerpost.bench.peers import Peer
from fingerpost.bench.works import Conditions, Work


@dataclass(frozen=True, slots=True)
class Step:
    """One sample to be taken."""

    work: Work
    variant: str
    round: int
    peer: Peer


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample taken: a figure with its place in the run, or why there is none.

    Attributes:
        value: In the work's unit; None without one.
        details: What else was seen.
        faults: What the clients found wrong, by kind.
        failure: Why it could not be measured.
    """

    work: str
    variant: str
    round: int
    peer: str
    value: float | None = None
    details: dict[str, float] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    failure: str | None = None

    @property
    def sound(self) -> bool:
        """Whether its value may be used: it could be measured and every byte was right."""
        return self.failure is None and not self.faults


def all_steps(works: Sequence[Work], peers: Sequence[Peer], rounds: int) -> list[Step]:
    """The order of a run: work by work, variant by variant, A B C A B C.

    A missing peer has no steps.
    """
    present = [peer for peer in peers if peer.missing() is None]
    return [
        Step(work, variant, number, peer)
        for work in works
        for variant in work.variants
        for number in range(1, rounds + 1)
        for peer in present
        if work.suits(peer) and peer.only_for in ("", work.name)
    ]


def take(step: Step, conditions: Conditions) -> Sample:
    """Take one sample. What goes wrong with it is written down and does not end the run."""
    place = (step.work.name, step.variant, step.round, step.peer.name)
    try:
        figure = step.work.measure(step.peer, replace(conditions, variant=step.variant))
    except (BenchError, OSError) as error:
        return Sample(*place, failure=str(error))
    return Sample(*place, figure.value, figure.details, figure.faults)
