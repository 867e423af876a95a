"""A run: every point of every experiment in rounds in which the peers take turns, so that a disturbance is shared."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from fingerpost.bench import needs
from fingerpost.bench.errors import BenchError, RelayError
from fingerpost.bench.experiments.experiment import Experiment
from fingerpost.bench.peers import Peer
from fingerpost.bench.run import NOT_MEASURED, RELAY_FAILED, Sample
from fingerpost.bench.stage import Conditions

log = logging.getLogger("fingerpost.bench")


@dataclass(frozen=True, slots=True)
class Step:
    """One sample to be taken."""

    experiment: Experiment
    point: str
    round: int
    peer: Peer


def all_steps(experiments: Sequence[Experiment], peers: Sequence[Peer], rounds: int) -> list[Step]:
    """The order of a run: by experiment, by point, and A B C, B C A, C A B. Missing peers have no steps."""
    present = [peer for peer in peers if peer.missing() is None]
    return [
        Step(experiment, point, number, peer)
        for experiment in experiments
        for point in experiment.asked.points
        for number in range(1, rounds + 1)
        for peer in _rotated(experiment.peers(present), number - 1)
    ]


def _rotated(peers: list[Peer], by: int) -> list[Peer]:
    """Each round begins with another peer, so that none always follows the same one."""
    start = by % max(1, len(peers))
    return peers[start:] + peers[:start]


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
    failed, not_measured = (RELAY_FAILED, NOT_MEASURED) if asked.name == "capacity" else ("", "")
    try:
        found = step.experiment.measure(step.peer, step.point, conditions)
    except RelayError as error:
        return Sample(*place, failure=str(error), verdict=failed)
    except BenchError as error:
        return Sample(*place, failure=str(error), verdict=not_measured)
    except Exception as error:  # a bug of ours costs one sample, and is not the relay's fault
        log.exception("%s at %s with %s could not be measured", asked.name, step.point, step.peer.name)
        why = f"the benchmark itself failed: {type(error).__name__}: {error}"
        return Sample(*place, failure=why, verdict=not_measured)
    return Sample(*place, found.figures, found.faults, found.failure, found.verdict, found.said)
