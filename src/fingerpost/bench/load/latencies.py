"""Latencies as counts in steps of one per cent, so that those of several processes can be added up."""

import math
from collections import Counter
from collections.abc import Iterable

_STEP = math.log(1.01)


def bucket(seconds: float) -> int:
    """The number of the step that a duration falls into; whole microseconds and more, in 1 % steps."""
    return round(math.log(max(seconds, 1e-6) * 1e6) / _STEP)


def counts(durations_s: Iterable[float]) -> Counter[int]:
    """How many fall into each step."""
    return Counter(map(bucket, durations_s))


def percentile_us(histogram: Counter[int], share: float) -> float:
    """The latency in µs that ``share`` (0…1) of all don't exceed, right to one per cent.

    Raises:
        ValueError: There are none.
    """
    if not histogram:
        raise ValueError("no latencies")
    wanted = math.ceil(share * histogram.total())
    for number in sorted(histogram):
        wanted -= histogram[number]
        if wanted <= 0:
            return math.exp(number * _STEP)
    return math.exp(max(histogram) * _STEP)
