"""Percentiles of latencies that were counted in steps."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerpost.bench.load.latencies import counts, percentile_us


@given(st.lists(st.floats(2e-6, 100.0), min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_right_to_one_per_cent(durations_s: list[float], share: float) -> None:
    wanted = sorted(durations_s)[max(0, -(-len(durations_s) * share // 1).__int__() - 1)] * 1e6
    assert percentile_us(counts(durations_s), share) == pytest.approx(wanted, rel=0.0101)


def test_counts_of_several_processes_add_up() -> None:
    fast, slow = counts([0.001] * 99), counts([1.0])
    assert percentile_us(fast + slow, 0.5) == pytest.approx(1000, rel=0.01)
    assert percentile_us(fast + slow, 1.0) == pytest.approx(1e6, rel=0.01)


def test_there_is_none_of_nothing() -> None:
    with pytest.raises(ValueError, match="no latencies"):
        percentile_us(Counter(), 0.5)
