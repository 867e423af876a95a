"""Bodies both ways: every framing, early answers, sizes that don't fit into memory."""

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from child import until
from dataplane.origins import Origin, Talk, answering, echo, origin, refuses_the_body, saying
from dataplane.procfs import forget_peak, peak_mib, resident_mib, worker_pid
from dataplane.wire import Wire, chunked, request, response
from relay import Relay

LARGE_BYTES = 200_000_000
PIECE = bytes(range(256)) * 256
EXTRA_MIB = 12.0
"""What the worker may need on top while a large body passes."""

CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture(scope="module")
def app() -> Iterator[Origin]:
    with origin(answering(echo)) as running:
        yield running


@pytest.fixture
def wire(relay: Relay) -> Iterator[Wire]:
    with Wire(relay.connection()) as connection:
        yield connection


def post(relay: Relay, app: Origin, *fields: str, body: bytes) -> bytes:
    return request(relay.host(app.target), "/", *fields, method="POST", body=body)


# Requests


def test_a_chunked_request_arrives_chunked_without_extensions_and_with_its_trailers(
    relay: Relay, app: Origin, wire: Wire
) -> None:
    body = b'4;a=b;c="d;\te"\r\nWiki\r\n005\r\npedia\r\n0;last\r\nX-Sum: 42\r\nX-More: a, b\r\n\r\n'
    wire.send(post(relay, app, CHUNKED, "Trailer: X-Sum", body=body))
    assert wire.read_response().body == b"POST / HTTP/1.1\nWikipedia"

    seen = app.requests[-1]
    assert seen.one(b"content-length") is None
    assert sum(seen.chunks) == 9
    assert seen.trailers == [(b"x-sum", b"42"), (b"x-more", b"a, b")]


def test_trailers_that_speak_of_routing_are_dropped(relay: Relay, app: Origin, wire: Wire) -> None:
    trailers = b"Host: evil\r\nX-Forwarded-For: 1.2.3.4\r\nX-Fine: yes\r\nX_Real_IP: 1.2.3.4\r\n"
    wire.send(post(relay, app, CHUNKED, body=b"1\r\nx\r\n0\r\n" + trailers + b"\r\n"))

    assert wire.read_response().status == 200
    assert app.requests[-1].trailers == [(b"x-fine", b"yes")]


def test_an_empty_body_keeps_its_framing(relay: Relay, app: Origin, wire: Wire) -> None:
    for fields, body in ((("Content-Length: 0",), b""), ((CHUNKED,), b"0\r\n\r\n"), ((), b"")):
        wire.send(post(relay, app, *fields, body=body))
        assert wire.read_response().body == b"POST / HTTP/1.1\n"
        seen = app.requests[-1]
        framing = [f"{name.title().decode()}: {value.decode()}" for name, value in seen.fields]
        assert [line for line in framing if line.startswith(("Content-Length", "Transfer-Encoding"))] == [*fields]


