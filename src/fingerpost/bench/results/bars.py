"""The bars that the project set itself, and whether fingerpost's rows meet them."""

from dataclasses import dataclass

from fingerpost.bench.results.summary import US, Row, Summary, asked_by_name
from fingerpost.bench.results.wording import TIMES, labelled, number, place, title
from fingerpost.bench.run import ALL, Asked

EVERY_POINT = "*"

CAPACITY_SERVERS = 7000
"""Up to here everything is to be exchanged; further steps find out what the descriptors allow."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``most`` times what ``over`` needs; without ``over``, at most ``most`` in the figure's unit.

    Attributes:
        below: Whether it must be less than that; the same isn't enough.
        of_medians: Whether the two medians are divided. Otherwise it is the median of the ratios within each round.
    """

    most: float
    over: str | None = None
    below: bool = False
    of_medians: bool = False

    def __str__(self) -> str:
        sign = "<" if self.below else "≤"
        if self.over is None:
            return f"{sign} {self.most:g}"
        return f"{sign} {self.over}" if self.most == 1 else f"{sign} {self.most:g} {TIMES} {self.over}"

    def holds(self, value: float) -> bool:
        """Whether the value is within."""
        return value < self.most if self.below else value <= self.most


@dataclass(frozen=True, slots=True)
class Bar:
    """What fingerpost must reach in an experiment, and what it aims for.

    Attributes:
        point: The point that counts, or `EVERY_POINT`.
        figure: What is looked at; without one, that everything was exchanged.
    """

    experiment: str
    point: str
    figure: str
    bar: Limit | None = None
    aim: Limit | None = None


_NOT_SLOWER = [
    Bar(experiment, EVERY_POINT, figure, Limit(1.0, peer, below=figure == "cpu_us", of_medians=True))
    for experiment in ("servers", "clients")
    for peer in ("go", "node")
    for figure in ("seconds", "cpu_us")
]

BARS = (
    Bar("capacity", EVERY_POINT, ""),
    *_NOT_SLOWER,
    Bar("messages", "", "cpu_us", Limit(1.15, "nginx"), Limit(1.0, "nginx")),
    Bar("requests", "varied", "cpu_us", Limit(1.7, "nginx"), Limit(1.3, "nginx")),
    Bar("tunnels", "", "seconds", Limit(1.0, "nginx"), Limit(1.0, "haproxy")),
    Bar("memory", "", "kib_per_tunnel", Limit(6.0), Limit(3.0)),
    Bar("bulk", "tunnel", "cpu_s_per_gb", Limit(0.5, "haproxy")),
    Bar("seal", "", "seconds", Limit(0.25), Limit(0.15)),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar and what was found for it.

    Attributes:
        found: The worst of the values looked at; None where there is none.
        at: The point at which it was found, where the bar is about more than one.
        met: None where it can't be said: not measured at every point, or not soundly.
    """

    bar: Bar
    found: float | None
    at: str
    met: bool | None
    aim_met: bool | None


def verdicts(summary: Summary) -> list[Verdict]:
    """What the run says about each bar of the experiments and peers that it asked for; nothing if it was tiny."""
    asked = asked_by_name(summary.run)
    peers = summary.run.context.get("peers", {})
    found: list[Verdict] = []
    if summary.run.context.get("tiny"):
        return found
    for bar in BARS:
        if bar.experiment not in asked or US not in peers or (bar.bar and bar.bar.over and bar.bar.over not in peers):
            continue
        points = asked[bar.experiment].points
        if bar.bar is None:
            points = tuple(point for point in points if int(point) <= CAPACITY_SERVERS)
        if bar.point != EVERY_POINT:
            points = tuple(point for point in points if point == bar.point or len(points) == 1)
        if points:
            found.append(_verdict(bar, points, summary))
    return found


def _verdict(bar: Bar, points: tuple[str, ...], summary: Summary) -> Verdict:
    ours = [(point, summary.row(bar.experiment, point, US)) for point in points]
    if bar.bar is None:
        ends = [None if row is None else row.verdict == ALL and row.sound for _, row in ours]
        failed = [point for point, row in ours if row and not row.sound]
        return Verdict(bar, None, failed[0] if failed else "", _all(ends), None)
    values = [(value, point) for point, row in ours if (value := _value(bar, bar.bar, row, summary)) is not None]
    worst, at = max(values, default=(None, ""))
    met = _all([_met(bar, bar.bar, row, summary) for _, row in ours])
    aim_met = _all([_met(bar, bar.aim, row, summary) for _, row in ours]) if bar.aim else None
    return Verdict(bar, worst, at if len(points) > 1 else "", met, aim_met)


def _all(each: list[bool | None]) -> bool | None:
    """False if one is, else None if one is, else True."""
    return False if False in each else None if None in each else True


def _value(bar: Bar, limit: Limit, row: Row | None, summary: Summary) -> float | None:
    if row is None:
        return None
    ours = row.median(bar.figure)
    if limit.over is None:
        return ours
    if not limit.of_medians:
        pairs = summary.ratio(row.experiment, row.point, US, limit.over, bar.figure)
        return pairs.median if pairs else None
    base = summary.row(row.experiment, row.point, limit.over)
    theirs = base.median(bar.figure) if base else None
    return ours / theirs if ours is not None and theirs else None


def _met(bar: Bar, limit: Limit, row: Row | None, summary: Summary) -> bool | None:
    if row is None:
        return None
    if row.faults:  # lost or altered bytes can't be made up for by speed
        return False
    value = _value(bar, limit, row, summary)
    return None if value is None or row.failures else limit.holds(value)


def described(verdict: Verdict, asked: Asked) -> tuple[str, str, str]:
    """A verdict for people: what is looked at, what was found, what had to be reached."""
    bar = verdict.bar
    if bar.bar is None:
        found = f"not at {verdict.at}" if verdict.at else "at every step" if verdict.met else ""
        return f"{bar.experiment}: all exchanged", found, f"at every step to {CAPACITY_SERVERS}"
    point = "" if bar.point == EVERY_POINT else bar.point
    what = (
        f"{place(bar.experiment, point)}: {title(bar.figure, asked) if bar.bar.over else labelled(bar.figure, asked)}"
    )
    if verdict.found is None:
        return what, "", str(bar.bar)
    found = f"{verdict.found:.3f} {TIMES} {bar.bar.over}" if bar.bar.over else number(verdict.found)
    return what, f"{found} at {verdict.at}" if verdict.at else found, str(bar.bar)
