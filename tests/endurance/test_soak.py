"""Two minutes of the soak, whose long form is `make soak`."""

from pathlib import Path

import pytest

from endurance.soak import soak


@pytest.mark.timeout(200)
def test_two_minutes_of_mixed_traffic_leave_memory_and_descriptors_flat_and_no_error(tmp_path: Path) -> None:
    report = soak(120.0, tmp_path)
    assert report.problems() == []
