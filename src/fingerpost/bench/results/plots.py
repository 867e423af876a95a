"""Which plots a run has, and how they are saved; `drawing` knows how each is drawn.

matplotlib is imported only where something is drawn, and never by way of pyplot, which has global state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fingerpost.bench.results import capacity, wording
from fingerpost.bench.results.style import RC
from fingerpost.bench.results.summary import Summary
from fingerpost.bench.run import Asked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LATENCIES = ("p50_us", "p90_us", "p99_us", "max_us")
_ON_AN_AXIS = ("cpu_us", "peak_rss_mib")
_PNG_DOTS_PER_INCH = 150


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot.

    Attributes:
        name: Of its files, without the ending.
        experiment: What it belongs to.
        alt: What it shows, in words, for who can't see it.
    """

    name: str
    experiment: str
    alt: str
    figure: Figure


def all_of(summary: Summary) -> list[Plot]:
    """The plots of all experiments of which anything was measured."""
    import matplotlib

    with matplotlib.rc_context(RC):
        return [plot for asked in summary.run.asked if summary.rows(asked.name) for plot in _of(summary, asked)]


def save(plot: Plot, folder: Path) -> tuple[Path, Path]:
    """Write a plot as PNG and as SVG; the same run gives the same bytes."""
    import matplotlib

    png, svg = folder / f"{plot.name}.png", folder / f"{plot.name}.svg"
    with matplotlib.rc_context(RC):
        plot.figure.savefig(png, dpi=_PNG_DOTS_PER_INCH, facecolor="white", metadata={"Software": None})
        plot.figure.savefig(svg, transparent=True, metadata={"Date": None, "Creator": None})
    return png, svg


def _of(summary: Summary, asked: Asked) -> Iterator[Plot]:
    from fingerpost.bench.results import drawing

    if capacity.is_capacity(asked):
        figure = drawing.bands(summary, asked)
        yield Plot(f"{asked.name}-bands", asked.name, _alt_of_bands(summary, asked), figure)
        return
    for name in (asked.main, *(name for name in _ON_AN_AXIS if asked.axis and name != asked.main)):
        if any(name in row.figures for row in summary.rows(asked.name)):
            figure = drawing.lines(summary, asked, name) if asked.axis else drawing.bars(summary, asked, name)
            yield Plot(f"{asked.name}-{name}", asked.name, _alt(summary, asked, name), figure)
    if not asked.axis and any("p50_us" in row.figures for row in summary.rows(asked.name)):
        figure = drawing.latencies(summary, asked, _LATENCIES)
        yield Plot(f"{asked.name}-latency", asked.name, _alt(summary, asked, "p50_us"), figure)


def _alt(summary: Summary, asked: Asked, figure: str) -> str:
    """The plot's last point in words; the table beside it has the rest."""
    points = summary.points(asked)
    rows = [(peer, summary.row(asked.name, points[-1], peer)) for peer in summary.peers(asked.name)]
    values = [(peer, row.median(figure)) for peer, row in rows if row]
    told = ", ".join(f"{peer} {wording.quantity(figure, value)}" for peer, value in values if value is not None)
    at = f" at {points[-1]}" if points[-1] else ""
    return f"{asked.title}: {wording.labelled(figure, asked)}{at}: {told or 'nothing measured'}."


def _alt_of_bands(summary: Summary, asked: Asked) -> str:
    found = [capacity.reach(summary, asked, peer) for peer in summary.peers(asked.name)]
    told = ", ".join(f"{reach.peer} {f'to {reach.all_to}' if reach.all_to else 'at no step'}" for reach in found)
    return f"{asked.title}: all exchanged: {told}."
