"""Bulk through tunnels: spliced or copied, what goes in comes out, and pipes come back."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from child import until
from dataplane.tunnels import (
    DEADLINE_S,
    App,
    bytes_in_pipes,
    descriptors,
    fill,
    is_reset,
    pipes,
    read_exactly,
    receive_bulk,
    reset,
    send_bulk,
    settled,
    transfer,
    tunnel,
    worker_pid,
)
from relay import NewRelay, Relay

GIGABYTE = 1_000_000_000
BULK_BYTES = 5_000_000
MOST_PIPES = 64


@pytest.mark.parametrize("direction", ["to the app", "to the client"])
def test_a_gigabyte_arrives_unchanged_and_goes_by_pipe(relay: Relay, app: App, direction: str) -> None:
    pid = worker_pid(relay)
    with tunnel(relay, app) as (client, served):
        source, sink = (client, served) if direction == "to the app" else (served, client)
        transfer(source, sink, GIGABYTE)
        assert pipes(pid) >= 2
        sink.sendall(b"the other way")
        assert read_exactly(source, 13) == b"the other way"
    record = relay.wait_for_record(lambda record: record["target"] == f"http://{app.target}")
    assert record["bytes_in" if direction == "to the app" else "bytes_out"] >= GIGABYTE


def test_bulk_and_ping_pong_in_turn_lose_nothing_at_any_change(relay: Relay, app: App) -> None:
    with tunnel(relay, app) as (client, served):
        for turn in range(40):
            size = 300_000 + turn * 65_537
            transfer(client, served, size)
            for number in range(12):  # more short reads than it takes to give a pipe back
                client.sendall(b"ping %02d" % number)
                assert read_exactly(served, 7) == b"ping %02d" % number
                served.sendall(b"pong %02d" % number)
                assert read_exactly(client, 7) == b"pong %02d" % number
            transfer(served, client, size)


def test_both_directions_spliced_at_once(relay: Relay, app: App) -> None:
    with tunnel(relay, app) as (client, served), ThreadPoolExecutor(1) as pool:
        up = pool.submit(transfer, client, served, 200_000_000)
        transfer(served, client, 200_000_000)
        up.result(DEADLINE_S)


def test_an_end_in_splice_mode_comes_behind_the_last_byte_and_the_other_way_stays_open(relay: Relay, app: App) -> None:
    pid = worker_pid(relay)
    with tunnel(relay, app) as (client, served), ThreadPoolExecutor(1) as pool:
        taken = fill(client, 500_000_000)  # it is stuck, in a pipe, when the end comes
        assert bytes_in_pipes(pid) > 0
        client.shutdown(socket.SHUT_WR)
        assert len(read_exactly(served, taken)) == taken
        assert served.recv(1) == b""
        sent = pool.submit(send_bulk, served, 30_000_000)
        assert receive_bulk(client, 30_000_000) == sent.result(DEADLINE_S)


def test_tunnels_whose_sinks_keep_up_share_a_few_pipes(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    pid = worker_pid(relay)
    with ExitStack() as stack:
        for client, served in [stack.enter_context(tunnel(relay, app)) for _ in range(20)]:
            transfer(client, served, BULK_BYTES)
        assert 2 <= pipes(pid) <= 2 * 4


def test_reads_that_are_large_but_never_fill_the_buffer_go_by_pipe_too(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    pid = worker_pid(relay)
    assert pipes(pid) == 0
    with tunnel(relay, app) as (client, served):

        def goes_by_pipe() -> bool:
            client.sendall(b"x" * 50_000)
            assert read_exactly(served, 50_000) == b"x" * 50_000
            return pipes(pid) >= 2

        until(goes_by_pipe, "a pipe")


def test_while_all_pipes_are_stuck_others_copy_and_splice_again_afterwards(relay: Relay, app: App) -> None:
    pid = worker_pid(relay)
    with ExitStack() as stack:
        stuck = [stack.enter_context(tunnel(relay, app)) for _ in range(MOST_PIPES)]
        pool = stack.enter_context(ThreadPoolExecutor(len(stuck)))
        taken = list(pool.map(lambda ends: fill(ends[0], 500_000_000), stuck))
        assert pipes(pid) == 2 * MOST_PIPES
        client, served = stack.enter_context(tunnel(relay, app))
        transfer(client, served, BULK_BYTES)
        assert pipes(pid) == 2 * MOST_PIPES
        read = pool.map(lambda ends, size: len(read_exactly(ends[1], size)), stuck, taken)
        assert list(read) == taken
        transfer(client, served, BULK_BYTES)
        client.shutdown(socket.SHUT_WR)
        assert served.recv(1) == b""
    until(lambda: bytes_in_pipes(pid) == 0, "empty pipes")


def test_a_direction_that_has_ended_gives_its_pipe_to_others(relay: Relay, app: App) -> None:
    with ExitStack() as stack:
        ended = [stack.enter_context(tunnel(relay, app)) for _ in range(MOST_PIPES)]
        for client, served in ended:
            transfer(client, served, BULK_BYTES)
            client.shutdown(socket.SHUT_WR)
            assert served.recv(1) == b""
        client, served = stack.enter_context(tunnel(relay, app))
        taken = fill(client, 500_000_000)
        assert bytes_in_pipes(worker_pid(relay)) > 0
        assert len(read_exactly(served, taken)) == taken


@pytest.mark.parametrize("direction", ["by the writer", "by the reader"])
def test_a_reset_in_splice_mode_is_seen_on_the_other_side_and_costs_no_pipe(
    relay: Relay, app: App, direction: str
) -> None:
    pid = worker_pid(relay)
    with tunnel(relay, app) as (client, served):
        transfer(client, served, BULK_BYTES)
    before = descriptors(pid)
    for _ in range(5):
        with tunnel(relay, app) as (client, served):
            fill(client, 500_000_000)
            gone, other = (client, served) if direction == "by the writer" else (served, client)
            reset(gone)
            assert is_reset(other)
    settled(pid, before)


def test_more_bulk_tunnels_than_there_are_pipes_are_all_complete(relay: Relay, app: App) -> None:
    pid = worker_pid(relay)
    with ExitStack() as stack:
        ends = [stack.enter_context(tunnel(relay, app)) for _ in range(MOST_PIPES + 16)]
        pool = stack.enter_context(ThreadPoolExecutor(2 * len(ends)))
        sent = [pool.submit(send_bulk, client, BULK_BYTES) for client, _ in ends]
        received = [pool.submit(receive_bulk, served, BULK_BYTES) for _, served in ends]
        assert [read.result(60) for read in received] == [write.result(60) for write in sent]
        assert pipes(pid) <= 2 * MOST_PIPES
        for client, served in ends:
            client.sendall(b"still open")
            assert read_exactly(served, 10) == b"still open"


def test_pipes_and_descriptors_do_not_grow_from_round_to_round(relay: Relay, app: App) -> None:
    pid = worker_pid(relay)
    others = descriptors(pid) - pipes(pid)

    def one_round() -> None:
        with ExitStack() as stack:
            ends = [stack.enter_context(tunnel(relay, app)) for _ in range(MOST_PIPES + 6)]
            for number, (client, served) in enumerate(ends):
                transfer(client, served, 1_000_000)
                if number % 3 == 0:
                    fill(client, 3_000_000)  # closed with a pipe that holds something

    for _ in range(3):
        one_round()
        until(lambda: descriptors(pid) - pipes(pid) <= others, "all descriptors but the pipes' are closed")
    assert pipes(pid) <= 2 * MOST_PIPES
