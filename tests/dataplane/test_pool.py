"""Idle connections to apps: how many, for how long, when they serve again, and what is repeated when one was stale."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from child import until
from dataplane.origins import Origin, Talk, answering, echo, origin
from dataplane.procfs import worker_pid
from dataplane.wire import Message, Wire, request, response
from relay import NewRelay, Relay, start_relay


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A proxy that keeps idle connections for longer than a test takes."""
    running = start_relay(tmp_path_factory.mktemp("relay"), "--pool-idle-timeout-s", "60")
    yield running
    assert running.stop() == 0


def ask(wire: Wire, host: str, method: str = "GET", body: bytes = b"") -> Message:
    wire.send(request(host, method=method, body=body))
    return wire.read_response(method)


def ask_at_once(relay: Relay, app: Origin, gate: threading.Barrier) -> None:
    """As many requests as the gate lets pass together, each answered on a connection of its own."""
    with contextlib.ExitStack() as opened:
        wires = [opened.enter_context(Wire(relay.connection())) for _ in range(gate.parties)]
        for wire in wires:
            wire.send(request(relay.host(app.target)))
        assert [wire.read_response().status for wire in wires] == [200] * gate.parties


@contextmanager
def meeting(parties: int) -> Iterator[tuple[Origin, threading.Barrier]]:
    """An app that answers when so many requests are there."""
    gate = threading.Barrier(parties)

    def answer(message: Message) -> bytes:
        gate.wait(10)
        return echo(message)

    with origin(answering(answer)) as app:
        yield app, gate


# How many and for how long


def test_the_pool_is_bounded_for_each_target_and_in_all(new_relay: NewRelay) -> None:
    relay = new_relay(*("--pool-max-idle-per-target", "2", "--pool-max-idle", "3"), *("--pool-idle-timeout-s", "60"))
    with meeting(5) as (one, gate), meeting(5) as (other, other_gate):
        ask_at_once(relay, one, gate)
        until(lambda: one.open == 2, "two of five are kept")
        ask_at_once(relay, other, other_gate)
        until(lambda: other.open == 1, "one more is kept, of another target")
        assert (one.open, one.accepted, other.accepted) == (2, 5, 5)


def test_idle_connections_are_closed_after_their_time(new_relay: NewRelay) -> None:
    relay = new_relay("--pool-idle-timeout-s", "0.3")
    with meeting(3) as (app, gate):
        ask_at_once(relay, app, gate)
        assert app.open == 3
        until(lambda: app.open == 0, "all are closed", 2.0)


def test_a_pool_of_none_makes_a_connection_for_each_request(new_relay: NewRelay) -> None:
    relay = new_relay("--pool-max-idle", "0")
    with origin(answering(echo)) as app, Wire(relay.connection()) as wire:
        for _ in range(3):
            assert ask(wire, relay.host(app.target)).status == 200
        until(lambda: app.open == 0, "none is kept")
        assert app.accepted == 3


def test_clients_share_the_connections_to_one_target_and_two_targets_share_none(relay: Relay) -> None:
    with origin(answering(echo)) as app, origin(answering(echo)) as other:
        for _ in range(5):
            with Wire(relay.connection()) as wire:
                assert ask(wire, relay.host(app.target)).status == 200
                assert ask(wire, relay.host(other.target)).status == 200
        assert (app.accepted, other.accepted) == (1, 1)


# Stale ones


def first_then(talk: Talk, second: Callable[[Talk], None]) -> None:
    """On the first connection: answer one request, and treat the next one badly. Later connections are good."""
    is_first = talk.origin.accepted == 1
    talk.read_request()
    talk.send(response(b"fine"))
    if is_first:
        second(talk)
    else:
        answering(response(b"fine"))(talk)


def closes(talk: Talk) -> None:
    talk.read_request()


def resets(talk: Talk) -> None:
    talk.read_request()
    talk.reset()


def says_half(talk: Talk) -> None:
    talk.read_request()
    talk.send(b"H")


def says_interim(talk: Talk) -> None:
    talk.read_request()
    talk.send(b"HTTP/1.1 102 Processing\r\n\r\n")


