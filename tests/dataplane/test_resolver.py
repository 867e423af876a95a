"""Host names: asked for once, off the loop, a few at a time, remembered for a while."""

import threading
import time

import pytest

from dataplane.running import run_until
from dataplane.tunnels import App, read_head, read_response, request
from fingerpost.dataplane.loop import Loop
from fingerpost.dataplane.resolver import Resolver
from relay import Relay

THREADS = 4


class NameServer:
    """Answers every name with an address made of its number; names in ``held`` wait until they are let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.held: dict[str, threading.Event] = {}

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        if host in self.held:
            assert self.held[host].wait(10)
        return [] if host.startswith("no") else [f"10.0.0.{len(host)}"]

    def hold(self, *hosts: str) -> None:
        for host in hosts:
            self.held[host] = threading.Event()

    def let_go(self) -> None:
        for event in self.held.values():
            event.set()


class Asker:
    """Asks, and keeps the answers."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self.answers: dict[str, list[list[str]]] = {}

    def ask(self, host: str) -> None:
        def answer(addresses: list[str]) -> None:
            self.answers.setdefault(host, []).append(addresses)

        self._resolver.resolve(host, answer)

    def count(self) -> int:
        return sum(map(len, self.answers.values()))


Setting = tuple[Loop, NameServer, Asker]


@pytest.fixture
def setting() -> Setting:
    loop = Loop()
    names = NameServer()
    return loop, names, Asker(Resolver(loop, 5.0, names))


def test_an_answer_comes_from_the_loop_and_is_remembered(setting: Setting) -> None:
    loop, names, asker = setting
    asker.ask("app")
    assert asker.answers == {}
    run_until(loop, lambda: asker.count() == 1)
    asker.ask("app")  # at once
    assert asker.answers == {"app": [["10.0.0.3"]] * 2}
    assert names.asked == ["app"]


def test_a_name_is_asked_for_again_when_its_time_is_over() -> None:
    loop, names = Loop(), NameServer()
    asker = Asker(Resolver(loop, 0.0, names))
    asker.ask("app")
    asked_again: list[bool] = []

    def twice() -> bool:
        if asker.count() == 1 and not asked_again:
            asked_again.append(True)
            asker.ask("app")
        return asker.count() == 2

    run_until(loop, twice)
    assert names.asked == ["app", "app"]


def test_a_name_without_an_address_is_remembered_as_such_for_a_second(setting: Setting) -> None:
    loop, names, asker = setting
    asker.ask("nobody")

    def ask_until_it_is_a_question_again() -> bool:
        if asker.count():
            asker.ask("nobody")
        return len(names.asked) == 2

    begun = loop.now
    run_until(loop, ask_until_it_is_a_question_again)
    assert loop.now - begun >= 0.9
    assert asker.answers["nobody"][:3] == [[], [], []]


def test_many_that_ask_for_one_name_make_one_question(setting: Setting) -> None:
    loop, names, asker = setting
    names.hold("app")
    for _ in range(100):
        asker.ask("app")
    names.let_go()
    run_until(loop, lambda: asker.count() == 100)
    assert names.asked == ["app"]


def test_many_names_at_once_are_all_answered_with_their_own_address(setting: Setting) -> None:
    loop, _, asker = setting
    hosts = [f"{'a' * length}-{number:03}" for length in (1, 20, 100) for number in range(150)]
    for host in hosts:
        asker.ask(host)
    run_until(loop, lambda: asker.count() == len(hosts))
    assert asker.answers == {host: [[f"10.0.0.{len(host)}"]] for host in hosts}


def test_more_names_than_may_wait_get_no_address_at_once(setting: Setting) -> None:
    loop, names, asker = setting
    hosts = [f"host-{number}" for number in range(1030)]
    names.hold(*hosts)
    for host in hosts:
        asker.ask(host)
    assert asker.answers == {host: [[]] for host in hosts[1024:]}
    names.let_go()
    run_until(loop, lambda: asker.count() == len(hosts))


def test_slow_names_do_not_hold_up_the_loop_nor_the_others(setting: Setting) -> None:
    loop, names, asker = setting
    slow = [f"slow-{number}" for number in range(THREADS - 1)]
    names.hold(*slow)
    for host in [*slow, "quick"]:
        asker.ask(host)
    started = time.monotonic()
    later: list[float] = []

    def seen() -> bool:
        if "quick" in asker.answers and not later:
            later.append(time.monotonic() - started)
            assert asker.count() == 1
            names.let_go()
        return asker.count() == THREADS

    run_until(loop, seen)
    assert later[0] < 5


def test_a_callback_that_raises_costs_no_other_its_answer(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    loop, names, asker = setting
    names.hold("app", "other")

    def explode(_addresses: list[str]) -> None:
        raise RuntimeError("a bug")

    asker.ask("app")
    asker._resolver.resolve("app", explode)
    asker.ask("app")
    asker.ask("other")
    names.let_go()
    run_until(loop, lambda: asker.count() == 3)
    assert loop.bugs == 1
    assert "a bug" in caplog.text


# --- through the relay --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["no-app.invalid", "unknown.test"])
def test_an_unknown_name_is_502(relay: Relay, host: str) -> None:
    with relay.connection() as client:
        client.sendall(request(relay, f"{host}:8888"))
        status, head, body = read_response(client)
    assert status == 502
    assert b"error=dns_error" in head
    assert host.encode() not in body
    record = relay.wait_for_record(lambda record: record["target"] == f"http://{host}:8888")
    assert record["close_reason"] == "the name has no address"


def test_many_requests_for_a_name_at_once_all_arrive(relay: Relay) -> None:
    with App() as app:
        clients = [relay.connection() for _ in range(50)]
        for client in clients:
            client.sendall(request(relay, f"localhost:{app.port}"))
        for _ in clients:
            with app.accept() as served:
                read_head(served)
                served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        for client in clients:
            assert read_response(client)[::2] == (200, b"ok")
            client.close()


def test_an_unknown_name_as_a_tcp_target_is_502_too(relay: Relay) -> None:
    with relay.connection() as client:
        client.sendall(request(relay, "tcp://no-app.invalid:22"))
        assert read_response(client)[0] == 502
