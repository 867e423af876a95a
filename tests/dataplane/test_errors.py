"""What clients get when they can't be relayed: every status, its Proxy-Status, its body; nothing of the target."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from child import until
from dataplane.origins import (
    Origin,
    Script,
    Talk,
    answering,
    answers_twice,
    answers_twice_slowly,
    closes_after_the_request,
    closes_at_once,
    dies_mid_body,
    dies_mid_chunk,
    dies_mid_head,
    drips_its_head,
    echo,
    hangs_mid_body,
    hangs_mid_head,
    origin,
    reads_nothing,
    resets_after_the_request,
    resets_mid_body,
    saying,
    says_nothing,
)
from dataplane.wire import Message, Wire, request, response
from fingerpost import Keyring, seal
from relay import DOMAIN, Relay, start_relay


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A proxy with little patience for apps."""
    impatience = ("--response-timeout-s", "0.4", "--stream-idle-timeout-s", "0.4", "--connect-timeout-s", "0.4")
    flags = ("--body-stall-timeout-s", "0.6", "--max-head-bytes", "8192", *impatience)
    running = start_relay(tmp_path_factory.mktemp("relay"), *flags)
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def app() -> Iterator[Origin]:
    with origin(answering(echo)) as running:
        yield running


def ask(relay: Relay, host: str, *fields: str, method: str = "GET", path: str = "/") -> Message:
    with Wire(relay.connection()) as wire:
        wire.send(request(host, path, *fields, method=method))
        return wire.read_response(method)


def ask_app(relay: Relay, script: Script) -> Message:
    with origin(script) as running:
        return ask(relay, relay.host(running.target))


# Labels


def changed(label: str, at: int) -> str:
    return label[:at] + ("b" if label[at] == "a" else "a") + label[at + 1 :]


def test_every_label_that_does_not_open_gets_the_same_404_to_the_byte(relay: Relay, app: Origin) -> None:
    label = relay.label(app.target)
    hosts = [
        f"nowhere.{DOMAIN}",
        DOMAIN,
        f"a.{label}.{DOMAIN}",
        f"{'a' * 63}.{DOMAIN}",
        f"3fafc4c50e97eba68130981c7e0fe481.{DOMAIN}",
        f"{seal(app.target, relay.keyring, domain='apps.example.com')}.{DOMAIN}",
        f"{seal(app.target, Keyring.generate(), domain=DOMAIN)}.{DOMAIN}",
        *(f"{changed(label, at)}.{DOMAIN}" for at in range(len(label))),
        *(f"{label[:size]}.{DOMAIN}" for size in range(1, len(label))),
        f"{label}a.{DOMAIN}",
    ]
    seen = len(app.heads)
    answers: dict[bytes, list[str]] = {}
    for host in hosts:
        with Wire(relay.connection()) as wire:
            wire.send(request(host))
            wire.say_no_more()
            answers.setdefault(wire.read_rest(), []).append(host)

    assert len(answers) == 1, answers
    assert next(iter(answers)).startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert len(app.heads) == seen


@pytest.mark.parametrize(
    ("host", "status", "error"),
    [
        (f"nowhere.{DOMAIN}", 404, b"destination_not_found"),
        ("example.org", 421, b"http_request_error"),
        ("127.0.0.1:8080", 421, b"http_request_error"),
        ("[::1]", 421, b"http_request_error"),
        (f"nowhere.{DOMAIN}.example.org", 421, b"http_request_error"),
        (f"evil{DOMAIN}", 421, b"http_request_error"),
        ("", 400, b"http_request_error"),
        ("a b", 400, b"http_request_error"),
        (f"user@nowhere.{DOMAIN}", 400, b"http_request_error"),
        (f"nowhere.{DOMAIN}:99999", 400, b"http_request_error"),
        (f"nowhere.{DOMAIN}/", 400, b"http_request_error"),
    ],
)
def test_a_host_that_leads_nowhere(relay: Relay, host: str, status: int, error: bytes) -> None:
    answer = ask(relay, host)

    assert (answer.status, answer.one(b"proxy-status")) == (status, b"fingerpost; error=" + error)


def test_an_expired_label_is_gone(relay: Relay, app: Origin) -> None:
    label = seal(app.target, relay.keyring, domain=DOMAIN, expires_at=time.time() - 120)
    answer = ask(relay, f"{label}.{DOMAIN}")

    assert (answer.status, answer.one(b"proxy-status")) == (410, b"fingerpost; error=destination_not_found")


def test_the_case_of_a_label_and_the_port_and_dot_behind_its_domain_do_not_matter(relay: Relay, app: Origin) -> None:
    label = relay.label(app.target)
    for host in (label.upper() + ".LocalHost", f"{label}.{DOMAIN}:1", f"{label}.{DOMAIN}.", f"{label}.{DOMAIN}:"):
        assert ask(relay, host).status == 200, host


