"""A run's tables as cells, the same for the terminal, a Markdown page and the report."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fingerpost.bench.results import bars, capacity, published, wording
from fingerpost.bench.results.summary import US, Row, Summary, asked_by_name
from fingerpost.bench.run import ALL, NOT_MEASURED, RELAY_FAILED, SOME_LOST, Asked

TONES = {ALL: "good", SOME_LOST: "warn", RELAY_FAILED: "bad", NOT_MEASURED: "dim"}

# In the order in which a list of peers shows them, after the figure that decides.
_COLUMNS = (
    *("per_s", "cpu_us", "relay_busy", "load_busy", "p50_us", "p90_us", "p99_us", "max_us", "peak_rss_mib"),
    *("late", "lost"),
)
_SHOULD_BE_NOTHING = ("late", "lost")
_ENOUGH_ROUNDS = 3
_ON_AN_AXIS = ("cpu_us", "peak_rss_mib")
_DETAILS_ON_AN_AXIS = ("per_s", "open_s", "exchange_s")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        spread: Lowest and highest, where there are several rounds.
        more: What else is worth a line: a ratio, how busy the load was.
        tone: ``good``, ``warn``, ``bad``, ``dim`` or empty.
    """

    text: str = ""
    spread: str = ""
    more: tuple[str, ...] = ()
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table.

    Attributes:
        columns: Titles; the unit may follow after a line break.
        labels: How many columns at the left say what a row is about.
        note: What a reader needs to know to read it.
        text: Whether the cells are words and not numbers.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]] = ()
    labels: int = 1
    note: str = ""
    text: bool = False


def of(summary: Summary, asked: Asked, base: str = US, *, details: bool = False) -> list[Sheet]:
    """The tables of one experiment.

    Args:
        summary: The run.
        asked: The experiment.
        base: The peer to which the others' figures are held, pair by pair.
        details: Whether figures that only explain the others are wanted too.
    """
    if not summary.rows(asked.name):
        return []
    if capacity.is_capacity(asked):
        return [_reaches(summary, asked), _steps(summary, asked)]
    if asked.axis:
        wanted = _ON_AN_AXIS + _DETAILS_ON_AN_AXIS if details else _ON_AN_AXIS
        figures = [asked.main, *(figure for figure in wanted if figure != asked.main)]
        return [_matrix(summary, asked, figure, base) for figure in figures if _has(summary, asked, figure)]
    return [_list(summary, asked, base)]


def _has(summary: Summary, asked: Asked, figure: str) -> bool:
    return figure == asked.main or any(figure in row.figures for row in summary.rows(asked.name))


def _matrix(summary: Summary, asked: Asked, figure: str, base: str) -> Sheet:
    """Points by peers, one figure."""
    peers = summary.peers(asked.name)
    if figure != asked.main:  # what only a relay has: no column for who has none
        peers = [p for p in peers if any(figure in row.figures for row in summary.rows(asked.name) if row.peer == p)]
    theirs = published.seconds(asked) if figure == "seconds" else {}
    rows = []
    for point in summary.points(asked):
        cells = [_figure_cell(summary, asked, point, peer, figure, base) for peer in peers]
        cells += [_published_cell(values.get(point)) for values in theirs.values()]
        rows.append((Cell(point), *cells))
    note = f"{wording.TIMES} is to {base}, within each round." if base in peers and len(peers) > 1 else ""
    if theirs:
        note += " The published columns are of another machine: for the shape of the curve only."
    return Sheet(
        f"{asked.name}: {wording.labelled(figure, asked)}",
        (
            asked.axis.replace(" per ", "\nper "),
            *peers,
            *(published.TITLES[relay].replace(" ", "\n") for relay in theirs),
        ),
        rows,
        note=note.strip(),
    )


def _figure_cell(summary: Summary, asked: Asked, point: str, peer: str, figure: str, base: str) -> Cell:
    row = summary.row(asked.name, point, peer)
    if row is None:
        return Cell(wording.NOTHING, tone="dim")
    spread = row.figures.get(figure)
    if spread is None:
        return Cell("failed" if not row.sound else wording.NOTHING, tone="bad" if not row.sound else "dim")
    ratio = "" if peer == base else wording.times(summary.ratio(asked.name, point, peer, base, figure))
    busy = row.median("load_busy") if figure == "cpu_us" else None
    load = f"load {busy:.0%}" if busy is not None else ""
    # A row with a fault in one round still shows the others' figures, but never without a mark.
    return Cell(
        wording.quantity(figure, spread.median) + ("" if row.sound else " !"),
        wording.span(spread),
        tuple(filter(None, (ratio, load))),
        "" if row.sound else "bad",
    )


def _published_cell(value: float | None) -> Cell:
    return Cell(wording.NOTHING if value is None else f"{value:.2f}", tone="dim")


