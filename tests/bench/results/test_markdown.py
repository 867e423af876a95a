"""Tables for the published page."""

# ruff: noqa: RUF001 - these signs are in what is printed

import pytest

from fingerpost.bench.errors import BenchError
from fingerpost.bench.results import markdown

from .runs import degenerate, whole


def cells(text: str, first: str) -> list[str]:
    """The cells of the first row that begins with this."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_servers_stand_beside_the_published_figures() -> None:
    text = markdown.experiment(whole(), "servers")
    head = cells(text, "servers")
    row = dict(zip(head, cells(text, "50"), strict=True))
    assert head[1] == "fingerpost"
    assert row["fingerpost"] == "2.20 (2.00–2.60)"
    assert row["go"] == "2.64 (2.40–3.12), ×1.20"
    assert (row["Go, published"], row["Node, published"]) == ("1.81", "3.19")


def test_cpu_per_message_has_a_table_of_its_own() -> None:
    _, _, text = markdown.experiment(whole(), "servers").partition("CPU per message (µs)")
    row = dict(zip(cells(text, "servers"), cells(text, "75"), strict=True))
    assert row["fingerpost"] == "4.20 (4.00–4.40), load 60%"
    assert "direct" not in row


@pytest.mark.parametrize("name", ["capacity", "servers", "messages", "requests"])
def test_every_row_has_as_many_cells_as_the_head(name: str) -> None:
    tables = [part for part in markdown.experiment(whole(), name).split("\n\n") if part.startswith("|")]
    assert tables
    for table in tables:
        counts = {line.replace("\\|", "").count("|") for line in table.splitlines()}
        assert len(table.splitlines()) > 2
        assert len(counts) == 1


def test_a_relays_words_are_no_markup() -> None:
    text = markdown.experiment(whole(), "requests")
    assert "\\<b\\>port\\</b\\>" in text
    assert ">     <script>x</script>" in text  # in a block of code, where nothing is markup


def test_missing_peers_and_bars_are_told() -> None:
    assert "node is missing" in markdown.experiment(whole(), "messages")
    assert "| capacity: all exchanged | at every step |" in markdown.bars(whole())
    assert "- cores: 2\n" in markdown.context(whole())


def test_an_experiment_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    with pytest.raises(BenchError, match="servers, messages"):
        markdown.experiment(whole(), "bulk")


@pytest.mark.parametrize("name", list(degenerate()))
def test_a_run_that_came_to_little_gives_some_text(name: str) -> None:
    of = degenerate()[name]
    assert all(markdown.experiment(of, asked.name).strip() for asked in of.asked)
