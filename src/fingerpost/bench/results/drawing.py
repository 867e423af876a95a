"""How each kind of plot is drawn: lines over an axis, bars, latency curves, capacity bands."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fingerpost.bench.results import capacity, published, wording
from fingerpost.bench.results.style import INK, VERDICT_COLOURS, VERDICT_HATCHES, Look, looks
from fingerpost.bench.results.summary import Row, Spread, Summary, is_ours, peer_states
from fingerpost.bench.run import Asked

_WIDTH = 8.0
_BETTER = "lower is better"


def lines(summary: Summary, asked: Asked, figure: str) -> Figure:
    """A figure over the experiment's axis: medians as lines, lowest to highest as a band."""
    drawn = Figure(figsize=(_WIDTH, 4.6), layout="constrained")
    axes = drawn.add_subplot()
    ends: list[tuple[float, Any]] = []
    for peer, look in _looks(summary, asked).items():
        rows = [
            row for point in asked.points if (row := summary.row(asked.name, point, peer)) and figure in row.figures
        ]
        if rows:
            ends.append(_line(axes, peer, look, [float(row.point) for row in rows], _spreads(rows, figure)))
    theirs = published.seconds(asked) if figure == "seconds" else {}
    for relay, values in theirs.items():
        x = [float(point) for point in values]
        look = looks([relay])[relay]
        (line,) = axes.plot(
            x,
            list(values.values()),
            color=look.colour,
            linewidth=1,
            linestyle=(0, (4, 3)),
            marker=".",
            markersize=4,
            alpha=0.8,
        )
        line.set_label(f"{relay}, published\n(other machine)")
        ends.append((list(values.values())[-1], line))
    _dress(drawn, axes, asked, figure)
    axes.set_xlabel(asked.axis)
    axes.set_ylim(bottom=0)
    axes.set_xticks([float(point) for point in asked.points], asked.points)
    axes.grid(axis="y")
    # In the order in which the lines end, so that the eye goes straight across.
    handles = [line for _, line in sorted(ends, key=lambda end: -end[0])]
    drawn.legend(handles=handles, loc="outside right center")
    return drawn