@pytest.mark.parametrize("second", [closes, resets], ids=lambda second: second.__name__)
@pytest.mark.parametrize(
    ("method", "body"), [("GET", b""), ("HEAD", b""), ("OPTIONS", b""), ("DELETE", b""), ("PUT", b"whole body")]
)
def test_what_may_be_repeated_is_sent_once_more_when_a_pooled_connection_closes(
    relay: Relay, second: Callable[[Talk], None], method: str, body: bytes
) -> None:
    with origin(lambda talk: first_then(talk, second)) as app, Wire(relay.connection()) as wire:
        host = relay.host(app.target)
        assert ask(wire, host).body == b"fine"
        assert ask(wire, host, method, body).status == 200

        assert app.accepted == 2
        assert [message.start.split()[0].decode() for message in app.requests] == ["GET", method, method]
        assert app.requests[1].body == app.requests[2].body == body


@pytest.mark.parametrize("second", [closes, resets], ids=lambda second: second.__name__)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_may_not_be_repeated_is_not(relay: Relay, second: Callable[[Talk], None], method: str) -> None:
    with origin(lambda talk: first_then(talk, second)) as app, Wire(relay.connection()) as wire:
        host = relay.host(app.target)
        assert ask(wire, host).body == b"fine"
        answer = ask(wire, host, method, b"body")

        assert (answer.status, answer.one(b"proxy-status")) == (502, b"fingerpost; error=connection_terminated")
        assert (app.accepted, len(app.heads)) == (1, 2)


@pytest.mark.parametrize("second", [says_half, says_interim], ids=lambda second: second.__name__)
def test_nothing_is_repeated_once_a_byte_of_an_answer_came(relay: Relay, second: Callable[[Talk], None]) -> None:
    with origin(lambda talk: first_then(talk, second)) as app, Wire(relay.connection()) as wire:
        host = relay.host(app.target)
        assert ask(wire, host).body == b"fine"
        answer = ask(wire, host)
        if answer.status == 102:
            answer = wire.read_response()

        assert answer.status == 502
        assert (app.accepted, len(app.heads)) == (1, 2)


def test_a_request_whose_body_is_still_coming_is_not_repeated(relay: Relay) -> None:
    def closes_on_the_head(talk: Talk) -> None:
        talk.read_head()

    with origin(lambda talk: first_then(talk, closes_on_the_head)) as app, Wire(relay.connection()) as wire:
        host = relay.host(app.target)
        assert ask(wire, host).body == b"fine"
        wire.send(request(host, "/", "Content-Length: 100", method="PUT", body=b"half"))

        assert wire.read_response().status == 502
        assert (app.accepted, len(app.heads)) == (1, 2)


def test_a_request_is_repeated_once_and_not_for_ever(relay: Relay) -> None:
    def script(talk: Talk) -> None:
        talk.read_request()
        if talk.origin.accepted == 1:
            talk.send(response(b"fine"))
            talk.read_request()

    with origin(script) as app, Wire(relay.connection()) as wire:
        host = relay.host(app.target)
        assert ask(wire, host).body == b"fine"

        assert ask(wire, host).status == 502
        assert (app.accepted, len(app.heads)) == (2, 3)


@contextmanager
def looking_away(relay: Relay) -> Iterator[None]:
    """Stop the worker, so that everything that happens meanwhile is news of one moment."""
    pid = worker_pid(relay)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_connection_that_the_app_closed_a_moment_ago_is_not_used(relay: Relay) -> None:
    go = threading.Event()

    def script(talk: Talk) -> None:
        talk.read_request()
        talk.send(response(b"fine"))
        if talk.origin.accepted == 1:
            assert go.wait(10)
        else:
            talk.wait_for_the_end()

    with origin(script) as app, Wire(relay.connection()) as wire:
        host = relay.host(app.target)
        assert ask(wire, host).body == b"fine"
        with looking_away(relay):
            wire.send(request(host, method="POST", body=b"once"))
            go.set()
            until(lambda: app.open == 0, "the app has closed it")
        assert wire.read_response().body == b"fine"
        assert [message.body for message in app.requests] == [b"", b"once"]


def test_an_answer_that_lies_on_an_idle_connection_is_not_taken_for_the_next_request(relay: Relay) -> None:
    go, gone = threading.Event(), threading.Event()

    def script(talk: Talk) -> None:
        talk.read_request()
        talk.send(response(b"fine"))
        if talk.origin.accepted == 1:
            assert go.wait(10)
            talk.send(response(b"NOBODY ASKED FOR THIS"))
            gone.set()
        talk.wait_for_the_end()

    with origin(script) as app, Wire(relay.connection()) as wire:
        host = relay.host(app.target)
        assert ask(wire, host).body == b"fine"
        with looking_away(relay):
            wire.send(request(host))
            go.set()
            assert gone.wait(10)
        assert wire.read_response().body == b"fine"
        assert app.accepted == 2
