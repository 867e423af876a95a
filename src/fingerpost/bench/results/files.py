"""A run's folder: the run itself, its samples and rows as CSV, plots, and the report."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from fingerpost.bench.results import plots, report
from fingerpost.bench.results.summary import Summary
from fingerpost.bench.run import FIGURES, FILE_NAME, Run

SAMPLES = "samples.csv"
ROWS = "rows.csv"
REPORT = "report.html"
PLOT_FOLDER = "plots"


def write(run: Run, folder: Path) -> list[Path]:
    """Write everything that is made from a run.

    Args:
        run: The run; one that was interrupted, or in which everything failed, too.
        folder: Where to; made if it isn't there. What lies there from before is replaced.

    Returns:
        What was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    summary = Summary(run)
    run.save(folder)
    written = [folder / FILE_NAME]
    written.append(_write_csv(folder / SAMPLES, _sample_rows(run)))
    written.append(_write_csv(folder / ROWS, _summary_rows(summary)))
    pictures = []
    for plot, png, svg in _write_plots(summary, folder / PLOT_FOLDER):
        written += [png, svg]
        pictures.append(report.Picture(plot.name, plot.experiment, plot.alt, svg.read_text(encoding="utf-8")))
    page = folder / REPORT
    page.write_text(report.page(summary, pictures), encoding="utf-8")
    return [*written, page]


def _write_plots(summary: Summary, folder: Path) -> list[tuple[plots.Plot, Path, Path]]:
    """The plots as PNG and SVG."""
    folder.mkdir(exist_ok=True)
    # Plots of an earlier, larger run in the same folder would look like this run's.
    for old in (*folder.glob("*.png"), *folder.glob("*.svg")):
        old.unlink()
    return [(plot, *plots.save(plot, folder)) for plot in plots.all_of(summary)]


def _write_csv(file: Path, rows: Iterable[Sequence[object]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as text:
        csv.writer(text, lineterminator="\n").writerows(rows)
    return file


def _sample_rows(run: Run) -> Iterable[Sequence[object]]:
    """One row a sample. A figure that it doesn't have is an empty cell, not 0."""
    names = _figures(run)
    yield ["experiment", "point", "round", "peer", "sound", *names, "verdict", "faults", "failure", "said"]
    for s in run.samples:
        figures = [s.figures.get(name, "") for name in names]
        faults = ";".join(f"{kind}={count}" for kind, count in s.faults.items())
        yield [
            s.experiment,
            s.point,
            s.round,
            s.peer,
            int(s.sound),
            *figures,
            s.verdict,
            faults,
            s.failure or "",
            s.said,
        ]


def _summary_rows(summary: Summary) -> Iterable[Sequence[object]]:
    """One row for each experiment, point and peer; every figure with its range over the sound rounds."""
    names = _figures(summary.run)
    ranges = [f"{name}_{part}" for name in names for part in ("median", "lowest", "highest")]
    yield ["experiment", "point", "peer", "rounds", "sound_rounds", *ranges, "verdict", "faults", "failures"]
    for row in summary.rows():
        values: list[object] = []
        for name in names:
            spread = row.figures.get(name)
            values += [spread.median, spread.lowest, spread.highest] if spread else ["", "", ""]
        faults = ";".join(f"{kind}={count}" for kind, count in row.faults.items())
        place = [row.experiment, row.point, row.peer, row.rounds, row.sound_rounds]
        yield [*place, *values, row.verdict, faults, "; ".join(row.failures)]


def _figures(run: Run) -> list[str]:
    """The known figures, and whatever else an experiment noted down."""
    return list(dict.fromkeys([*FIGURES, *(name for sample in run.samples for name in sample.figures)]))
