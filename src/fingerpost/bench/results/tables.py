"""What is printed at the end of a run, with `rich`: context, tables, what went wrong, bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fingerpost.bench.results import notes, sheets
from fingerpost.bench.results.summary import US, Summary
from fingerpost.bench.run import Run

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_STYLES = {"good": "green", "warn": "yellow", "bad": "bold red", "dim": "dim", "": ""}
_LAST_LINES = 6  # of what a relay said
_WIDEST_TEXT = 34  # what is longer is wrapped
_WIDEST_LABEL = 24


def print_run(console: Console, run: Run, base: str = US) -> None:
    """Print a run; one that was interrupted, or in which everything failed, too.

    Args:
        console: Where to. 100 columns are comfortable; with less, tables are told in more parts.
        run: The run.
        base: The peer to which ratios are taken.
    """
    summary = Summary(run)
    _print_context(console, summary)
    for note in notes.missing(run):
        _print_note(console, note)
    for asked in run.asked:
        for sheet in sheets.of(summary, asked, base):
            print_sheet(console, sheet)
        for note in notes.of(summary, asked):
            _print_note(console, note)
    if bars := sheets.bars_sheet(summary):
        print_sheet(console, bars)


def print_sheet(console: Console, sheet: sheets.Sheet) -> None:
    """Print one table, in as many parts as its columns need; each begins with the label columns."""
    from rich.text import Text

    console.print()
    console.print(Text(sheet.title, style="bold"))
    for part in _parts(sheet, console.width):
        console.print(_table(sheet, part))
    if sheet.note:
        console.print(Text(sheet.note, style="dim"))


def _print_context(console: Console, summary: Summary) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in sheets.context_rows(summary):
        grid.add_row(name.replace("_", " "), Text(value))
    console.print(grid)


def _print_note(console: Console, note: notes.Note) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Text(note.text, style=_STYLES[note.tone]))
    if note.said:
        last = "\n".join(note.said.splitlines()[-_LAST_LINES:])
        console.print(Padding(Text(last, style="dim", overflow="fold"), (0, 0, 0, 4)))


def _parts(sheet: sheets.Sheet, width: int) -> list[list[int]]:
    """Which columns stand side by side, so that no number is cut."""
    widths = [_width(sheet, column) + 2 for column in range(len(sheet.columns))]
    labels = list(range(sheet.labels))
    parts, taken = [list(labels)], sum(widths[: sheet.labels])
    for column in range(sheet.labels, len(sheet.columns)):
        if taken + widths[column] > width and len(parts[-1]) > len(labels):
            parts.append(list(labels))
            taken = sum(widths[: sheet.labels])
        parts[-1].append(column)
        taken += widths[column]
    return parts


def _width(sheet: sheets.Sheet, column: int) -> int:
    cells = [row[column] for row in sheet.rows]
    lines = [line for cell in cells for line in (cell.text, cell.spread, *cell.more)]
    most = max(map(len, [*lines, *sheet.columns[column].split("\n")]), default=0)
    return min(most, _WIDEST_LABEL if sheet.text and column < sheet.labels else _WIDEST_TEXT)


def _table(sheet: sheets.Sheet, columns: list[int]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column in columns:
        left = sheet.text or column < sheet.labels
        table.add_column(sheet.columns[column], justify="left" if left else "right", vertical="top")
    for row in sheet.rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    return table


def _cell(cell: sheets.Cell) -> Text:
    from rich.text import Text

    below = [line for line in (cell.spread, *cell.more) if line]
    # Where a cell has several lines, the first must be found at a glance.
    text = Text.assemble((cell.text, _STYLES[cell.tone] or ("bold" if below else "")))
    for line in below:
        text.append(f"\n{line}", style="dim")
    return text
