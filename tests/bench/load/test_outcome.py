"""What several processes found comes to one, and survives the way between processes."""

import errno
import json
from collections import Counter

import pytest

from fingerpost.bench.load.outcome import FaultError, Outcome, fault_kind, time_units, together


def test_an_outcome_is_the_same_after_its_way_as_json() -> None:
    found = time_units(Outcome(3, 1.0, 2.5, Counter({"lost": 2})), [0.001, 0.002, 0.5], late_s=0.1)
    assert Outcome.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_processes_that_worked_side_by_side_took_from_the_first_start_to_the_last_end() -> None:
    one = time_units(Outcome(3, 1.0, 4.0, Counter({"lost": 1})), [0.1], late_s=0.05)
    other = time_units(Outcome(4, 2.0, 6.0, Counter({"lost": 2, "altered": 1})), [0.3], late_s=0.5)
    whole = together([one, other])
    assert (whole.done, whole.seconds, whole.longest_s, whole.late) == (7, 5.0, 0.3, 1)
    assert whole.faults == {"lost": 3, "altered": 1}
    assert whole.latencies.total() == 2


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionResetError(errno.ECONNRESET, "x"), "connection reset by peer"),
        (TimeoutError(), "TimeoutError"),
        (FaultError("closed early"), "closed early"),
    ],
)
def test_a_fault_has_a_name(error: OSError | FaultError, kind: str) -> None:
    assert fault_kind(error) == kind