# Bodies


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, b"text/plain; charset=utf-8"),
        ("*/*", b"text/plain; charset=utf-8"),
        ("application/json", b"application/problem+json"),
        ("text/html;q=0.5, application/problem+json", b"application/problem+json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", b"text/html; charset=utf-8"),
        ("text/html;q=0, application/json;q=0", b"text/plain; charset=utf-8"),
        (";;q=x,,\xff", b"text/plain; charset=utf-8"),
    ],
)
def test_the_body_is_what_the_client_prefers(relay: Relay, accept: str | None, media_type: bytes) -> None:
    fields = [] if accept is None else [f"Accept: {accept}"]
    answer = ask(relay, f"nowhere.{DOMAIN}", *fields)

    assert answer.one(b"content-type") == media_type
    assert answer.one(b"cache-control") == b"no-store"
    if b"json" in media_type:
        problem = json.loads(answer.body)
        assert (problem["status"], problem["title"], problem["type"]) == (404, "Not Found", "about:blank")
    elif b"html" in media_type:
        assert answer.body.startswith(b"<!doctype html>")
        assert answer.body.rstrip().endswith(b"</html>")
    else:
        assert answer.body.count(b"\n") == 1


def test_the_answer_to_head_has_the_length_of_the_body_and_no_body(relay: Relay) -> None:
    full = ask(relay, f"nowhere.{DOMAIN}")
    with Wire(relay.connection()) as wire:
        wire.send(request(f"nowhere.{DOMAIN}", method="HEAD") + request(f"nowhere.{DOMAIN}"))
        head = wire.read_response("HEAD")
        assert wire.read_response().body == full.body

    assert head.head == full.head


def test_nothing_of_the_target_is_told(relay: Relay) -> None:
    port = free_port()
    for accept in ("application/json", "text/html", "*/*"):
        with Wire(relay.connection()) as wire:
            wire.send(request(relay.host(f"127.0.0.1:{port}"), "/", f"Accept: {accept}"))
            answer = wire.read_response()
            assert answer.status == 502
            assert b"127.0.0.1" not in answer.head + answer.body
            assert str(port).encode() not in answer.head + answer.body


