"""Tunnels after an upgrade: nothing lost, nothing reordered, ends and stalls seen on the other side."""

import os
import select
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from child import until
from dataplane.tunnels import (
    BLOCK,
    DEADLINE_S,
    SWITCHING,
    App,
    descriptors,
    fill,
    is_reset,
    memory_kib,
    read_exactly,
    read_head,
    read_response,
    read_to_end,
    receive_bulk,
    request,
    reset,
    send_bulk,
    settled,
    transfer,
    tunnel,
    upgrade_request,
    worker_pid,
)
from relay import Relay
from upstreams import websocket_echo


@contextmanager
def halted(pid: int) -> Iterator[None]:
    """Stop a process for a while, so that everything that happens meanwhile comes to it at once."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


# --- the switch ---------------------------------------------------------------------------------------------------


def test_a_made_up_protocol_is_offered_and_its_101_passed_on(relay: Relay, app: App) -> None:
    with relay.connection() as client:
        client.sendall(upgrade_request(relay, app.target))
        with app.accept() as served:
            head = read_head(served).lower()
            assert head.startswith(b"get /way http/1.1\r\n")
            assert b"\r\nupgrade: echo/1\r\n" in head
            assert b"\r\nconnection: upgrade\r\n" in head

            served.sendall(SWITCHING.replace(b"\r\n\r\n", b"\r\nX-Colour: mauve\r\n\r\n") % b"echo/1")
            answer = read_head(client).lower()

    assert answer.startswith(b"http/1.1 101 switching protocols\r\n")
    assert b"\r\nupgrade: echo/1\r\n" in answer
    assert b"\r\nconnection: upgrade\r\n" in answer
    assert b"\r\nx-colour: mauve\r\n" in answer


def test_a_websocket_carries_text_and_binary_messages_and_its_close(relay: Relay) -> None:
    with websocket_echo() as target, relay.websocket(target, compression=None) as websocket:
        for message in ("one", b"\0\xff" * 3, "x" * 200_000):
            websocket.send(message)
            assert websocket.recv(DEADLINE_S) == message


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_any_method_may_upgrade(relay: Relay, app: App, method: bytes) -> None:
    with relay.connection() as client:
        client.sendall(upgrade_request(relay, app.target, method=method))
        with app.accept() as served:
            read_head(served)
            served.sendall(SWITCHING % b"echo/1" + b"at once")
            read_head(client)
            assert read_exactly(client, 7) == b"at once"


@pytest.mark.parametrize("size", [1, 100, 60_000, 400_000])
def test_bytes_right_behind_the_request_head_reach_the_app_in_order(relay: Relay, app: App, size: int) -> None:
    early = os.urandom(size)
    with relay.connection() as client, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(client.sendall, upgrade_request(relay, app.target) + early)
        with app.accept() as served:
            read_head(served)
            served.sendall(SWITCHING % b"echo/1")
            read_head(client)
            sending.result(DEADLINE_S)
            client.sendall(b"later")
            assert read_exactly(served, size) == early
            assert read_exactly(served, 5) == b"later"


@pytest.mark.parametrize("size", [1, 60_000, 2_000_000])
def test_bytes_right_behind_the_101_reach_the_client_in_order(relay: Relay, app: App, size: int) -> None:
    early = os.urandom(size)
    with relay.connection() as client, ThreadPoolExecutor(1) as pool:
        client.sendall(upgrade_request(relay, app.target))
        with app.accept() as served:
            read_head(served)
            sending = pool.submit(served.sendall, SWITCHING % b"echo/1" + early + b"later")
            read_head(client)
            assert read_exactly(client, size + 5) == early + b"later"
            sending.result(DEADLINE_S)


def test_a_101_in_single_bytes_and_an_interim_response_before_it(relay: Relay, app: App) -> None:
    with relay.connection() as client:
        client.sendall(upgrade_request(relay, app.target))
        with app.accept() as served:
            served.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            read_head(served)
            for byte in b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + SWITCHING % b"echo/1" + b"go":
                served.sendall(bytes([byte]))
            assert read_head(client).startswith(b"HTTP/1.1 103 ")
            assert read_head(client).startswith(b"HTTP/1.1 101 ")
            assert read_exactly(client, 2) == b"go"


def test_early_bytes_that_the_app_is_slow_to_take_stay_in_order(relay: Relay) -> None:
    """The 101 and more of the client's bytes arrive in one batch, while what came before doesn't fit into the app."""
    small = ((socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536), (socket.SOL_SOCKET, socket.SO_RCVBUF, 2048))
    first, second = os.urandom(200_000), os.urandom(200_000)
    with App(*small) as app, relay.connection() as client, ThreadPoolExecutor(1) as pool:
        client.sendall(upgrade_request(relay, app.target))
        with app.accept() as served:
            read_head(served)
            with halted(worker_pid(relay)):
                served.sendall(SWITCHING % b"echo/1")
                client.sendall(first)
            sending = pool.submit(client.sendall, second)
            read_head(client)
            received = read_exactly(served, 400_000)
            sending.result(DEADLINE_S)
    assert received == first + second


@pytest.mark.parametrize("status", [b"403 Forbidden", b"426 Upgrade Required", b"200 OK"])
def test_a_refused_upgrade_is_a_normal_response_and_keep_alive_goes_on(relay: Relay, app: App, status: bytes) -> None:
    with relay.connection() as client:
        client.sendall(upgrade_request(relay, app.target))
        with app.accept() as served:
            read_head(served)
            served.sendall(b"HTTP/1.1 %b\r\nUpgrade: echo/2\r\nContent-Length: 2\r\n\r\nno" % status)
            number, head, body = read_response(client)
            assert (number, body) == (int(status[:3]), b"no")
            assert b"connection: close" not in head.lower()

            client.sendall(request(relay, app.target, path=b"/next"))
            assert read_head(served).startswith(b"GET /next ")
            served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")
            assert read_response(client)[2] == b"yes"


def test_a_101_unasked_is_502(relay: Relay, app: App) -> None:
    with relay.connection() as client:
        client.sendall(request(relay, app.target))
        with app.accept() as served:
            read_head(served)
            served.sendall(SWITCHING % b"echo/1" + b"gotcha")
            status, head, body = read_response(client)
            assert status == 502
            assert b"error=http_protocol_error" in head
            assert b"gotcha" not in body
            assert read_to_end(served) == b""


@pytest.mark.parametrize("chosen", [b"h2c", b"echo/2", b"echo/1, h2c"])
def test_a_101_to_a_protocol_that_was_not_offered_is_502(relay: Relay, app: App, chosen: bytes) -> None:
    with relay.connection() as client:
        client.sendall(upgrade_request(relay, app.target, b"echo/1, h2c"))
        with app.accept() as served:
            read_head(served)
            served.sendall(SWITCHING % chosen)
            assert read_response(client)[0] == 502


def test_a_101_in_another_case_or_to_one_of_several_is_no_surprise(relay: Relay, app: App) -> None:
    with relay.connection() as client:
        client.sendall(upgrade_request(relay, app.target, b"chat, websocket"))
        with app.accept() as served:
            read_head(served)
            served.sendall(SWITCHING % b"WebSocket")
            assert read_head(client).startswith(b"HTTP/1.1 101 ")


def test_a_101_before_the_request_is_complete_is_502(relay: Relay, app: App) -> None:
    head = upgrade_request(relay, app.target, method=b"POST")[:-2] + b"Content-Length: 10\r\n\r\nhalf "
    with relay.connection() as client:
        client.sendall(head)
        with app.accept() as served:
            read_head(served)
            served.sendall(SWITCHING % b"echo/1")
            assert read_response(client)[0] == 502


@pytest.mark.parametrize(
    ("asked", "offered"),
    [(b"h2c", b""), (b"H2C", b""), (b"h2c, echo/1", b"echo/1"), (b"websocket,h2c", b"websocket")],
)
def test_h2c_is_never_offered(relay: Relay, app: App, asked: bytes, offered: bytes) -> None:
    head = upgrade_request(relay, app.target, asked)
    head = head.replace(b"Connection: Upgrade", b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk")
    with relay.connection() as client:
        client.sendall(head)
        with app.accept() as served:
            seen = read_head(served).lower()
            served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            assert read_response(client)[0] == 200
    assert b"h2c" not in seen
    assert b"http2-settings" not in seen
    assert (b"\r\nupgrade: %b\r\n" % offered in seen) == bool(offered)
    assert (b"\r\nconnection: " in seen) == bool(offered)


# --- ends ---------------------------------------------------------------------------------------------------------


def test_the_clients_end_reaches_the_app_whose_later_bytes_still_arrive(relay: Relay, app: App) -> None:
    with tunnel(relay, app) as (client, served):
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(served) == b"last words"
        for number in range(50):
            served.sendall(b"answer %02d " % number)
            assert read_exactly(client, 10) == b"answer %02d " % number
        served.close()
        assert read_to_end(client) == b""


def test_the_apps_end_reaches_the_client_whose_later_bytes_still_arrive(relay: Relay, app: App) -> None:
    with tunnel(relay, app) as (client, served):
        served.sendall(b"last words")
        served.shutdown(socket.SHUT_WR)
        assert read_to_end(client) == b"last words"
        for number in range(50):
            client.sendall(b"answer %02d " % number)
            assert read_exactly(served, 10) == b"answer %02d " % number
        client.close()
        assert read_to_end(served) == b""
        record = relay.wait_for_record(lambda record: record["target"] == f"http://{app.target}")
        assert record["close_reason"] == "done"


@pytest.mark.parametrize("direction", ["to the app", "to the client"])
def test_an_end_comes_after_the_bytes_that_wait_before_it(relay: Relay, app: App, direction: str) -> None:
    with tunnel(relay, app) as (client, served), ThreadPoolExecutor(1) as pool:
        source, sink = (client, served) if direction == "to the app" else (served, client)

        def send_all_and_end() -> int:
            crc = send_bulk(source, 30_000_000)
            source.shutdown(socket.SHUT_WR)
            return crc

        sent = pool.submit(send_all_and_end)
        until(lambda: bool(select.select([sink], [], [], 0)[0]), "the first bytes")
        assert receive_bulk(sink, 30_000_000) == sent.result(DEADLINE_S)
        assert sink.recv(1) == b""
        sink.sendall(b"thanks")
        assert read_exactly(source, 6) == b"thanks"


@pytest.mark.parametrize("direction", ["by the client", "by the app"])
def test_a_reset_on_one_side_is_one_on_the_other(relay: Relay, app: App, direction: str) -> None:
    with tunnel(relay, app) as (client, served):
        gone, other = (client, served) if direction == "by the client" else (served, client)
        other.sendall(b"unread")
        reset(gone)
        assert is_reset(other)
    record = relay.wait_for_record(lambda record: record["target"] == f"http://{app.target}")
    assert record["close_reason"] == "reset"


def test_a_reset_while_the_other_side_reads_nothing_ends_the_tunnel_when_it_reads_again(relay: Relay, app: App) -> None:
    with tunnel(relay, app) as (client, served):
        fill(client, 200_000_000)
        reset(client)
        assert is_reset(served)


def test_a_reset_after_the_clients_end_is_noticed_though_nothing_more_is_read_from_it(relay: Relay, app: App) -> None:
    with tunnel(relay, app) as (client, served):
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(served) == b""
        reset(client)
        hung_up = select.poll()
        hung_up.register(served, 0)  # POLLERR and POLLHUP come unasked
        assert hung_up.poll(DEADLINE_S * 1000)


def test_an_app_that_dies_in_the_middle_costs_only_its_tunnel(relay: Relay, app: App) -> None:
    with tunnel(relay, app) as (client, served), tunnel(relay, app) as (other_client, other_served):
        client.sendall(b"never read")
        until(lambda: bool(select.select([served], [], [], 0)[0]), "the bytes are at the app")
        served.close()  # with unread bytes: the kernel sends a reset
        assert is_reset(client)
        other_client.sendall(b"still here")
        assert read_exactly(other_served, 10) == b"still here"


def test_the_log_line_of_a_tunnel_counts_heads_and_bytes_both_ways(relay: Relay, app: App) -> None:
    head = upgrade_request(relay, app.target)
    with relay.connection() as client:
        client.sendall(head + b"early")
        with app.accept() as served:
            read_head(served)
            served.sendall(SWITCHING % b"echo/1" + b"early too")
            answer = read_head(client)
            client.sendall(b"12345")
            assert read_exactly(served, 10) == b"early12345"
            served.sendall(b"123")
            assert read_exactly(client, 12) == b"early too123"
            client.close()
            served.close()
    record = relay.wait_for_record(lambda record: record["target"] == f"http://{app.target}")
    assert record["status"] == 101
    assert (record["method"], record["path"], record["label_kind"]) == ("GET", "/way", "sealed")
    assert record["bytes_in"] == len(head) + 10
    assert record["bytes_out"] == len(answer) + 12
    assert record["close_reason"] == "done"
    assert 0 <= record["first_byte_s"] <= record["duration_s"]
    assert record["reused"] is False


# --- stalls -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["to the app", "to the client"])
def test_a_reader_that_stops_stops_the_writer_and_nothing_is_lost_when_it_goes_on(
    relay: Relay, app: App, direction: str
) -> None:
    pid = worker_pid(relay)
    with tunnel(relay, app) as (client, served), ThreadPoolExecutor(1) as pool:
        source, sink = (client, served) if direction == "to the app" else (served, client)
        before = memory_kib(pid)
        taken = fill(source, 200_000_000)
        assert taken < 100_000_000  # what the kernel's four buffers hold, and no more
        assert memory_kib(pid) - before < 2048

        sink.sendall(b"the other way goes on")
        assert read_exactly(source, 21) == b"the other way goes on"

        assert read_exactly(sink, taken) == (BLOCK * (taken // len(BLOCK) + 1))[:taken]
        sent = pool.submit(send_bulk, source, 50_000_000)
        assert receive_bulk(sink, 50_000_000) == sent.result(DEADLINE_S)


def test_a_reader_in_small_steps_gets_every_byte(relay: Relay, app: App) -> None:
    with tunnel(relay, app) as (client, served), ThreadPoolExecutor(1) as pool:
        sending = pool.submit(served.sendall, BLOCK * 3)
        received = b"".join(read_exactly(client, 499) for _ in range(3 * len(BLOCK) // 499))
        received += read_exactly(client, 3 * len(BLOCK) - len(received))
        sending.result(DEADLINE_S)
    assert received == BLOCK * 3


def test_both_ways_full_at_once_is_no_deadlock(relay: Relay, app: App) -> None:
    with tunnel(relay, app) as (client, served), ThreadPoolExecutor(4) as pool:
        fill(client, 200_000_000)
        fill(served, 200_000_000)
        reading = [pool.submit(read_to_end, sock) for sock in (client, served)]
        for sock in (client, served):
            sock.shutdown(socket.SHUT_WR)
        assert all(len(read.result(DEADLINE_S)) > 100_000 for read in reading)


# --- time-outs ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    from relay import start_relay

    running = start_relay(tmp_path_factory.mktemp("impatient"), "--tunnel-idle-timeout-s", "0.6")
    yield running
    assert running.stop() == 0


def test_a_tunnel_without_a_byte_for_too_long_is_closed(impatient: Relay, app: App) -> None:
    with tunnel(impatient, app) as (client, served):
        is_reset(client)
        is_reset(served)
    record = impatient.wait_for_record(lambda record: record["target"] == f"http://{app.target}")
    assert record["close_reason"] == "idle"
    assert 0.6 <= record["duration_s"] < 2


def test_an_idle_tunnel_ends_in_a_reset_so_that_nobody_takes_what_came_for_all(impatient: Relay, app: App) -> None:
    with tunnel(impatient, app) as (client, served):
        client.sendall(b"one way")
        assert read_exactly(served, 7) == b"one way"
        assert is_reset(client)
        assert is_reset(served)


@pytest.mark.parametrize("direction", ["to the app", "to the client"])
def test_bytes_one_way_keep_a_tunnel_alive(impatient: Relay, app: App, direction: str) -> None:
    with tunnel(impatient, app) as (client, served):
        source, sink = (client, served) if direction == "to the app" else (served, client)
        for _ in range(10):
            source.sendall(b"tick")
            assert read_exactly(sink, 4) == b"tick"
            assert select.select([source], [], [], 0.2)[0] == []  # silent for a while, and not closed
        source.sendall(b"tock")
        assert read_exactly(sink, 4) == b"tock"


# --- many ---------------------------------------------------------------------------------------------------------


def test_500_tunnels_at_once_are_all_opened_and_all_echo(relay: Relay, app: App) -> None:
    pid = worker_pid(relay)
    before = descriptors(pid)
    with ExitStack() as stack:
        clients = [stack.enter_context(relay.connection()) for _ in range(500)]
        for number, client in enumerate(clients):
            client.sendall(upgrade_request(relay, app.target) + b"%04d" % number)
        served = [stack.enter_context(app.accept()) for _ in clients]
        for sock in served:
            read_head(sock)
            sock.sendall(SWITCHING % b"echo/1")
            sock.sendall(read_exactly(sock, 4))
        for number, client in enumerate(clients):
            assert read_head(client).startswith(b"HTTP/1.1 101 ")
            assert read_exactly(client, 4) == b"%04d" % number
        for number, client in enumerate(clients):
            client.sendall(b"again %04d" % number)
        for sock in served:
            sock.sendall(read_exactly(sock, 10))
        for number, client in enumerate(clients):
            assert read_exactly(client, 10) == b"again %04d" % number
    settled(pid, before)


def test_clients_that_vanish_leave_nothing_behind(relay: Relay, app: App) -> None:
    pid = worker_pid(relay)
    before = descriptors(pid)
    for how in (socket.socket.close, reset):
        for _ in range(20):
            with tunnel(relay, app) as (client, _served):
                how(client)
        for _ in range(20):  # before the app has answered
            client = relay.connection()
            client.sendall(upgrade_request(relay, app.target) + b"bytes")
            with app.accept() as served:
                how(client)
                served.close()
    settled(pid, before)


def test_bulk_both_ways_at_once_is_complete(relay: Relay, app: App) -> None:
    with tunnel(relay, app) as (client, served), ThreadPoolExecutor(1) as pool:
        up = pool.submit(transfer, client, served, 100_000_000)
        transfer(served, client, 100_000_000)
        up.result(DEADLINE_S)
