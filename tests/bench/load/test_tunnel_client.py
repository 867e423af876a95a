"""The clients are real WebSocket clients: somebody else's server understands them, and its close is answered."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from child import until
from fingerpost.bench.errors import BenchError
from fingerpost.bench.load.child import LoadProcess, Site
from fingerpost.bench.load.clients import Clients, shares

DEADLINE_S = 20.0


class Seen:
    """What somebody else's server has seen."""

    def __init__(self) -> None:
        self.messages: Counter[bytes] = Counter()
        self.close_codes: list[int | None] = []
        self.lock = threading.Lock()

    def echo(self, connection: ServerConnection) -> None:
        try:
            while True:
                message = connection.recv()
                assert isinstance(message, bytes)
                with self.lock:
                    self.messages[message] += 1
                connection.send(message)
        except ConnectionClosed as closed:
            with self.lock:
                self.close_codes.append(closed.rcvd.code if closed.rcvd else None)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def site(seen: Seen) -> Iterator[Site]:
    with serve(seen.echo, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Site("app.localhost", server.socket.getsockname()[1])
        server.shutdown()
        thread.join(DEADLINE_S)


@pytest.fixture
def clients(tmp_path: Path) -> Iterator[Clients]:
    members = [LoadProcess("tunnel_client", (), tmp_path / f"{number}.log") for number in range(2)]
    for member in members:
        member.wait_until_ready(DEADLINE_S)
    yield Clients(members, DEADLINE_S)
    for member in members:
        member.stop()


@pytest.mark.parametrize(("size", "rows"), [(8, 256), (20, 7), (1024, 63), (1024, 1), (65536, 1)])
def test_every_message_of_an_exchange_is_another_and_comes_back(
    seen: Seen, site: Site, clients: Clients, size: int, rows: int
) -> None:
    opened = clients.share("open", 6, [site], at_once=2, silence_s=5.0)
    assert (opened.done, clients.faults()) == (6, {})
    found = clients.call("exchange", messages=40, size=size, rows=rows, silence_s=5.0)
    assert (found.done, clients.faults()) == (240, {})
    assert len(seen.messages) == 240
    assert set(seen.messages.values()) == {1}
    until(lambda: len(seen.close_codes) == 6, "the server's having seen all closes")
    assert set(seen.close_codes) == {1000}


def test_a_ping_pong_can_be_repeated_and_never_repeats_a_message(seen: Seen, site: Site, clients: Clients) -> None:
    clients.share("open", 4, [site], at_once=4, silence_s=5.0)
    for _ in range(2):
        found = clients.call("ping", messages=10, size=100, late_s=10.0, silence_s=5.0)
        assert (found.done, found.late, found.latencies.total()) == (40, 0, 40)
    assert clients.faults() == {}
    assert len(seen.messages) == 80
    assert clients.call("close").done == 4


def test_visits_open_say_one_thing_and_close(seen: Seen, site: Site, clients: Clients) -> None:
    found = clients.share("visit", 30, [site], at_once=3, size=64, late_s=10.0, silence_s=5.0)
    assert (found.done, clients.faults()) == (30, {})
    assert found.longest_s > 0
    assert len(seen.messages) == 30
    until(lambda: len(seen.close_codes) == 30, "the server's having seen all closes")
    assert set(seen.close_codes) == {1000}


def test_a_refused_connection_is_counted(clients: Clients) -> None:
    nobody = Site("app.localhost", 1)
    assert clients.share("open", 3, [nobody], at_once=3, silence_s=5.0).done == 0
    assert clients.faults() == {"connection refused": 3}


def test_a_server_that_says_nothing_is_given_up(clients: Clients) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute_site = Site("app.localhost", mute.getsockname()[1])
        assert clients.share("open", 2, [mute_site], at_once=2, silence_s=0.5).done == 0
    assert clients.faults() == {"no answer": 2}


def test_a_command_that_fails_as_a_whole_says_why(tmp_path: Path) -> None:
    client = LoadProcess("tunnel_client", (), tmp_path / "log")
    try:
        client.wait_until_ready(DEADLINE_S)
        client.begin("exchange", {"messages": 1})
        with pytest.raises(BenchError, match="TypeError"):
            client.outcome(DEADLINE_S)
    finally:
        client.stop()


@pytest.mark.parametrize(("count", "workers"), [(7, 3), (2, 5), (0, 2), (9, 1)])
def test_shares_are_as_equal_as_they_can_be(count: int, workers: int) -> None:
    parts = shares(count, workers)
    assert (sum(parts), len(parts)) == (count, workers)
    assert max(parts) - min(parts) <= 1
