"""The tables of a run in Markdown, for a page whose figures are pasted from a run and never typed."""

from fingerpost.bench.errors import BenchError
from fingerpost.bench.results import notes, sheets
from fingerpost.bench.results.summary import US, Summary, asked_by_name
from fingerpost.bench.run import Run


def experiment(run: Run, name: str, base: str = US) -> str:
    """One experiment: its tables, and what went wrong.

    Args:
        run: The run.
        name: The experiment.
        base: The peer to which ratios are taken.

    Raises:
        BenchError: The run has no such experiment.
    """
    asked = asked_by_name(run).get(name)
    if asked is None:
        there = ", ".join(asked_by_name(run)) or "none"
        raise BenchError(f"no experiment {name!r} in this run; there is: {there}")
    summary = Summary(run)
    parts = [_sheet(sheet) for sheet in sheets.of(summary, asked, base)]
    parts += [_note(note) for note in (*notes.missing(run), *notes.of(summary, asked))]
    return "\n\n".join(parts or ["Nothing was measured."]) + "\n"


def bars(run: Run) -> str:
    """The bars and whether they are met; empty where the run says nothing about any."""
    sheet = sheets.bars_sheet(Summary(run))
    return f"{_sheet(sheet)}\n" if sheet else ""


def context(run: Run) -> str:
    """Where and how it ran, as a list."""
    return "".join(f"- {name.replace('_', ' ')}: {_text(value)}\n" for name, value in sheets.context_rows(Summary(run)))


def _sheet(sheet: sheets.Sheet) -> str:
    head = [_text(column) for column in sheet.columns]
    rules = ["---" if sheet.text or number < sheet.labels else "--:" for number in range(len(head))]
    rows = [[_cell(cell) for cell in row] for row in sheet.rows]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, rules, *rows)]
    note = f"\n\n{_text(sheet.note)}" if sheet.note else ""
    return f"**{_text(sheet.title)}**\n\n" + "\n".join(lines) + note


def _cell(cell: sheets.Cell) -> str:
    spread = f"({cell.spread})" if cell.spread else ""
    return ", ".join(filter(None, (" ".join(filter(None, (_text(cell.text), spread))), *map(_text, cell.more))))


def _note(note: notes.Note) -> str:
    said = "".join(f"\n>     {line}" for line in note.said.splitlines())
    return f"> {_text(note.text)}" + (f"\n>{said}" if said else "")


def _text(text: str) -> str:
    """Text in which nothing is markup: neither a table's bars nor a relay's angle brackets."""
    for special in "\\`*_|<>[]":
        text = text.replace(special, f"\\{special}")
    return " ".join(text.split())