def bars(summary: Summary, asked: Asked, figure: str) -> Figure:
    """A figure for each peer and point: medians as bars, lowest to highest as whiskers."""
    look = _looks(summary, asked)
    points = [point for point in summary.points(asked) if any(_rows(summary, asked, point, figure))]
    counts = [len(_rows(summary, asked, point, figure)) for point in points]
    drawn = Figure(figsize=(_WIDTH, 1.3 + 0.36 * sum(counts) + 0.35 * len(points)), layout="constrained")
    panels = drawn.subplots(len(points), 1, sharex=True, squeeze=False, height_ratios=counts)
    for axes, point in zip(panels[:, 0], points, strict=True):
        rows = _rows(summary, asked, point, figure)
        for number, row in enumerate(rows):
            spread = row.figures[figure]
            axes.barh(number, spread.median, color=look[row.peer].colour, height=0.7)
            if spread.count > 1:
                axes.errorbar(spread.median, number, xerr=_whiskers([spread]), color=INK, capsize=3, linewidth=1)
            text = wording.quantity(figure, spread.median)
            axes.annotate(text, (spread.highest, number), (6, 0), textcoords="offset points", va="center", fontsize=9)
        axes.set_yticks(range(len(rows)), [row.peer for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_xlim(left=0)
        axes.grid(axis="x")
        if point and len(points) > 1:
            axes.set_ylabel(point)
    panels[-1, 0].set_xlabel(wording.labelled(figure, asked))
    _title(drawn, asked, wording.title(figure, asked))
    return drawn


def latencies(summary: Summary, asked: Asked, figures: Sequence[str]) -> Figure:
    """Median, 90th, 99th percentile and the longest, on a logarithmic axis, for the experiment's first point."""
    drawn = Figure(figsize=(_WIDTH, 4.6), layout="constrained")
    axes = drawn.add_subplot()
    point = summary.points(asked)[0]
    ends: list[tuple[float, Any]] = []
    for peer, look in _looks(summary, asked).items():
        row = summary.row(asked.name, point, peer)
        there = [name for name in figures if row and name in row.figures]
        if row and there:
            x = [float(figures.index(name)) for name in there]
            ends.append(_line(axes, peer, look, x, [row.figures[name] for name in there]))
    axes.set_yscale("log")
    axes.set_xticks(range(len(figures)), [wording.title(name, asked) for name in figures])
    axes.set_ylabel("latency (µs)")
    for ticks in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        ticks(lambda value, _: f"{value:,.0f}" if f"{value:.0e}"[0] in "125" else "")
    axes.grid(axis="y", which="both")
    _title(drawn, asked, f"latency{f', {point}' if point else ''}")
    drawn.legend(handles=[line for _, line in sorted(ends, key=lambda end: -end[0])], loc="outside right center")
    return drawn


def bands(summary: Summary, asked: Asked) -> Figure:
    """One bar for each peer: how far all was exchanged, where some was lost, where the relay failed."""
    ours = [capacity.reach(summary, asked, peer) for peer in summary.peers(asked.name)]
    theirs = capacity.published_reaches(asked)
    farthest = max((band.to for reach in ours for band in reach.bands), default=0)
    if not any(band.to <= farthest for reach in theirs for band in reach.bands):
        theirs = []  # a small run beside them would be a row of slivers
    drawn = Figure(figsize=(_WIDTH, 1.7 + 0.4 * (len(ours) + len(theirs))), layout="constrained")
    axes = drawn.add_subplot()
    for number, reach in enumerate([*ours, *theirs]):
        pale = 1.0 if number < len(ours) else 0.4
        y = number if number < len(ours) else number + 0.4  # a gap before what is of another machine
        for band in reach.bands:
            look: dict[str, Any] = {"facecolor": VERDICT_COLOURS[band.verdict], "hatch": VERDICT_HATCHES[band.verdict]}
            axes.barh(
                y, band.to - band.above, left=band.above, height=0.7, alpha=pale, edgecolor="white", linewidth=0, **look
            )
        if reach.all_to and reach.bands:
            text = f"all to {reach.all_to}"
            axes.annotate(text, (reach.bands[-1].to, y), (6, 0), textcoords="offset points", va="center", fontsize=9)
    places = [number if number < len(ours) else number + 0.4 for number in range(len(ours) + len(theirs))]
    axes.set_yticks(places, [reach.peer for reach in [*ours, *theirs]])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.margins(x=0.14)
    axes.set_xlim(left=0)
    axes.grid(axis="x")
    axes.set_xlabel(asked.axis)
    keys = [
        Patch(facecolor=colour, hatch=VERDICT_HATCHES[verdict], edgecolor="white", linewidth=0, label=verdict)
        for verdict, colour in VERDICT_COLOURS.items()
    ]
    drawn.legend(handles=keys, loc="outside lower center", ncols=3)
    drawn.suptitle(
        f"{asked.name}: how far everything was exchanged (farther is better)",
        fontsize=11,
        fontweight="bold",
        x=0.02,
        ha="left",
    )
    axes.set_title(asked.title, fontsize=9, fontweight="normal")
    return drawn


def _looks(summary: Summary, asked: Asked) -> dict[str, Look]:
    """The looks of the experiment's peers, given out over the whole run: a peer looks the same in all its plots."""
    everywhere = looks([*peer_states(summary.run), *dict.fromkeys(sample.peer for sample in summary.run.samples)])
    return {peer: everywhere[peer] for peer in summary.peers(asked.name)}


def _rows(summary: Summary, asked: Asked, point: str, figure: str) -> list[Row]:
    rows = [summary.row(asked.name, point, peer) for peer in summary.peers(asked.name)]
    return [row for row in rows if row and figure in row.figures]


def _spreads(rows: Sequence[Row], figure: str) -> list[Spread]:
    return [row.figures[figure] for row in rows]


def _whiskers(spreads: Sequence[Spread]) -> list[list[float]]:
    return [[s.median - s.lowest for s in spreads], [s.highest - s.median for s in spreads]]


def _line(axes: Axes, peer: str, look: Look, x: Sequence[float], spreads: Sequence[Spread]) -> tuple[float, Any]:
    """Draw one peer; return where its line ends, and the line."""
    medians = [spread.median for spread in spreads]
    width, size, above = (2.4, 5.5, 4) if is_ours(peer) else (1.5, 4.5, 3)
    (line,) = axes.plot(
        x, medians, color=look.colour, marker=look.mark, linewidth=width, markersize=size, zorder=above, label=peer
    )
    if len(x) > 1:
        lowest, highest = [s.lowest for s in spreads], [s.highest for s in spreads]
        axes.fill_between(x, lowest, highest, color=look.colour, alpha=0.16, linewidth=0)
    else:
        axes.errorbar(x, medians, yerr=_whiskers(spreads), color=look.colour, capsize=4)
    return medians[-1], line


def _dress(drawn: Figure, axes: Axes, asked: Asked, figure: str) -> None:
    axes.set_ylabel(wording.labelled(figure, asked))
    _title(drawn, asked, wording.title(figure, asked))


def _title(drawn: Figure, asked: Asked, what: str) -> None:
    drawn.suptitle(f"{asked.name}: {what} ({_BETTER})", fontsize=11, fontweight="bold", x=0.02, ha="left")
    drawn.axes[0].set_title(asked.title, fontsize=9, fontweight="normal")
