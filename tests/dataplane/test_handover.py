"""Connections outlive the worker that had them: tunnels and waiting clients go on in the next one, to the byte."""

import os
import re
import signal
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from child import until
from dataplane.origins import answering, echo, origin
from dataplane.tunnels import (
    BLOCK,
    DEADLINE_S,
    App,
    bytes_in_pipes,
    descriptors,
    fill,
    in_thread,
    is_reset,
    read_exactly,
    read_head,
    read_response,
    read_to_end,
    receive_bulk,
    request,
    tcp_tunnel,
    tunnel,
    worker_pid,
)
from dataplane.wire import Wire
from dataplane.wire import request as wire_request
from relay import FINGERPOST, NewRelay, Relay, descendants
from upstreams import websocket_echo


def reload(relay: Relay) -> None:
    """Reload, and wait until the new workers accept."""
    words = [*FINGERPOST, "reload", "--control-socket", str(relay.directory / "control.sock")]
    subprocess.run(words, check=True, capture_output=True, timeout=60)


def move(relay: Relay) -> None:
    """Reload, and wait until only new workers are left."""
    before = descendants(relay.child.process.pid)
    reload(relay)
    until(lambda: not before & descendants(relay.child.process.pid), "the old workers have gone")


def test_a_tunnel_goes_on_in_the_next_worker(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    with tunnel(relay, app) as (client, served):
        for number in range(5):
            client.sendall(b"to the app %d" % number)
            assert read_exactly(served, 12) == b"to the app %d" % number
            served.sendall(b"to the client %d" % number)
            assert read_exactly(client, 15) == b"to the client %d" % number
            move(relay)
        served.close()
        assert read_to_end(client) == b""
    record = relay.wait_for_record(lambda record: record["status"] == 101)
    assert record["bytes_out"] >= 75
    assert record["close_reason"] == "done"
    assert relay.stop() == 0


def test_a_tunnel_to_a_tcp_target_goes_on(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    with tcp_tunnel(relay, app, behind=b"more") as (client, served):
        assert read_exactly(served, 4) == b"more"
        move(relay)
        served.sendall(b"hello")
        assert read_exactly(client, 5) == b"hello"


@pytest.mark.parametrize("direction", ["to the app", "to the client"])
def test_bytes_that_wait_for_a_slow_reader_arrive_once_and_in_order(
    new_relay: NewRelay, app: App, direction: str
) -> None:
    relay = new_relay()
    with tunnel(relay, app) as (client, served):
        source, sink = (client, served) if direction == "to the app" else (served, client)
        sent = fill(source, 200_000_000)
        assert sent > 1_000_000
        move(relay)
        source.settimeout(DEADLINE_S)
        with ThreadPoolExecutor(1) as pool:
            rest = pool.submit(source.sendall, BLOCK[:1000])
            received = read_exactly(sink, sent)
            assert received == (BLOCK * (sent // len(BLOCK) + 1))[:sent]
            assert read_exactly(sink, 1000) == BLOCK[:1000]
            rest.result(DEADLINE_S)


def test_bulk_in_a_pipe_travels_with_its_tunnel(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    size = 300_000_000
    with tunnel(relay, app) as (client, served), ThreadPoolExecutor(1) as pool:
        sending = in_thread(pool, client, size)
        until(lambda: bytes_in_pipes(worker_pid(relay)) > 0, "bytes are stuck in a pipe")
        move(relay)
        crc = receive_bulk(served, size // 2)
        move(relay)
        assert crc
        assert receive_rest(served, size, crc) == sending.result(DEADLINE_S)


def receive_rest(sock: socket.socket, size: int, crc: int) -> int:
    """The checksum of all, after its first half."""
    import zlib

    left = size - size // 2
    while left:
        piece = sock.recv(min(left, 1 << 20))
        assert piece
        crc = zlib.crc32(piece, crc)
        left -= len(piece)
    return crc


def test_half_closed_tunnels_stay_half_closed(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    with tunnel(relay, app) as (client, served):
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(served) == b""
        move(relay)
        served.sendall(b"still talking")
        assert read_exactly(client, 13) == b"still talking"
        served.close()
        assert read_to_end(client) == b""


def test_an_end_that_waits_behind_bytes_comes_after_them(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    with tunnel(relay, app) as (client, served):
        sent = fill(client, 200_000_000)
        client.shutdown(socket.SHUT_WR)
        move(relay)
        assert len(read_to_end(served)) == sent
        served.sendall(b"bye")
        assert read_exactly(client, 3) == b"bye"


def test_a_client_between_requests_keeps_its_connection(new_relay: NewRelay) -> None:
    relay = new_relay()
    with origin(answering(echo)) as running, Wire(relay.connection()) as wire:
        for _ in range(3):
            wire.send(wire_request(relay.host(running.target)))
            answer = wire.read_response()
            assert answer.status == 200
            assert answer.one(b"connection") is None
            move(relay)


def test_a_client_in_the_middle_of_a_head_keeps_its_connection(new_relay: NewRelay) -> None:
    relay = new_relay()
    with origin(answering(echo)) as running, Wire(relay.connection()) as wire:
        data = wire_request(relay.host(running.target), method="POST", body=b"x" * 10)
        wire.send(data[:50])
        with Wire(relay.connection()) as other:  # accepted behind it: by now its first bytes have been read
            other.send(wire_request(relay.host(running.target)))
            assert other.read_response().status == 200
        move(relay)
        wire.send(data[50:])
        assert wire.read_response().status == 200


def test_a_running_exchange_is_finished_by_its_worker_and_its_client_goes_on_in_the_next(
    new_relay: NewRelay, app: App
) -> None:
    relay = new_relay()
    with relay.connection() as client:
        client.sendall(request(relay, app.target))
        with app.accept() as served:
            read_head(served)
            before = worker_pid(relay)
            reload(relay)
            assert before in descendants(relay.child.process.pid)
            served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            status, head, _ = read_response(client)
            assert status == 200
            assert b"connection: close" not in head.lower()
        until(lambda: before not in descendants(relay.child.process.pid), "the old worker has gone")
        client.sendall(request(relay, app.target))
        with app.accept() as served:
            read_head(served)
            served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            assert read_response(client)[0] == 200


def test_an_upgrade_that_a_retired_worker_completes_becomes_the_next_ones_tunnel(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    with relay.connection() as client:
        host = relay.host(app.target).encode()
        client.sendall(b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\n" % host)
        with app.accept() as served:
            read_head(served)
            before = worker_pid(relay)
            reload(relay)
            served.sendall(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\nand more")
            assert read_head(client).startswith(b"HTTP/1.1 101 ")
            assert read_exactly(client, 8) == b"and more"
            until(lambda: before not in descendants(relay.child.process.pid), "the old worker has gone")
            client.sendall(b"on it goes")
            assert read_exactly(served, 10) == b"on it goes"


def test_a_tunnel_that_can_not_travel_stays_until_it_is_over(new_relay: NewRelay, app: App) -> None:
    relay = new_relay("--retire-timeout-s", "1")
    with relay.connection() as client:
        client.sendall(request(relay, app.target))
        with app.accept() as served:
            read_head(served)
            served.sendall(b"HTTP/1.1 200 OK\r\n\r\nuntil I close")
            read_head(client)
            reload(relay)
            assert is_reset(client)  # an exchange can't travel, and its time was over
    assert relay.stop() == 0


def test_many_tunnels_under_traffic_lose_nothing(new_relay: NewRelay) -> None:
    relay = new_relay("--workers", "2")
    with websocket_echo() as target, ExitStack() as opened:
        sockets = [opened.enter_context(relay.websocket(target)) for _ in range(40)]
        over = threading.Event()

        def talk(number: int) -> int:
            count = 0
            while not over.is_set() or count < 10:
                message = b"%d %d " % (number, count) + os.urandom(3000)
                sockets[number].send(message)
                assert sockets[number].recv(timeout=DEADLINE_S) == message
                count += 1
            return count

        with ThreadPoolExecutor(len(sockets)) as pool:
            talking = [pool.submit(talk, number) for number in range(len(sockets))]
            for _ in range(4):
                move(relay)
            over.set()
            counts = [each.result(DEADLINE_S) for each in talking]
    assert min(counts) >= 10
    assert relay.stop() == 0
    assert "could not be handed over" not in relay.stderr


def test_descriptors_do_not_pile_up(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    with tunnel(relay, app) as (client, served), relay.connection() as silent:
        move(relay)
        before = descriptors(worker_pid(relay))
        for _ in range(5):
            move(relay)
        until(lambda: descriptors(worker_pid(relay)) <= before, "as many as before")
        client.sendall(b"x")
        assert read_exactly(served, 1) == b"x"
        assert silent.fileno() > 0


def test_when_the_next_worker_dies_in_the_middle_the_tunnel_stays_where_it_is(new_relay: NewRelay, app: App) -> None:
    """The taker is stopped before it can say "taken", and killed: the giver goes on with what it had set aside."""
    relay = new_relay("--retire-timeout-s", "60")
    supervisor = relay.child.process.pid
    with tunnel(relay, app) as (client, served):
        old = worker_pid(relay)
        os.kill(old, signal.SIGSTOP)
        reload(relay)
        (new,) = descendants(supervisor) - {old}
        os.kill(new, signal.SIGSTOP)
        os.kill(old, signal.SIGCONT)
        client.sendall(b"set aside")
        os.kill(new, signal.SIGKILL)
        assert read_exactly(served, 9) == b"set aside"
        served.sendall(b"and back")
        assert read_exactly(client, 8) == b"and back"
        assert old in descendants(supervisor)
    until(lambda: old not in descendants(supervisor), "the old worker has gone")
    assert re.search(r"\d+ connections could not be handed over", relay.stderr)
