"""Shows the demonstration's links, then its access log: a live table, or plain lines for a pipe."""

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from rich.console import Console
from rich.filesize import decimal
from rich.live import Live
from rich.table import Table
from rich.text import Text

VISIBLE_ROWS = 15
NOTHING = "-"
INVITATION = "Open them in a browser. Each exchange appears here when it ends; Ctrl-C stops everything."

_STATUS_STYLES = {"1": "cyan", "2": "green", "3": "blue", "4": "yellow", "5": "red"}
_COLUMNS = ("time", "app", "method", "path", "status", "in", "out", "duration")
_RIGHT_ALIGNED = frozenset({"status", "in", "out", "duration"})

News = Iterable[dict[str, Any] | str]


class Row(NamedTuple):
    """One record as it is shown, field by field in the order of the table's columns."""

    time: str
    app: str
    method: str
    path: str
    status: str
    bytes_in: str
    bytes_out: str
    duration: str


def row_of(record: Mapping[str, Any], app_names: Mapping[str, str]) -> Row:
    """Make an access log record readable.

    Args:
        record: A line of the access log.
        app_names: Each app's name by its target, ``http://127.0.0.1:40001``.
    """
    return Row(
        datetime.fromisoformat(record["time"]).astimezone().strftime("%H:%M:%S"),
        app_names.get(record["target"], NOTHING),
        _printable(record["method"] or NOTHING),
        _printable(record["path"] or NOTHING),
        str(record["status"] or NOTHING),
        decimal(record["bytes_in"]),
        decimal(record["bytes_out"]),
        _duration(record["duration_s"]),
    )


def show(
    console: Console,
    links: Mapping[str, str],
    app_names: Mapping[str, str],
    news: News,
) -> None:
    """Print the links, then whatever ``news`` brings, until it ends or the user interrupts.

    Args:
        console: Where to. A table that updates itself if that is a terminal, else one line for each record.
        links: Each app's URL by its name.
        app_names: As in `row_of`.
        news: Access log records and other lines of the proxy.
    """
    console.print()
    for name, url in links.items():
        console.print(Text.assemble("  ", (f"{name:<6}", "bold"), (url, f"cyan link {url}")), soft_wrap=True)
    console.print(f"\n{INVITATION}\n", style="dim", soft_wrap=True)
    if console.is_terminal:
        _show_table(console, app_names, news)
    else:
        for item in news:
            line = item if isinstance(item, str) else "  ".join(row_of(item, app_names))
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _show_table(console: Console, app_names: Mapping[str, str], news: News) -> None:
    rows: deque[Row] = deque(maxlen=VISIBLE_ROWS)
    with Live(_table(rows), console=console, auto_refresh=False) as live:
        for item in news:
            if isinstance(item, str):
                live.console.print(item, markup=False, highlight=False)
            else:
                rows.append(row_of(item, app_names))
                live.update(_table(rows), refresh=True)


def _table(rows: Iterable[Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", expand=True)
    for name in _COLUMNS:
        flexible = name == "path"
        justify: Literal["left", "right"] = "right" if name in _RIGHT_ALIGNED else "left"
        table.add_column(name, justify=justify, no_wrap=True, ratio=1 if flexible else None, overflow="ellipsis")
    for row in rows:
        # As Text: a path is whatever a client sent, and must not be read as markup.
        cells = [Text(cell) for cell in row]
        cells[_COLUMNS.index("status")].stylize(_STATUS_STYLES.get(row.status[0], ""))
        table.add_row(*cells)
    return table


def _printable(sent: str) -> str:
    """What a client sent, without anything that a terminal would obey."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in sent)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
