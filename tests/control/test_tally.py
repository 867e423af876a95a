"""Counting together: two workers' tallies on the memory that the supervisor hands out."""

from collections.abc import Iterator

import pytest

from fingerpost.control.tally import TallyMemory
from fingerpost.dataplane.tally import Tally, open_tally


@pytest.fixture
def memory() -> Iterator[TallyMemory]:
    running = TallyMemory()
    yield running
    running.close()


def worker(memory: TallyMemory) -> tuple[int, Tally]:
    row = memory.take()
    assert row is not None
    return row, open_tally(memory.descriptor, memory.describe(row))


def test_both_see_what_either_counts(memory: TallyMemory) -> None:
    (_, one), (_, two) = worker(memory), worker(memory)
    for tally, client in [(one, "192.0.2.1"), (two, "192.0.2.1"), (two, "192.0.2.2")]:
        tally.up(client)
    assert one.all() == two.all() == 3
    assert one.of("192.0.2.1") == two.of("192.0.2.1") == 2
    assert one.of("192.0.2.2") == 1
    assert one.of("192.0.2.3") == 0
    assert (one.count, two.count) == (1, 2)
    assert two.down("192.0.2.1") == 0
    assert one.of("192.0.2.1") == 1
    assert one.all() == 2


def test_who_has_died_is_counted_no_more_and_the_row_begins_anew(memory: TallyMemory) -> None:
    (_, one), (row, two) = worker(memory), worker(memory)
    one.up("192.0.2.1")
    two.up("192.0.2.1")
    memory.give_back(row)
    assert one.of("192.0.2.1") == one.all() == 1
    again, three = worker(memory)
    assert again == row
    assert three.all() == 1
    three.up("192.0.2.1")
    assert one.of("192.0.2.1") == 2


def test_clients_are_told_apart(memory: TallyMemory) -> None:
    _, one = worker(memory)
    clients = [f"10.0.{number >> 8}.{number & 255}" for number in range(2000)]
    for client in clients:
        one.up(client)
    assert sum(one.of(client) > 1 for client in clients) < 100
    for client in clients:
        one.down(client)
    assert one.all() == 0
    assert one.here == {}
    assert sum(map(one.of, clients)) == 0


def test_rows_run_out_and_come_back(memory: TallyMemory) -> None:
    rows = []
    while (row := memory.take()) is not None:
        rows.append(row)
    assert len(rows) == len(set(rows)) >= 512
    memory.give_back(rows[7])
    assert memory.take() == rows[7]


def test_a_worker_that_is_alone_counts_for_itself() -> None:
    tally = open_tally(None, {})
    tally.up("a")
    tally.up("a")
    assert (tally.all(), tally.of("a"), tally.of("b")) == (2, 2, 0)
    assert (tally.down("a"), tally.down("a"), tally.here) == (1, 0, {})
