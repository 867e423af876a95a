"""What the samples come to: rows with medians and ratios, and what they say about the bars."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from fingerpost.bench.rounds import Sample

BASES = ("nginx", "haproxy")
_US = "fingerpost"


@dataclass(frozen=True, slots=True)
class Row:
    """One peer's samples of one work and variant.

    Attributes:
        median: Of the sound samples' values; None without one. ``lowest`` and ``highest`` likewise.
        ratios: To each base, the median of the ratios within a round.
        per_s: Median of the rate, where the work has one.
        faults: Of all rounds together.
        failures: Why samples are missing, each reason once.
    """

    work: str
    variant: str
    peer: str
    median: float | None
    lowest: float | None
    highest: float | None
    ratios: dict[str, float]
    per_s: float | None
    faults: dict[str, int]
    failures: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing at all went wrong in it."""
        return not self.faults and not self.failures


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``most`` times what ``over`` needs; without ``over``, at most ``most`` in the work's unit."""

    most: float
    over: str | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """What fingerpost must reach in a work, and what it aims for."""

    work: str
    variant: str
    bar: Limit
    aim: Limit | None


BARS = (
    Bar("messages", "", Limit(1.15, "nginx"), Limit(1.0, "nginx")),
    Bar("requests", "varied", Limit(1.7, "nginx"), Limit(1.3, "nginx")),
    Bar("tunnels", "", Limit(1.0, "nginx"), Limit(1.0, "haproxy")),
    Bar("memory", "", Limit(6.0), Limit(3.0)),
    # The aim, that bytes never leave the kernel, is no figure: the data plane's tests look at it.
    Bar("bulk", "tunnel", Limit(0.5, "haproxy"), None),
    Bar("seal", "", Limit(0.25), Limit(0.15)),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar, what was found for it, and whether bar and aim are met; None where it can't be said."""

    bar: Bar
    found: float | None
    found_for_aim: float | None
    met: bool | None
    aim_met: bool | None


def rows(samples: Sequence[Sample]) -> list[Row]:
    """One row for each work, variant and peer, in the order in which they first occur."""
    groups: dict[tuple[str, str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.work, sample.variant, sample.peer), []).append(sample)
    return [_row(group, samples) for group in groups.values()]


def _row(group: list[Sample], samples: Sequence[Sample]) -> Row:
    first = group[0]
    values = [sample.value for sample in group if sample.sound and sample.value is not None]
    rates = [sample.details["per_s"] for sample in group if sample.sound and "per_s" in sample.details]
    ratios = {base: _ratio(group, samples, base) for base in BASES if base != first.peer}
    faults: Counter[str] = Counter()
    for sample in group:
        faults.update(sample.faults)
    return Row(
        first.work,
        first.variant,
        first.peer,
        median(values) if values else None,
        min(values, default=None),
        max(values, default=None),
        {base: ratio for base, ratio in ratios.items() if ratio is not None},
        median(rates) if rates else None,
        dict(faults),
        tuple(dict.fromkeys(sample.failure for sample in group if sample.failure)),
    )


def _ratio(group: list[Sample], samples: Sequence[Sample], base: str) -> float | None:
    """The median of the ratios within each round: what slowed a whole round down cancels out."""
    based = {
        sample.round: sample.value
        for sample in samples
        if (sample.work, sample.variant, sample.peer) == (group[0].work, group[0].variant, base) and sample.sound
    }
    found = [
        sample.value / below
        for sample in group
        if sample.sound and sample.value is not None and (below := based.get(sample.round))
    ]
    return median(found) if found else None


def verdicts(found: Sequence[Row]) -> list[Verdict]:
    """What the rows say about each bar whose work was measured."""
    ours = {(row.work, row.variant): row for row in found if row.peer == _US}
    return [_verdict(bar, ours[bar.work, bar.variant]) for bar in BARS if (bar.work, bar.variant) in ours]


def _verdict(bar: Bar, row: Row) -> Verdict:
    value = _value(bar.bar, row)
    for_aim = _value(bar.aim, row)
    return Verdict(bar, value, for_aim, _met(bar.bar, value, row), _met(bar.aim, for_aim, row))


def _value(limit: Limit | None, row: Row) -> float | None:
    if limit is None:
        return None
    return row.median if limit.over is None else row.ratios.get(limit.over)


def _met(limit: Limit | None, value: float | None, row: Row) -> bool | None:
    if limit is None:
        return None
    if row.faults:  # lost or altered bytes can't be made up for by speed
        return False
    return None if value is None or row.failures else value <= limit.most
