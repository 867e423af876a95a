import math
import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerpost.errors import ConfigError
from fingerpost.label.expiry import EPOCH_S, LAST_S, minutes_until, parse_ttl, unix_seconds


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("8h", 28_800),
        ("30d", 2_592_000),
        ("1h30m", 5_400),
        ("1d2h3m4s", 93_784),
        (" 90s ", 90),
        (90, 90),
        (0.5, 0.5),
        (timedelta(minutes=2), 120),
    ],
)
def test_times_to_live(ttl: str | float | timedelta, seconds: float) -> None:
    assert parse_ttl(ttl) == seconds


@pytest.mark.parametrize(
    "ttl",
    [
        *("", " ", "90", "h", "1.5h", "-1h", "1h 30m", "30m1h", "1H", "1w", "0s", "0h0m", "٣h", "1" * 10 + "d"),
        *(0, -1, math.inf, math.nan, timedelta(0), timedelta(seconds=-1)),
    ],
)
def test_other_times_to_live_are_refused(ttl: str | float | timedelta) -> None:
    with pytest.raises(ConfigError, match=r"^ttl: .*expected a time such as 90s"):
        parse_ttl(ttl)


@given(st.floats(min_value=0.001, max_value=10 * 365 * 86_400))
def test_a_ttl_is_never_cut_short_and_at_most_a_minute_longer(ttl: float) -> None:
    before = time.time()
    ends = unix_seconds(minutes_until(ttl, None))
    after = time.time()
    assert ends is not None
    assert before + ttl <= ends < after + ttl + 60


@given(st.integers(EPOCH_S + 1, LAST_S))
def test_an_end_is_rounded_up_to_the_minute(expires_at: int) -> None:
    minutes = minutes_until(None, expires_at)
    assert 0 < minutes < 2**24
    assert 0 <= (unix_seconds(minutes) or 0) - expires_at < 60


def test_neither_ttl_nor_end_is_never() -> None:
    assert minutes_until(None, None) == 0
    assert unix_seconds(0) is None


@pytest.mark.parametrize("expires_at", [0, EPOCH_S, LAST_S + 1, -1, math.inf, math.nan])
def test_an_end_that_a_label_can_not_hold_is_refused(expires_at: float) -> None:
    with pytest.raises(ConfigError, match=r"^expires_at: .*2055"):
        minutes_until(None, expires_at)


@pytest.mark.parametrize("ttl", ["36500d", timedelta.max])
def test_a_ttl_that_a_label_can_not_hold_is_refused(ttl: str | timedelta) -> None:
    with pytest.raises(ConfigError, match=r"^ttl: .*2055"):
        minutes_until(ttl, None)


def test_both_ttl_and_end_are_refused() -> None:
    with pytest.raises(ConfigError, match="not both"):
        minutes_until("1h", EPOCH_S + 60)
