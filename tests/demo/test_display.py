"""What the demonstration shows of an access log."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from fingerpost.demo.display import VISIBLE_ROWS, News, row_of, show

NAMES = {"http://127.0.0.1:40001": "page"}
LINKS = {"page": "http://" + "a" * 44 + ".localhost:8080/"}


def record(**changes: object) -> dict[str, Any]:
    known: dict[str, Any] = {
        "time": "2026-01-31T12:00:00.250Z",
        "client": "127.0.0.1:5555",
        "host": "x.localhost",
        "label_kind": "sealed",
        "target": "http://127.0.0.1:40001",
        "method": "GET",
        "path": "/x",
        "status": 200,
        "bytes_in": 300,
        "bytes_out": 1500,
        "first_byte_s": 0.001,
        "duration_s": 0.0024,
        "reused": False,
        "close_reason": "",
    }
    return known | changes


def shown(news: News, *, terminal: bool) -> str:
    written = io.StringIO()
    show(Console(file=written, force_terminal=terminal, width=100, legacy_windows=False), LINKS, NAMES, news)
    return written.getvalue()


def test_a_record_becomes_readable() -> None:
    row = row_of(record(), NAMES)

    assert row[1:] == ("page", "GET", "/x", "200", "300 bytes", "1.5 kB", "2.4 ms")
    assert row.time.endswith(":00:00") or row.time[2] == ":"


def test_a_record_without_target_method_or_status_is_shown_with_dashes() -> None:
    row = row_of(record(target=None, method=None, path=None, status=None, duration_s=12.34), NAMES)

    assert row[1:] == ("-", "-", "-", "-", "300 bytes", "1.5 kB", "12.3 s")


@pytest.mark.parametrize("terminal", [True, False])
def test_links_stand_unbroken_on_lines_of_their_own(terminal: bool) -> None:
    lines = shown([], terminal=terminal).splitlines()

    assert any("page" in line and LINKS["page"] in line for line in lines)


def test_a_pipe_gets_one_plain_line_for_each_record() -> None:
    text = shown([record(), "the proxy says something", record(status=502)], terminal=False)

    assert "\x1b" not in text
    lines = text.splitlines()[-3:]
    assert "page  GET  /x  200" in lines[0]
    assert lines[1] == "the proxy says something"
    assert "page  GET  /x  502" in lines[2]


def test_a_terminal_gets_a_table_of_the_latest_records() -> None:
    def news() -> Iterator[dict[str, Any]]:
        for number in range(VISIBLE_ROWS + 3):
            yield record(path=f"/{number:03}")

    last_state = shown(news(), terminal=True).rpartition("duration")[2]

    assert "/002" not in last_state
    assert "/003" in last_state
    assert f"/{VISIBLE_ROWS + 2:03}" in last_state


def test_what_a_client_sends_is_neither_markup_nor_an_escape_sequence() -> None:
    for terminal in (True, False):
        text = shown([record(path="/[red]x[/red]\x1b]0;title\x07")], terminal=terminal)

        assert "[red]x[/red]" in text
        assert "\x1b]0;" not in text
