"""When a label's time is over: texts such as ``8h``, and the three bytes of it in a label."""

import math
import re
import time
from datetime import timedelta

from fingerpost.errors import ConfigError

EPOCH_S = 1_704_067_200  # 2024-01-01 00:00 UTC
LAST_S = EPOCH_S + (2**24 - 1) * 60  # in November 2055
TTL_FORM = "a time such as 90s, 15m, 8h, 30d or 1h30m, longer than zero"

_TTL = re.compile(r"(?=.)(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
_UNITS_S = (86_400, 3_600, 60, 1)


def parse_ttl(ttl: str | float | timedelta) -> float:
    """How many seconds a time to live is.

    Args:
        ttl: Text such as ``90s``, ``15m``, ``8h``, ``30d``, ``1h30m``; or seconds; or a timedelta.

    Raises:
        ConfigError: It has another form, or isn't longer than zero.
    """
    seconds = math.nan
    if isinstance(ttl, timedelta):
        seconds = ttl.total_seconds()
    elif isinstance(ttl, str):
        if match := _TTL.fullmatch(ttl.strip()):
            counts = zip(match.groups(), _UNITS_S, strict=True)
            seconds = sum(int(count or 0) * unit_s for count, unit_s in counts)
    else:
        seconds = float(ttl)
    if not 0 < seconds < math.inf:
        raise ConfigError("ttl", ttl, TTL_FORM)
    return seconds


def minutes_until(ttl: str | float | timedelta | None, expires_at: float | None) -> int:
    """The expiry as a label holds it: whole minutes since `EPOCH_S`, rounded up so that no ttl is cut short.

    Args:
        ttl: From now on, as `parse_ttl` takes it; or None.
        expires_at: Unix seconds; or None.

    Returns:
        1 to 2**24 - 1; or 0 for never, when both are None.

    Raises:
        ConfigError: Both are given, or the time is outside of what three bytes can say.
    """
    if ttl is not None:
        if expires_at is not None:
            raise ConfigError("ttl", ttl, "either ttl or expires_at, not both")
        key, value, end_s = "ttl", ttl, time.time() + parse_ttl(ttl)
    elif expires_at is not None:
        key, value, end_s = "expires_at", expires_at, expires_at
    else:
        return 0
    if not EPOCH_S < end_s <= LAST_S:
        raise ConfigError(key, value, "an end between 2024-01-01 and November 2055, which a label can hold")
    return math.ceil((end_s - EPOCH_S) / 60)


def unix_seconds(minutes: int) -> int | None:
    """What `minutes_until` returned, as Unix seconds; None for never."""
    return EPOCH_S + minutes * 60 if minutes else None