@pytest.mark.parametrize(
    "broken",
    [
        b"g\r\nx\r\n0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"-1\r\n\r\n",
        b"1000000000000000\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"5;a b\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nBad Trailer: x\r\n\r\n",
        b"5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n",
        b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5;" + b"x" * 5000,
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_broken_chunks_get_400_and_the_app_no_end_of_the_request(
    relay: Relay, wire: Wire, broken: bytes, at_once: bool
) -> None:
    with origin(answering(echo)) as app:
        host = relay.host(app.target)
        wire.send(request(host, "/", CHUNKED, method="POST", body=b"3\r\nabc\r\n" + (broken if at_once else b"")))
        if not at_once:
            until(lambda: len(app.heads) == 1, "the head has arrived")
            wire.send(broken)
        answer = wire.read_response()

        assert (answer.status, answer.one(b"connection")) == (400, b"close")
        assert wire.read_rest() == b""
        until(lambda: app.open == 0, "the app's connection is closed")
        assert app.requests == []


def test_a_body_that_ends_too_soon_gets_400_and_the_app_no_end_of_the_request(relay: Relay, wire: Wire) -> None:
    with origin(answering(echo)) as app:
        host = relay.host(app.target)
        wire.send(request(host, "/", "Content-Length: 10", method="POST", body=b"12345"))
        wire.say_no_more()

        assert wire.read_response().status == 400
        until(lambda: app.open == 0, "the app's connection is closed")
        assert app.requests == []


# Responses


def test_a_chunked_response_stays_chunked_without_extensions_and_with_its_trailers(relay: Relay, wire: Wire) -> None:
    body = b'3;x="y"\r\none\r\n3\r\ntwo\r\n0\r\nX-Sum: 6\r\n\r\n'
    with origin(answering(response(body, CHUNKED, "Trailer: X-Sum"))) as app:
        for _ in range(3):
            wire.send(request(relay.host(app.target)))
            answer = wire.read_response()
            assert (answer.body, answer.trailers) == (b"onetwo", [(b"x-sum", b"6")])
            assert answer.one(b"connection") is None

        assert app.accepted == 1


@pytest.mark.parametrize("framing", [CHUNKED, "Content-Length: 27", None])
def test_a_response_may_be_split_anywhere(relay: Relay, framing: str | None) -> None:
    body = b"a b c d e f g h i j k l m n"
    fields = [] if framing is None else [framing]
    head = "\r\n".join(["HTTP/1.1 200 OK", "X: y", *fields, "", ""]).encode()
    whole = head + (chunked(body[:5], body[5:]) if framing == CHUNKED else body)
    splits = iter(range(1, len(whole)))

    def script(talk: Talk) -> None:
        for at in splits:
            talk.read_request()
            talk.send(whole[:at])
            talk.send(whole[at:])
            if framing is None:
                return

    with origin(script) as app:
        for at in range(1, len(whole)):
            with Wire(relay.connection()) as wire:
                wire.send(request(relay.host(app.target)))
                assert wire.read_response().body == body, at


def test_a_response_that_lasts_until_the_end_closes_the_clients_connection(relay: Relay, wire: Wire) -> None:
    with origin(saying(b"HTTP/1.1 200 OK\r\n\r\nall of it")) as app:
        wire.send(request(relay.host(app.target)))
        answer = wire.read_response()

    assert (answer.body, answer.one(b"connection")) == (b"all of it", b"close")


def test_pieces_reach_the_client_as_they_come(relay: Relay, wire: Wire) -> None:
    """What an event stream needs: nothing waits for more."""
    say = threading.Semaphore(0)

    def script(talk: Talk) -> None:
        talk.read_request()
        talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            assert say.acquire(timeout=10)
            talk.send(b"7\r\nevent %d\r\n" % number)
        talk.send(b"0\r\n\r\n")

    with origin(script) as app:
        wire.send(request(relay.host(app.target)))
        assert wire.read_head().status == 200
        for number in range(5):
            say.release()
            assert wire.read_exactly(12) == b"7\r\nevent %d\r\n" % number
        assert wire.read_exactly(5) == b"0\r\n\r\n"


# Early answers


def test_an_answer_may_begin_before_the_request_is_complete(relay: Relay, wire: Wire) -> None:
    def script(talk: Talk) -> None:
        """Sends back each piece as it comes."""
        talk.read_head()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n")
        for _ in range(4):
            talk.send(talk.read_exactly(10))
        talk.wait_for_the_end()

    with origin(script) as app:
        wire.send(request(relay.host(app.target), "/", "Content-Length: 40", method="POST"))
        head = wire.read_head()
        assert (head.status, head.one(b"connection")) == (200, b"close")
        for digit in b"1234":
            wire.send(bytes([digit]) * 10)
            assert wire.read_exactly(10) == bytes([digit]) * 10
        assert wire.read_rest() == b""


def test_a_client_that_sends_on_sees_the_413_of_an_app_that_closed(relay: Relay, wire: Wire) -> None:
    """It reads only when all is sent, as simple clients do: a reset before that would cost it the answer."""
    with origin(refuses_the_body) as app:
        size = 32_000_000
        wire.send(request(relay.host(app.target), "/", f"Content-Length: {size}", method="POST"))
        for _ in range(size // len(PIECE)):
            wire.send(PIECE)
        answer = wire.read_response()

    assert (answer.status, answer.body, answer.one(b"connection")) == (413, b"too much", b"close")


def test_httpx_sees_the_413_of_an_app_that_closed(relay: Relay) -> None:
    with origin(refuses_the_body) as app:
        pieces = (PIECE for _ in range(2000))
        answer = relay.http().post(relay.url(app.target), content=pieces)

    assert (answer.status_code, answer.text) == (413, "too much")


def test_a_client_that_sends_on_while_its_early_answer_waits_for_it_costs_nobody_else(relay: Relay) -> None:
    """With one of these sizes, the answer's last piece doesn't fit, when the app's connection is done with."""

    def script(talk: Talk) -> None:
        talk.send(response(bytes(int(talk.read_head().target[1:]))))
        talk.wait_for_the_end()

    with origin(script) as app:
        for size in range(1_000_000, 20_000_000, 60_000):
            with Wire(socket.socket()) as wire:
                wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                wire.sock.connect(("127.0.0.1", relay.port))
                wire.send(request(relay.host(app.target), f"/{size}", "Content-Length: 900000", method="POST"))
                wire.read_head()
                try:
                    until(lambda: app.open == 0, "the app has been read to the end", 0.2)
                except AssertionError:
                    break  # from here on, more than one piece waits
                wire.send(b"more")
    with Wire(relay.connection()) as wire:
        wire.send(request("nowhere.localhost"))
        assert wire.read_response().status == 404

    assert size > 1_000_000
    assert "Traceback" not in relay.stderr


# Sizes


def count_and_hash(talk: Talk) -> None:
    """Answers with the length and the hash of the body, which it doesn't keep."""
    head = talk.read_head()
    digest, left = hashlib.md5(), LARGE_BYTES
    if head.one(b"content-length") is not None:
        while left:
            piece = talk.read_exactly(min(left, 1 << 16))
            digest.update(piece)
            left -= len(piece)
    else:
        while size := int(talk.read_until(b"\r\n"), 16):
            digest.update(talk.read_exactly(size))
            talk.read_exactly(2)
            left -= size
        talk.read_exactly(2)
    talk.send(response(f"{LARGE_BYTES - left} {digest.hexdigest()}".encode()))
    talk.wait_for_the_end()


def large_body() -> Iterator[bytes]:
    for _ in range(LARGE_BYTES // len(PIECE)):
        yield PIECE
    yield PIECE[: LARGE_BYTES % len(PIECE)]


@pytest.fixture(scope="module")
def large_hash() -> str:
    digest = hashlib.md5()
    for piece in large_body():
        digest.update(piece)
    return digest.hexdigest()


@pytest.fixture
def memory_is_bounded(relay: Relay) -> Iterator[None]:
    pid = worker_pid(relay)
    forget_peak(pid)
    before = resident_mib(pid)
    yield
    assert peak_mib(pid) - before < EXTRA_MIB


@pytest.mark.usefixtures("memory_is_bounded")
@pytest.mark.parametrize("framing", [f"Content-Length: {LARGE_BYTES}", CHUNKED])
def test_a_request_of_200_mb_passes_in_bounded_memory(relay: Relay, wire: Wire, framing: str, large_hash: str) -> None:
    with origin(count_and_hash) as app:
        wire.send(request(relay.host(app.target), "/", framing, method="POST"))
        for piece in large_body():
            wire.send(b"%x\r\n%b\r\n" % (len(piece), piece) if framing == CHUNKED else piece)
        if framing == CHUNKED:
            wire.send(b"0\r\n\r\n")

        assert wire.read_response().body == f"{LARGE_BYTES} {large_hash}".encode()


def send_large(framing: str | None) -> Callable[[Talk], None]:
    def script(talk: Talk) -> None:
        talk.read_request()
        talk.send(f"HTTP/1.1 200 OK\r\n{framing or 'X: y'}\r\n\r\n".encode())
        for piece in large_body():
            talk.send(b"%x\r\n%b\r\n" % (len(piece), piece) if framing == CHUNKED else piece)
        if framing == CHUNKED:
            talk.send(b"0\r\n\r\n")

    return script


@pytest.mark.usefixtures("memory_is_bounded")
@pytest.mark.parametrize("framing", [f"Content-Length: {LARGE_BYTES}", CHUNKED, None])
def test_a_response_of_200_mb_passes_in_bounded_memory(relay: Relay, framing: str | None, large_hash: str) -> None:
    digest = hashlib.md5()
    size = 0
    with origin(send_large(framing)) as app:
        client = httpx.Client(trust_env=False, timeout=30.0)
        url, fields = f"http://127.0.0.1:{relay.port}/", {"Host": relay.host(app.target)}
        with client, client.stream("GET", url, headers=fields) as answer:
            for piece in answer.iter_raw(1 << 20):
                digest.update(piece)
                size += len(piece)

    assert (size, digest.hexdigest()) == (LARGE_BYTES, large_hash)
