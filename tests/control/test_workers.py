"""Several workers as users meet them: one address, all of them serving, one dying, a second proxy refused."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed

from child import until
from dataplane.origins import Origin, answering, echo, origin
from dataplane.wire import Wire, request
from relay import FINGERPOST, NewRelay, Relay, descendants
from upstreams import websocket_echo


@pytest.fixture(scope="module")
def app() -> Iterator[Origin]:
    with origin(answering(echo)) as running:
        yield running


def status(relay: Relay, app: Origin) -> int:
    """Of a request on a new connection."""
    with Wire(relay.connection()) as wire:
        wire.send(request(relay.host(app.target)))
        return wire.read_response().status


def connections(pid: int) -> int:
    """How many sockets a process has open."""
    links = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
    return sum(link.startswith("socket:") for link in links)


def test_connections_are_spread_over_all_workers(new_relay: NewRelay, app: Origin) -> None:
    relay = new_relay("--workers", "3")
    workers = descendants(relay.child.process.pid)
    assert len(workers) == 3
    before = {pid: connections(pid) for pid in workers}
    with ExitStack() as opened:
        for _ in range(60):
            wire = opened.enter_context(Wire(relay.connection()))
            wire.send(request(relay.host(app.target)))
            assert wire.read_response().status == 200
        assert all(connections(pid) - before[pid] >= 5 for pid in workers)
    assert relay.stop() == 0


def test_a_worker_that_is_killed_takes_only_its_own_connections_with_it(new_relay: NewRelay, app: Origin) -> None:
    relay = new_relay("--workers", "2")
    with websocket_echo() as target, ExitStack() as opened:
        sockets = [opened.enter_context(relay.websocket(target)) for _ in range(20)]
        victim = min(descendants(relay.child.process.pid))
        os.kill(victim, signal.SIGKILL)
        living = 0
        for websocket in sockets:
            try:
                websocket.send("hello")
                living += websocket.recv(timeout=10) == "hello"
            except (ConnectionClosed, OSError):
                continue
        assert 0 < living < 20
        assert [status(relay, app) for _ in range(20)] == [200] * 20
    until(lambda: len(descendants(relay.child.process.pid)) == 2, "two workers again")
    assert relay.stop() == 0


def test_a_second_proxy_is_refused_however_many_workers_either_has(new_relay: NewRelay) -> None:
    relay = new_relay("--workers", "2")
    command = [*FINGERPOST, "serve", "--workers", "2", "--listen", f"127.0.0.1:{relay.port}", "--key-file"]
    ended = subprocess.run(
        [*command, str(relay.directory / "keys")], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2
    assert f"listen: 127.0.0.1:{relay.port}: expected an address that nothing else listens on" in ended.stderr
    assert ended.stdout == ""


def test_a_port_is_free_again_when_all_workers_have_gone(new_relay: NewRelay) -> None:
    relay = new_relay("--workers", "3")
    assert relay.stop() == 0
    with socket.create_server(("127.0.0.1", relay.port)):
        pass


def served(relay: Relay, app: Origin, wire: Wire) -> bool:
    """Whether a connection gets what it asks for, and not 503."""
    try:
        wire.send(request(relay.host(app.target)))
        return wire.read_response().status == 200
    except OSError:
        return False


def test_limits_hold_for_all_workers_together(new_relay: NewRelay, app: Origin) -> None:
    relay = new_relay("--workers", "3", "--max-connections", "12", "--max-connections-per-client", "7")
    with ExitStack() as opened:

        def connect(source: str) -> Wire:
            sock = socket.create_connection(("127.0.0.1", relay.port), timeout=10, source_address=(source, 0))
            return opened.enter_context(Wire(sock))

        # One after the other: two workers that accept in the same moment may both take the last place.
        assert sum(served(relay, app, connect("127.0.0.1")) for _ in range(20)) == 7
        assert sum(served(relay, app, connect("127.0.0.2")) for _ in range(20)) == 5
        os.kill(min(descendants(relay.child.process.pid)), signal.SIGKILL)
        until(lambda: served(relay, app, connect("127.0.0.3")), "who was lost is not counted any more")
    assert relay.stop() == 0
