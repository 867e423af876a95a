"""How numbers, ranges and whatever went wrong are put into words; the same in every form of output."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from fingerpost.bench.results.summary import Row, Spread
from fingerpost.bench.run import FIGURES, SOME_LOST, Asked

TIMES = "\N{MULTIPLICATION SIGN}"
OVER = "\N{DIVISION SIGN}"
DASH = "\N{EN DASH}"
NOTHING = DASH

# What stands above a column; the full titles are in FIGURES.
_SHORT = {
    "seconds": "time",
    "open_s": "time to open",
    "exchange_s": "time to exchange",
    "per_s": "rate",
    "relay_busy": "relay busy",
    "load_busy": "load busy",
    "peak_rss_mib": "peak memory",
    "kib_per_tunnel": "memory per tunnel",
    "cpu_s_per_gb": "CPU per GB",
    "p50_us": "p50",
    "p90_us": "p90",
    "p99_us": "p99",
    "max_us": "longest",
    "late": "late",
}


def number(value: float) -> str:
    """A number with three digits that count, and never in powers of ten where people would have to think."""
    size = abs(value)
    if size >= 1e9:
        return f"{value / 1e9:.2f} G"
    if size >= 1e6:
        return f"{value / 1e6:.3g} M"
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 1 or not size:
        return f"{value:.2f}"
    return f"{value:.3f}" if size >= 0.1 else f"{value:.3g}"


def quantity(figure: str, value: float) -> str:
    """A figure's value, without its unit; shares are given in percent."""
    if FIGURES[figure].unit == "share":
        return f"{value:.0%}"
    whole = not FIGURES[figure].unit and value == round(value)
    return f"{round(value):,}" if whole else number(value)


def span(spread: Spread, gap: str = "") -> str:
    """Lowest and highest; empty for one round, whose range would look like precision."""
    return f"{number(spread.lowest)}{gap}{DASH}{gap}{number(spread.highest)}" if spread.count > 1 else ""


def times(ratio: Spread | None) -> str:
    """A ratio's median."""
    return f"{TIMES}{ratio.median:.2f}" if ratio else ""


def title(figure: str, asked: Asked | None = None) -> str:
    """A figure's short title, with what a unit is in this experiment."""
    if figure == "cpu_us":
        return f"CPU per {asked.unit_of_work if asked else 'unit'}"
    return _SHORT.get(figure, FIGURES[figure].title)


def unit(figure: str) -> str:
    """A figure's unit for people; empty where it has none or the values carry it."""
    return "" if FIGURES[figure].unit == "share" else FIGURES[figure].unit


def labelled(figure: str, asked: Asked) -> str:
    """Title and unit: ``CPU per message (µs)``."""
    return f"{title(figure, asked)} ({unit(figure)})" if unit(figure) else title(figure, asked)


def place(experiment: str, point: str) -> str:
    """``servers 275``, ``messages``."""
    return f"{experiment} {point}" if point else experiment


def counted(faults: Mapping[str, int]) -> str:
    """How often each kind of fault was seen."""
    return ", ".join(f"{count:,} {TIMES} {kind}" for kind, count in faults.items())


def wrong(rows: Sequence[Row]) -> str:
    """What went wrong in rows of one peer, together, without what the relay said; empty if nothing did."""
    faults: Counter[str] = Counter()
    for row in rows:
        faults.update(row.faults)
    parts = [counted(faults)] if faults else []
    if not faults and (lost := sum(row.lost for row in rows if row.verdict == SOME_LOST)):
        parts.append(f"{lost:,} lost")
    parts += dict.fromkeys(failure for row in rows for failure in row.failures)
    tried = sum(row.rounds for row in rows)
    bad = sum(not sample.sound for row in rows for sample in row.samples)
    if parts and 0 < bad < tried:
        parts.append(f"in {bad} of {tried} samples")
    return "; ".join(parts)


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def stretches(points: Iterable[str], among: Sequence[str]) -> str:
    """Points in words, runs of neighbours as a stretch: ``50 to 150 and 275``."""
    wanted = set(points)
    runs: list[list[str]] = []
    before = False
    for point in among:
        if point in wanted and before:
            runs[-1].append(point)
        elif point in wanted:
            runs.append([point])
        before = point in wanted
    return listed([run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs])