def _list(summary: Summary, asked: Asked, base: str) -> Sheet:
    """Peers below each other, their figures side by side."""
    rows_found = summary.rows(asked.name)
    figures = [f for f in _COLUMNS if f != asked.main and _worth_a_column(f, rows_found)]
    peers = summary.peers(asked.name)
    points = summary.points(asked)
    named = len(points) > 1
    held = base in peers and len(peers) > 1
    several = any(row.rounds > 1 for row in rows_found)
    head = ["variant"] * named + ["peer", _column(asked.main, asked)]
    head += [f"lowest{wording.DASH}\nhighest"] * several + [f"{wording.TIMES} {base}"] * held
    rows: list[tuple[Cell, ...]] = []
    for point in points:
        for number, row in enumerate(row for peer in peers if (row := summary.row(asked.name, point, peer))):
            main = _figure_cell(summary, asked, point, row.peer, asked.main, row.peer)
            ratio = wording.times(summary.ratio(asked.name, point, row.peer, base, asked.main))
            cells = [Cell(point if not number else "")] * named + [Cell(row.peer), Cell(main.text, tone=main.tone)]
            cells += [Cell(main.spread, tone="dim")] * several + [Cell("" if row.peer == base else ratio)] * held
            rows.append((*cells, *(_plain_cell(row, figure) for figure in figures)))
    columns = (*head, *(_column(figure, asked) for figure in figures))
    note = f"{wording.TIMES} is to {base}, within each round." if held else ""
    return Sheet(f"{asked.name}: {asked.title}", columns, rows, labels=1 + named, note=note)


def _worth_a_column(figure: str, rows: Sequence[Row]) -> bool:
    """Whether anybody has it; of what should be 0, whether anybody has more."""
    values = [row.figures[figure].highest for row in rows if figure in row.figures]
    return any(values) if figure in _SHOULD_BE_NOTHING else bool(values)


def _column(figure: str, asked: Asked) -> str:
    unit = wording.unit(figure)
    return wording.title(figure, asked) + (f"\n{unit}" if unit else "")


def _plain_cell(row: Row, figure: str) -> Cell:
    spread = row.figures.get(figure)
    return Cell(wording.quantity(figure, spread.median)) if spread else Cell()


def _reaches(summary: Summary, asked: Asked) -> Sheet:
    """How far each peer came, and why no further."""
    rows: list[tuple[Cell, ...]] = []
    for peer in summary.peers(asked.name):
        found = capacity.reach(summary, asked, peer)
        rows.append(
            (
                Cell(peer),
                Cell(found.all_to or "none", tone="good" if found.all_to else "bad"),
                Cell(found.some_lost or wording.NOTHING, tone="warn" if found.some_lost else "dim"),
                Cell(found.failed or wording.NOTHING, tone="bad" if found.failed else "dim"),
                Cell(found.why),
            )
        )
    for found in capacity.published_reaches(asked):
        texts = (found.peer, found.all_to, found.some_lost, found.failed, "")
        rows.append(tuple(Cell(wording.NOTHING if text is None else text, tone="dim") for text in texts))
    columns = ("peer", "all exchanged to", "some lost from", "failed from", "why no further")
    return Sheet(f"{asked.name}: {asked.title}", columns, rows, text=True)


def _steps(summary: Summary, asked: Asked) -> Sheet:
    """What became of each step."""
    peers = summary.peers(asked.name)
    rows = [
        (Cell(point), *(_step_cell(summary.row(asked.name, point, peer)) for peer in peers))
        for point in summary.points(asked)
    ]
    note = "The worst of the rounds, and in how many of them it was so unless in all."
    return Sheet(f"{asked.name}, step by step", (asked.axis or "step", *peers), rows, note=note, text=True)


def _step_cell(row: Row | None) -> Cell:
    if row is None:
        return Cell("not tried", tone="dim")
    verdict = capacity.step_verdict(row)
    lost = f"{row.lost:,} lost" if row.lost else SOME_LOST
    text = {ALL: "all", SOME_LOST: lost, RELAY_FAILED: "failed", NOT_MEASURED: NOT_MEASURED}[verdict]
    count = row.verdicts.get(verdict, row.rounds)
    return Cell(text, more=(f"{count} of {row.rounds}",) if count < row.rounds else (), tone=TONES[verdict])


def bars_sheet(summary: Summary) -> Sheet | None:
    """How fingerpost stands to the bars of the experiments that were asked for; None if none of them has a bar."""
    rows = []
    asked = asked_by_name(summary.run)
    for verdict in bars.verdicts(summary):
        what, found, limit = bars.described(verdict, asked[verdict.bar.experiment])
        aim = _met(verdict.aim_met, f"{verdict.bar.aim}: ") if verdict.bar.aim else Cell()
        rows.append((Cell(what), Cell(found), _met(verdict.met, f"{limit}: "), aim))
    if not rows:
        return None
    columns = ("what", "found", "bar", "aim")
    few = min((row.rounds for row in summary.rows() if row.peer == US), default=0) < _ENOUGH_ROUNDS
    note = f"With fewer than {_ENOUGH_ROUNDS} rounds of each this says little." if few else ""
    return Sheet(f"{US} against the bars that the project set itself", columns, rows, note=note, text=True)


def _met(met: bool | None, limit: str) -> Cell:
    if met is None:
        return Cell(f"{limit}not measured", tone="dim")
    return Cell(f"{limit}met", tone="good") if met else Cell(f"{limit}not met", tone="bad")


def context_rows(summary: Summary) -> list[tuple[str, str]]:
    """Where and how the run was made, as names and values."""
    return list(_flat(summary.run.context.items()))


def _flat(items: Iterable[tuple[str, object]]) -> Iterable[tuple[str, str]]:
    for name, value in items:
        if name == "pinned" and isinstance(value, dict):
            yield name, "; ".join(_pinned(value))
        elif isinstance(value, dict):
            yield name, "; ".join(f"{key}: {item}" for key, item in value.items())
        else:
            yield name, {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _pinned(places: dict[str, str]) -> Iterable[str]:
    """Each placement once, with the experiments that had it if there are several."""
    for place in dict.fromkeys(places.values()):
        names = [name for name, there in places.items() if there == place]
        yield place if len(names) == len(places) else f"{place} ({', '.join(names)})"
