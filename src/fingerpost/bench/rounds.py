"""A run: every point of every experiment in rounds in which the peers take turns, so that a disturbance is shared."""

from collections.abc import Sequence
from dataclasses import dataclass

from fingerpost.bench import needs
from fingerpost.bench.errors import BenchError
from fingerpost.bench.experiments.experiment import Experiment
from fingerpost.bench.peers import Peer
from fingerpost.bench.run import RELAY_FAILED, Sample
from fingerpost.bench.stage import Conditions


@dataclass(frozen=True, slots=True)
class Step:
    """One sample to be taken."""

    experiment: Experiment
    point: str
    round: int
    peer: Peer


def all_steps(experiments: Sequence[Experiment], peers: Sequence[Peer], rounds: int) -> list[Step]:
    """The order of a run: experiment by experiment, point by point, A B C A B C. Missing peers have no steps."""
    present = [peer for peer in peers if peer.missing() is None]
    return [
        Step(experiment, point, number, peer)
        for experiment in experiments
        for point in experiment.asked.points
        for number in range(1, rounds + 1)
        for peer in experiment.peers(present)
    ]


def check_all(experiments: Sequence[Experiment], conditions: Conditions) -> None:
    """Find out whether this machine can carry every point.

    Raises:
        BenchError: One is beyond it.
    """
    for experiment in experiments:
        for point in experiment.asked.points:
            try:
                needs.check(experiment.shape(point), conditions.ports)
            except BenchError as error:
                at = f" at {point} {experiment.asked.axis}" if experiment.asked.axis else ""
                raise BenchError(f"{experiment.name}{at}: {error}") from error


def take(step: Step, conditions: Conditions) -> Sample:
    """Take one sample. What goes wrong with it is written down and does not end the run."""
    asked = step.experiment.asked
    place = (asked.name, step.point, step.round, step.peer.name)
    try:
        found = step.experiment.measure(step.peer, step.point, conditions)
    except (BenchError, OSError) as error:
        verdict = RELAY_FAILED if asked.name == "capacity" else ""
        return Sample(*place, failure=str(error), verdict=verdict)
    return Sample(*place, found.figures, found.faults, found.failure, found.verdict, found.said)