# Apps that don't answer


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def deaf() -> Iterator[str]:
    """A target whose backlog is full: it never completes a handshake."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(address)
        yield f"127.0.0.1:{address[1]}"
        for sock in waiting:
            sock.close()


def test_an_app_that_is_down_is_502(relay: Relay) -> None:
    with Wire(relay.connection()) as wire:
        for _ in range(2):  # the connection goes on
            wire.send(request(relay.host(f"127.0.0.1:{free_port()}")))
            answer = wire.read_response()
            assert (answer.status, answer.one(b"connection")) == (502, None)
            assert answer.one(b"proxy-status") == b"fingerpost; error=connection_refused"


def test_a_name_without_an_address_is_502(relay: Relay) -> None:
    answer = ask(relay, relay.host("nowhere.invalid:80"))

    assert (answer.status, answer.one(b"proxy-status")) == (502, b"fingerpost; error=dns_error")


def test_an_app_that_does_not_accept_is_504(relay: Relay) -> None:
    with deaf() as target:
        answer = ask(relay, relay.host(target))

    assert (answer.status, answer.one(b"proxy-status")) == (504, b"fingerpost; error=connection_timeout")


@pytest.mark.parametrize(
    ("script", "status", "error"),
    [
        (says_nothing, 504, b"http_response_timeout"),
        (hangs_mid_head, 504, b"http_response_timeout"),
        (drips_its_head, 504, b"http_response_timeout"),
        (closes_at_once, 502, b"connection_terminated"),
        (closes_after_the_request, 502, b"connection_terminated"),
        (resets_after_the_request, 502, b"connection_terminated"),
        (dies_mid_head, 502, b"connection_terminated"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_app_that_answers_too_little(relay: Relay, script: Script, status: int, error: bytes) -> None:
    with origin(script) as running, Wire(relay.connection()) as wire:
        wire.send(request(relay.host(running.target)))
        answer = wire.read_response()
        assert (answer.status, answer.one(b"proxy-status")) == (status, b"fingerpost; error=" + error)
        until(lambda: running.open == 0, "the app's connection is closed", 2.0)
        assert len(running.heads) <= 1  # not asked again

        wire.send(request(f"nowhere.{DOMAIN}"))
        assert wire.read_response().status == 404


def test_an_app_that_does_not_read_the_body_is_504(relay: Relay) -> None:
    with origin(reads_nothing) as running, Wire(relay.connection()) as wire:
        wire.send(request(relay.host(running.target), "/", "Content-Length: 100000000", method="POST"))
        wire.sock.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            for _ in range(1500):
                wire.send(bytes(1 << 16))
        wire.sock.settimeout(5)
        answer = wire.read_response()

    assert (answer.status, answer.one(b"proxy-status")) == (504, b"fingerpost; error=connection_write_timeout")


def test_a_client_that_stops_in_its_body_gets_408_and_its_app_is_left(relay: Relay) -> None:
    with origin(answering(echo)) as running, Wire(relay.connection()) as wire:
        wire.send(request(relay.host(running.target), "/", "Content-Length: 10", method="POST", body=b"1234"))
        answer = wire.read_response()

        assert (answer.status, answer.one(b"connection")) == (408, b"close")
        assert wire.read_rest() == b""
        until(lambda: running.open == 0, "the app's connection is closed")
        assert running.requests == []


# Apps that talk nonsense

GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300) + b"\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    b"220 mail ESMTP\r\n\r\n",
    b"HTTP/2.0 200 OK\r\n\r\n",
    b"HTTP/1.2 200 OK\r\n\r\n",
    b"http/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 099 OK\r\n\r\n",
    b"HTTP/1.1  200 OK\r\n\r\n",
    b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\n\n",
    b"HTTP/1.1 200 OK\r\nX: y\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 O\0K\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n folded\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: y\r\n folded\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: \x01\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000,
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: y\nz\r\n\r\n",
    bytes(1_000_000),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: repr(garbage[:60]))
def test_an_app_that_talks_nonsense_is_502_at_once(relay: Relay, garbage: bytes) -> None:
    def script(talk: Talk) -> None:
        talk.read_request()
        talk.send(garbage)
        talk.wait_for_the_end()

    with origin(script) as running:
        answer = ask(relay, relay.host(running.target))
        assert (answer.status, answer.one(b"proxy-status")) == (502, b"fingerpost; error=http_protocol_error")
        until(lambda: running.open == 0, "the app's connection is closed")
        assert len(running.requests) == 1


@pytest.mark.parametrize(
    "script", [dies_mid_body, dies_mid_chunk, resets_mid_body, hangs_mid_body], ids=lambda script: script.__name__
)
def test_a_response_that_breaks_off_is_broken_off_for_the_client_too(relay: Relay, script: Script) -> None:
    with origin(script) as running:
        with pytest.raises((EOFError, ConnectionResetError)):
            ask(relay, relay.host(running.target))
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            relay.http().get(relay.url(running.target))
        until(lambda: running.open == 0, "the app's connections are closed")


def test_a_chunk_that_breaks_in_the_middle_of_a_response_breaks_it_off(relay: Relay) -> None:
    first_chunk_seen = threading.Event()

    def script(talk: Talk) -> None:
        talk.read_request()
        talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n")
        assert first_chunk_seen.wait(10)
        talk.send(b"zz\r\n")
        talk.wait_for_the_end()

    with origin(script) as running, Wire(relay.connection()) as wire:
        wire.send(request(relay.host(running.target)))
        assert wire.read_until(b"\r\ngood\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
        first_chunk_seen.set()
        with pytest.raises(ConnectionResetError):
            wire.read_rest()


@pytest.mark.parametrize("script", [answers_twice, answers_twice_slowly], ids=lambda script: script.__name__)
def test_an_answer_that_nobody_asked_for_reaches_nobody(relay: Relay, script: Script) -> None:
    with origin(script) as running, Wire(relay.connection()) as wire:
        for number in range(5):
            wire.send(request(relay.host(running.target), f"/{number}"))
            assert wire.read_response().body == b"first for /%d" % number
            until(lambda: running.open == 0, "the doubtful connection is closed")

        assert running.accepted == 5


def test_a_body_behind_a_head_response_reaches_nobody(relay: Relay) -> None:
    script = answering(response(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"))
    with origin(script) as running, Wire(relay.connection()) as wire:
        for _ in range(3):
            wire.send(request(relay.host(running.target), method="HEAD"))
            assert wire.read_response("HEAD").status == 200
            until(lambda: running.open == 0, "the doubtful connection is closed")
        assert wire.ahead == b""


# The worker goes on


def test_a_thousand_misdeeds_later_the_worker_serves(relay: Relay, app: Origin) -> None:
    bad: list[Callable[[Talk], None]] = [closes_at_once, dies_mid_head, dies_mid_body, resets_mid_body]
    for script in [*bad, saying(GARBAGE[0])]:
        with origin(script) as running:
            for _ in range(200):
                with Wire(relay.connection()) as wire:
                    wire.send(request(relay.host(running.target)))

    assert ask(relay, relay.host(app.target)).status == 200
    assert "Traceback" not in relay.stderr
