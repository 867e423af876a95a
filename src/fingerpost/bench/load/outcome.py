"""What a load process did and what it found, and how the outcomes of several come to one."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fingerpost.bench.load import latencies


class FaultError(Exception):
    """Something a relay should not have done to one connection; the message is its kind, for counting."""


def fault_kind(error: OSError | FaultError) -> str:
    """The name under which an error is counted."""
    if isinstance(error, FaultError):
        return str(error)
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__


@dataclass(slots=True)
class Outcome:
    """What came of one command.

    Attributes:
        done: Units completed and checked: tunnels, messages, requests or bytes.
        began_s: When the first began, by the clock that all processes share (`time.monotonic`).
        ended_s: When the last was done.
        faults: How often what went wrong, by kind; empty when every byte was right.
        latencies: Counts by step, as `latencies` has them, where each unit was timed.
        longest_s: The longest latency.
        late: How many were later than the bound that was given.
    """

    done: int = 0
    began_s: float = 0.0
    ended_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    latencies: Counter[int] = field(default_factory=Counter)
    longest_s: float = 0.0
    late: int = 0

    @property
    def seconds(self) -> float:
        """From the start of the first to the end of the last."""
        return self.ended_s - self.began_s

    @classmethod
    def since(cls, began_s: float, done: int, faults: Counter[str]) -> "Outcome":
        """What came of the work that began then and ends now."""
        return cls(done, began_s, time.monotonic(), faults)

    def as_json(self) -> dict[str, object]:
        """What `from_json` takes."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, data: dict[str, object]) -> "Outcome":
        """Read back; JSON has made strings of the steps' numbers."""
        found = cls(**data)  # type: ignore[arg-type]
        found.faults = Counter(found.faults)
        found.latencies = Counter({int(number): count for number, count in found.latencies.items()})
        return found


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome of processes that worked side by side."""
    whole = Outcome(
        sum(outcome.done for outcome in outcomes),
        min(outcome.began_s for outcome in outcomes),
        max(outcome.ended_s for outcome in outcomes),
        longest_s=max(outcome.longest_s for outcome in outcomes),
        late=sum(outcome.late for outcome in outcomes),
    )
    for outcome in outcomes:
        whole.faults += outcome.faults
        whole.latencies += outcome.latencies
    return whole


def time_units(found: Outcome, durations_s: Sequence[float], late_s: float) -> Outcome:
    """Add how long each unit took, and how many took longer than ``late_s``."""
    found.latencies = latencies.counts(durations_s)
    found.longest_s = max(durations_s, default=0.0)
    found.late = sum(duration > late_s for duration in durations_s)
    return found
