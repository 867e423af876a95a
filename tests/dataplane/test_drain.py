"""The end: what finishes, what is cut, what is told, and that nothing is left."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from child import until
from dataplane.tunnels import (
    DEADLINE_S,
    App,
    is_reset,
    read_exactly,
    read_head,
    read_response,
    read_to_end,
    request,
    tunnel,
    upgrade_request,
    worker_pid,
)
from relay import NewRelay, Relay

SIGNALS = [signal.SIGTERM, signal.SIGINT]


def begin_drain(relay: Relay, number: int = signal.SIGTERM) -> None:
    """Send the signal and wait until nobody listens any more."""
    relay.child.process.send_signal(number)
    until(lambda: not accepts(relay), "the listener is closed")


def accepts(relay: Relay) -> bool:
    try:
        relay.connection().close()
    except ConnectionError:
        return False
    return True


def ended(relay: Relay, deadline_s: float = DEADLINE_S) -> int:
    """Wait for the exit status."""
    return relay.child.process.wait(deadline_s)


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", SIGNALS)
def test_with_nothing_to_finish_it_ends_at_once(new_relay: NewRelay, number: int) -> None:
    relay = new_relay()
    pid = worker_pid(relay)
    started = time.monotonic()
    begin_drain(relay, number)
    assert ended(relay) == 0
    assert time.monotonic() - started < 5
    assert not exists(pid)
    assert "draining for up to 30 s" in relay.stderr
    assert "Traceback" not in relay.stderr


def test_idle_keep_alive_connections_are_closed(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    with relay.connection() as client, relay.connection() as silent:
        client.sendall(request(relay, app.target))
        with app.accept() as served:
            read_head(served)
            served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            head = read_response(client)[1]
            assert b"connection: close" not in head.lower()
            begin_drain(relay)
            assert read_to_end(client) == b""
            assert read_to_end(silent) == b""
            client.close()
            silent.close()
            assert ended(relay) == 0


@pytest.mark.parametrize("number", SIGNALS)
def test_a_running_response_is_completed_and_says_that_it_is_the_last(
    new_relay: NewRelay, app: App, number: int
) -> None:
    relay = new_relay()
    with relay.connection() as client:
        client.sendall(request(relay, app.target))
        with app.accept() as served:
            read_head(served)
            begin_drain(relay, number)
            served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello ")
            head = read_head(client)
            assert head.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close" in head.lower()
            assert relay.child.process.poll() is None
            served.sendall(b"world")
            assert read_to_end(client) == b"hello world"
        client.close()
        assert ended(relay) == 0
    assert "drained" in relay.stderr


def test_a_response_that_had_begun_is_completed_and_then_the_connection_closes(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    with relay.connection() as client:
        client.sendall(request(relay, app.target))
        with app.accept() as served:
            read_head(served)
            served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello ")
            read_head(client)
            begin_drain(relay)
            served.sendall(b"world")
            assert read_to_end(client) == b"hello world"
        client.close()
        assert ended(relay) == 0


def test_a_request_that_was_on_its_way_is_still_served(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    with relay.connection() as client:
        head = request(relay, app.target)
        client.sendall(head[:20])
        begun = relay.connection()  # accepted behind it, so the first bytes have been read by then
        with begun:
            begun.sendall(request(relay, app.target, path=b"/other"))
            with app.accept() as served:
                read_head(served)
                begin_drain(relay)
                client.sendall(head[20:])
                with app.accept() as late:
                    read_head(late)
                    late.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    status, answer, body = read_response(client)
        client.close()
    assert (status, body) == (200, b"ok")
    assert b"connection: close" in answer.lower()
    assert ended(relay) == 0


def test_whom_the_kernel_had_queued_is_still_served(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    pid = worker_pid(relay)
    os.kill(pid, signal.SIGSTOP)
    with relay.connection() as asking, relay.connection() as silent:
        asking.sendall(request(relay, app.target))
        relay.child.process.send_signal(signal.SIGTERM)
        relay.child.wait_for_line("draining")
        os.kill(pid, signal.SIGCONT)
        with app.accept() as served:
            read_head(served)
            silent.sendall(request(relay, app.target))
            served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            assert read_response(asking)[0] == 200
        with app.accept() as served:
            read_head(served)
            served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            assert read_response(silent)[0] == 200
        asking.close()
        silent.close()
    assert ended(relay) == 0


def test_tunnels_may_finish(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    with tunnel(relay, app) as (client, served):
        begin_drain(relay)
        for _ in range(3):
            client.sendall(b"still here")
            assert read_exactly(served, 10) == b"still here"
        assert relay.child.process.poll() is None
    assert ended(relay) == 0
    assert "drained" in relay.stderr


def test_what_has_not_finished_in_time_is_cut_and_logged(new_relay: NewRelay, app: App) -> None:
    relay = new_relay("--drain-timeout-s", "0.5")
    with tunnel(relay, app) as (client, served), relay.connection() as reader:
        reader.sendall(request(relay, app.target, path=b"/endless"))
        with app.accept() as endless:
            read_head(endless)
            endless.sendall(b"HTTP/1.1 200 OK\r\n\r\nuntil I close")
            read_head(reader)
            assert read_exactly(reader, 13) == b"until I close"
            begin_drain(relay)
            assert is_reset(client)
            assert is_reset(served)
            assert is_reset(reader)  # an end without a reset would say that the body is complete
    assert ended(relay) == 0
    assert "drain timed out" in relay.stderr
    reasons = {record["path"]: record["close_reason"] for record in relay.records()}
    assert reasons == {"/way": "the proxy ended", "/endless": "the proxy ended"}


@pytest.mark.parametrize("second", SIGNALS)
def test_a_second_signal_ends_it_at_once(new_relay: NewRelay, app: App, second: int) -> None:
    relay = new_relay()
    pid = worker_pid(relay)
    with tunnel(relay, app) as (client, served):
        begin_drain(relay)
        started = time.monotonic()
        relay.child.process.send_signal(second)
        assert ended(relay, 5) == 0
        assert time.monotonic() - started < 3
        assert is_reset(client)
        assert is_reset(served)
    assert not exists(pid)
    assert "Traceback" not in relay.stderr


def test_two_signals_in_one_moment_are_no_trouble(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    with tunnel(relay, app):
        relay.child.process.send_signal(signal.SIGTERM)
        relay.child.process.send_signal(signal.SIGINT)
        assert ended(relay, 5) == 0
    assert "Traceback" not in relay.stderr


def test_a_worker_ends_by_itself_when_its_supervisor_is_killed(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    pid = worker_pid(relay)
    with tunnel(relay, app) as (client, served):
        relay.child.process.kill()
        assert is_reset(client)
        assert is_reset(served)
    until(lambda: not exists(pid), "the worker has ended")
    assert not accepts(relay)


def test_a_terminals_interrupt_reaches_the_whole_group_and_drains_all_the_same(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    pid = worker_pid(relay)
    with tunnel(relay, app) as (client, served):
        os.kill(pid, signal.SIGINT)  # what the worker would get if it shared the terminal's group
        os.kill(pid, signal.SIGTERM)
        begin_drain(relay, signal.SIGINT)
        client.sendall(b"still here")
        assert read_exactly(served, 10) == b"still here"
    assert ended(relay) == 0


def test_a_worker_that_dies_costs_its_own_connections_and_another_one_serves_the_next(
    new_relay: NewRelay, app: App
) -> None:
    relay = new_relay()
    pid = worker_pid(relay)
    with tunnel(relay, app) as (client, served):
        os.kill(pid, signal.SIGKILL)
        is_reset(client)
        is_reset(served)
        with tunnel(relay, app) as (client, served):
            client.sendall(b"and on")
            assert read_exactly(served, 6) == b"and on"
    assert worker_pid(relay) != pid
    relay.child.wait_for_line("was killed by SIGKILL; another one starts")
    assert relay.stop() == 0


def test_a_slow_reader_gets_the_rest_of_its_response(new_relay: NewRelay, app: App) -> None:
    body = os.urandom(40_000_000)
    relay = new_relay()
    with relay.connection() as client, ThreadPoolExecutor(1) as pool:
        client.sendall(request(relay, app.target))
        with app.accept() as served:
            read_head(served)
            sending = pool.submit(served.sendall, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            read_head(client)
            begin_drain(relay)
            assert not sending.done()
            assert read_exactly(client, len(body)) == body
            sending.result(DEADLINE_S)
        client.close()
    assert ended(relay) == 0


def test_the_port_is_free_again_at_once(new_relay: NewRelay, app: App) -> None:
    relay = new_relay()
    with tunnel(relay, app):
        begin_drain(relay)
        successor = new_relay(listen=f"127.0.0.1:{relay.port}")
        assert successor.port == relay.port
        with successor.connection() as client:
            client.sendall(upgrade_request(successor, app.target))
            with app.accept() as served:
                assert read_head(served).startswith(b"GET /way ")
    assert ended(relay) == 0


def test_draining_before_any_listener_was_used_and_with_several(new_relay: NewRelay) -> None:
    relay = new_relay("--listen", "[::1]:0", "--listen", "127.0.0.1:0")
    relay.child.wait_for(lambda: sum("listening on" in line for line in relay.child.stdout) == 3, "three listeners")
    lines = [line for line in relay.child.stdout if "listening on" in line]
    ports = [int(line.partition(" for ")[0].rpartition(":")[2]) for line in lines]
    assert len(set(ports)) == 3
    begin_drain(relay)
    assert ended(relay) == 0
    for port, family in zip(ports, (socket.AF_INET, socket.AF_INET6, socket.AF_INET), strict=True):
        with socket.socket(family) as probe, pytest.raises(ConnectionRefusedError):
            probe.connect(("::1" if family == socket.AF_INET6 else "127.0.0.1", port))
