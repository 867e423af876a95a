"""What an experiment is: what was asked, how large its load is, and how one peer is measured at one point."""

from collections.abc import Callable
from dataclasses import dataclass, field

from fingerpost.bench.load.clients import Clients
from fingerpost.bench.needs import Shape
from fingerpost.bench.peers import Peer
from fingerpost.bench.run import Asked
from fingerpost.bench.stage import Conditions, Stage, set_up

MESSAGE_BYTES = 1024
APPS = 6
"""Behind the relay, where an experiment isn't about their number."""

WARM_UP = 10
"""One part in so many of the work itself is done before anything is measured."""


@dataclass(slots=True)
class Reading:
    """What one peer yielded at one point, as `fingerpost.bench.run.Sample` has it."""

    figures: dict[str, float] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    failure: str | None = None
    verdict: str = ""
    said: str = ""


Measure = Callable[[Peer, str, Conditions], Reading]


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment.

    Attributes:
        asked: Its name, points and parameters.
        measure: Measures a peer at the point of that name.
        shape: How large the load is at that point.
        suits: Whether it can be asked of a peer at all.
    """

    asked: Asked
    measure: Measure
    shape: Callable[[str], Shape]
    suits: Callable[[Peer], bool] = lambda peer: True

    @property
    def name(self) -> str:
        """What the command line calls it."""
        return self.asked.name

    def peers(self, peers: list[Peer]) -> list[Peer]:
        """Those of the peers that it is measured with."""
        return [peer for peer in peers if self.suits(peer) and self.name in (peer.only_for or {self.name})]


def staged(
    asked: Asked,
    module: str,
    shape: Callable[[str], Shape],
    work: Callable[[Stage, Clients, str], dict[str, float]],
    *,
    processes: int = 0,
    judge: Callable[[Stage, Reading], str] = lambda stage, found: "",
    suits: Callable[[Peer], bool] = lambda peer: True,
) -> Experiment:
    """An experiment that has clients do something on a stage.

    Args:
        asked: Its name, points and parameters.
        module: Of the clients.
        shape: How large the load is at a point.
        work: Has it done at a point; returns the figures.
        processes: Of clients; 0: as many as the load needs.
        judge: Gives the verdict, where there is one.
        suits: Whether it can be asked of a peer at all.
    """

    def measure(peer: Peer, point: str, conditions: Conditions) -> Reading:
        with set_up(peer, conditions, shape(point)) as stage:
            clients = stage.clients(module, processes)
            figures = work(stage, clients, point)
            faults, failure = clients.faults(), stage.why_dead()
            found = Reading(figures, faults, failure, said=stage.said() if faults or failure else "")
            found.verdict = judge(stage, found)
            return found

    return Experiment(asked, measure, shape, suits)
