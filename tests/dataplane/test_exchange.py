"""One connection, many messages: keep-alive, pipelining, versions, methods, statuses, 1xx and odd targets."""

import contextlib
import fcntl
import os
import select
import signal
import socket
import sys
import termios
from collections.abc import Iterator

import pytest

from dataplane.origins import Origin, Talk, answering, echo, origin, saying
from dataplane.procfs import worker_pid
from dataplane.wire import Message, Wire, chunked, request, response
from relay import DOMAIN, Relay


@pytest.fixture(scope="module")
def app() -> Iterator[Origin]:
    """Sends back each request's start line and body."""
    with origin(answering(echo)) as running:
        yield running


@pytest.fixture
def wire(relay: Relay) -> Iterator[Wire]:
    with Wire(relay.connection()) as connection:
        yield connection


def answer_to(relay: Relay, answer: bytes, *, method: str = "GET", version: str = "1.1") -> tuple[Message, Wire]:
    """What a client gets when an app says ``answer`` and closes; the connection is still open."""
    with origin(saying(answer)) as app:
        wire = Wire(relay.connection())
        wire.send(request(relay.host(app.target), method=method, version=version))
        return wire.read_response(method), wire


# Keep-alive


def test_requests_follow_each_other_on_one_connection_and_reuse_one_to_the_app(relay: Relay, wire: Wire) -> None:
    with origin(answering(echo)) as app:
        for number in range(20):
            wire.send(request(relay.host(app.target), f"/{number}"))
            answer = wire.read_response()
            assert answer.body == b"GET /%d HTTP/1.1\n" % number
            assert answer.one(b"connection") is None

        assert app.accepted == 1


def test_connection_close_of_the_client_is_obeyed_and_not_passed_on(relay: Relay, app: Origin, wire: Wire) -> None:
    wire.send(request(relay.host(app.target), "/", "Connection: close"))
    answer = wire.read_response()

    assert answer.one(b"connection") == b"close"
    assert wire.read_rest() == b""
    assert app.requests[-1].one(b"connection") is None


def test_connection_close_of_the_app_concerns_the_client_not(relay: Relay, wire: Wire) -> None:
    with origin(answering(response(b"bye", "Connection: close", "Keep-Alive: timeout=5"))) as app:
        for _ in range(3):
            wire.send(request(relay.host(app.target)))
            answer = wire.read_response()
            assert (answer.body, answer.one(b"connection"), answer.one(b"keep-alive")) == (b"bye", None, None)

        assert app.accepted == 3


def test_a_request_that_arrives_byte_by_byte_is_the_same_request(relay: Relay, app: Origin, wire: Wire) -> None:
    wire.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in request(relay.host(app.target), "/slowly", method="PUT", body=b"piece by piece"):
        wire.send(bytes([byte]))

    assert wire.read_response().body == b"PUT /slowly HTTP/1.1\npiece by piece"


@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_a_request_may_be_split_anywhere(relay: Relay, app: Origin, coding: str) -> None:
    host = relay.host(app.target)
    if coding == "length":
        data = request(host, "/split", method="POST", body=b"0123456789")
    else:
        framing = "Transfer-Encoding: chunked"
        data = request(host, "/split", framing, method="POST", body=chunked(b"012", b"3456789"))
    with Wire(relay.connection()) as wire:
        wire.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(1, len(data)):
            wire.send(data[:at])
            wire.send(data[at:])
            assert wire.read_response().body == b"POST /split HTTP/1.1\n0123456789", at


# Pipelining


def test_500_pipelined_requests_in_one_write_are_answered_in_order(relay: Relay, app: Origin, wire: Wire) -> None:
    wire.send(b"".join(request(relay.host(app.target), f"/{number}") for number in range(500)))

    for number in range(500):
        assert wire.read_response().body == b"GET /%d HTTP/1.1\n" % number


def test_pipelined_requests_are_routed_each_by_its_own_host(relay: Relay, app: Origin, wire: Wire) -> None:
    with origin(answering(response(b"the other"))) as other:
        here, there, nowhere = relay.host(app.target), relay.host(other.target), f"nowhere.{DOMAIN}"
        elsewhere = "example.org"
        body = ("Content-Length: 4",)
        wire.send(
            request(here, "/1")
            + request(there, "/2", *body, method="POST", body=b"body")
            + request(nowhere, "/3")
            + request(here, "/4", *body, method="POST", body=b"body")
            + request(elsewhere, "/5")
            + request(there, "/6", method="HEAD")
            + request(nowhere, "/7", method="HEAD")
            + request(here, "/8")
        )
        answers = [wire.read_response("HEAD" if number in (6, 7) else "GET") for number in range(1, 9)]

    assert [answer.status for answer in answers] == [200, 200, 404, 200, 421, 200, 404, 200]
    assert [answer.body for answer in answers if answer.status == 200] == [
        b"GET /1 HTTP/1.1\n",
        b"the other",
        b"POST /4 HTTP/1.1\nbody",
        b"",
        b"GET /8 HTTP/1.1\n",
    ]


def test_pipelined_requests_before_a_half_close_are_all_answered(relay: Relay, app: Origin, wire: Wire) -> None:
    wire.send(b"".join(request(relay.host(app.target), f"/{number}") for number in range(5)))
    wire.say_no_more()

    bodies = [wire.read_response().body for _ in range(5)]
    assert bodies == [b"GET /%d HTTP/1.1\n" % number for number in range(5)]
    assert wire.read_rest() == b""


def test_a_request_that_comes_just_as_the_answer_before_it_goes_out_is_served(relay: Relay) -> None:
    """With one of these sizes only the last piece waits, and both become possible while the worker looks away."""
    sized = answering(lambda message: response(bytes(int(message.target[1:]))))
    worker = worker_pid(relay)
    with origin(sized) as app:
        for size in range(1_500_000, 6_000_000, 500_000):
            with Wire(socket.socket()) as wire:
                wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                wire.sock.connect(("127.0.0.1", relay.port))
                wire.send(request(relay.host(app.target), f"/{size}"))
                head = wire.read_head()
                until_it_stops_coming(wire)
                os.kill(worker, signal.SIGSTOP)
                try:
                    received = len(wire.ahead)
                    wire.ahead = b""
                    wire.sock.settimeout(0.05)
                    with contextlib.suppress(TimeoutError):
                        while received < size:
                            received += len(wire.sock.recv(1 << 20))
                    wire.send(request(relay.host(app.target), "/5"))
                finally:
                    os.kill(worker, signal.SIGCONT)
                wire.sock.settimeout(10.0)
                wire.read_exactly(int(head.one(b"content-length") or 0) - received)
                assert wire.read_response().body == bytes(5), size


def until_it_stops_coming(wire: Wire) -> None:
    """Return when what waits in the client's receive buffer grows no more."""
    steady, before = 0, -1
    while steady < 3:
        waiting = int.from_bytes(fcntl.ioctl(wire.sock, termios.FIONREAD, bytes(4)), sys.byteorder)
        steady = steady + 1 if waiting == before else 0
        before = waiting
        select.select([], [], [], 0.01)


def test_a_request_behind_connection_close_is_not_served(relay: Relay, wire: Wire) -> None:
    with origin(answering(echo)) as app:
        host = relay.host(app.target)
        wire.send(request(host, "/last", "Connection: close") + request(host, "/beyond"))

        assert wire.read_response().body == b"GET /last HTTP/1.1\n"
        assert wire.read_rest() == b""
        assert [message.target for message in app.requests] == [b"/last"]


# HTTP/1.0


def test_http_1_0_closes_without_being_asked(relay: Relay, app: Origin, wire: Wire) -> None:
    wire.send(request(relay.host(app.target), version="1.0"))
    answer = wire.read_response()

    assert (answer.status, answer.body, answer.one(b"connection")) == (200, b"GET / HTTP/1.1\n", b"close")
    assert wire.read_rest() == b""


def test_http_1_0_keeps_the_connection_when_it_asks(relay: Relay, app: Origin, wire: Wire) -> None:
    for _ in range(3):
        wire.send(request(relay.host(app.target), "/", "Connection: keep-alive", version="1.0"))
        answer = wire.read_response()
        assert (answer.body, answer.one(b"connection")) == (b"GET / HTTP/1.1\n", b"keep-alive")


def test_http_1_0_gets_a_chunked_response_unchunked_until_the_end(relay: Relay, wire: Wire) -> None:
    chunks = response(chunked(b"one ", b"two"), "Transfer-Encoding: chunked")
    with origin(answering(chunks)) as app:
        wire.send(request(relay.host(app.target), "/", "Connection: keep-alive", version="1.0"))
        answer = wire.read_response()

    assert answer.one(b"transfer-encoding") is None
    assert (answer.one(b"connection"), answer.body) == (b"close", b"one two")


def test_an_http_1_0_app_is_relayed_and_its_connection_not_reused(relay: Relay, wire: Wire) -> None:
    with origin(answering(response(b"old", version="1.0"))) as app:
        for _ in range(2):
            wire.send(request(relay.host(app.target)))
            answer = wire.read_response()
            assert (answer.start, answer.body) == (b"HTTP/1.1 200 OK", b"old")

        assert app.accepted == 2


# Methods and statuses without a body


@pytest.mark.parametrize("framing", ["Content-Length: 1234", "Transfer-Encoding: chunked"])
def test_a_head_response_keeps_its_framing_field_and_has_no_body(relay: Relay, wire: Wire, framing: str) -> None:
    with origin(answering(response(b"", framing))) as app:
        for _ in range(3):
            wire.send(request(relay.host(app.target), method="HEAD"))
            answer = wire.read_response("HEAD")
            assert answer.status == 200
            assert framing.encode() in answer.head

        assert app.accepted == 1


@pytest.mark.parametrize(
    ("status", "fields", "kept"),
    [
        ("204 No Content", [], None),
        ("304 Not Modified", [], None),
        ("304 Not Modified", ["Content-Length: 5000", 'ETag: "a"'], b"5000"),
        ("204 No Content", ["Content-Length: 0"], None),
    ],
)
def test_204_and_304_have_no_body_whatever_their_fields_say(
    relay: Relay, wire: Wire, status: str, fields: list[str], kept: bytes | None
) -> None:
    with origin(answering(response(b"", *fields, status=status))) as app:
        for _ in range(3):
            wire.send(request(relay.host(app.target)))
            answer = wire.read_response()
            assert answer.start == f"HTTP/1.1 {status}".encode()
            assert answer.one(b"content-length") == kept
            assert answer.one(b"connection") is None

        assert app.accepted == 1


def test_the_status_line_passes_as_it_is(relay: Relay) -> None:
    answer, wire = answer_to(relay, response(status="299 Fine \xe9, really"))
    with wire:
        assert answer.start == b"HTTP/1.1 299 Fine \xe9, really"


def test_a_426_names_the_protocol_that_the_app_wants(relay: Relay) -> None:
    required = (
        b"HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno"
    )
    answer, wire = answer_to(relay, required)
    with wire:
        assert (answer.one(b"upgrade"), answer.one(b"connection")) == (b"websocket", b"upgrade")
        assert answer.body == b"no"


# Interim responses


def test_interim_responses_are_passed_on_in_order(relay: Relay) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
    first, wire = answer_to(relay, b"HTTP/1.1 102 Processing\r\n\r\n" + hints + hints + response(b"done"))
    with wire:
        following = [wire.read_response() for _ in range(3)]

    assert [first.status, *(answer.status for answer in following)] == [102, 103, 103, 200]
    assert following[0].one(b"link") == b"</style.css>; rel=preload"
    assert following[2].body == b"done"


def test_interim_responses_are_kept_from_http_1_0(relay: Relay) -> None:
    answer, wire = answer_to(relay, b"HTTP/1.1 103 Early Hints\r\n\r\n" + response(b"done"), version="1.0")
    with wire:
        assert (answer.status, answer.body) == (200, b"done")


def test_an_expectation_goes_end_to_end(relay: Relay, wire: Wire) -> None:
    def script(talk: Talk) -> None:
        head = talk.read_head()
        assert head.one(b"expect") == b"100-continue"
        assert talk.ahead == b""
        talk.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        talk.send(response(b"got " + talk.read_request_body(head).body))
        talk.wait_for_the_end()

    with origin(script) as app:
        fields = ("Expect: 100-continue", "Content-Length: 4")
        wire.send(request(relay.host(app.target), "/", *fields, method="POST"))
        assert wire.read_response().status == 100
        wire.send(b"body")
        answer = wire.read_response()

    assert (answer.status, answer.body) == (200, b"got body")


@pytest.mark.parametrize("status", ["417 Expectation Failed", "413 Content Too Large"])
def test_an_expectation_that_is_refused_gets_the_final_answer_without_a_body_sent(
    relay: Relay, wire: Wire, status: str
) -> None:
    def script(talk: Talk) -> None:
        talk.read_head()
        talk.send(response(b"no", status=status))
        talk.wait_for_the_end()

    with origin(script) as app:
        fields = ("Expect: 100-continue", "Content-Length: 4000000")
        wire.send(request(relay.host(app.target), "/", *fields, method="POST"))
        answer = wire.read_response()

        assert answer.start == f"HTTP/1.1 {status}".encode()
        assert (answer.body, answer.one(b"connection")) == (b"no", b"close")
        assert wire.read_rest() == b""


def test_an_expectation_of_http_1_0_is_not_passed_on(relay: Relay, app: Origin, wire: Wire) -> None:
    fields = ("Expect: 100-continue", "Content-Length: 4")
    wire.send(request(relay.host(app.target), "/", *fields, method="POST", version="1.0", body=b"body"))

    assert wire.read_response().body == b"POST / HTTP/1.1\nbody"
    assert app.requests[-1].one(b"expect") is None


# Targets


@pytest.mark.parametrize(
    ("method", "target", "seen"),
    [
        ("GET", "http://{host}/a/b?c=d", b"/a/b?c=d"),
        ("GET", "HTTP://{host}", b"/"),
        ("GET", "http://{host}?q", b"/?q"),
        ("GET", "https://{host}//x", b"//x"),
        ("OPTIONS", "http://{host}", b"*"),
        ("OPTIONS", "*", b"*"),
        ("OPTIONS", "/x", b"/x"),
        ("GET", "//example.org/x", b"//example.org/x"),
        ("GET", '/%00%zz?a[]=|{{}}\\^`"<>', b'/%00%zz?a[]=|{}\\^`"<>'),
    ],
)
def test_targets_arrive_in_origin_form(
    relay: Relay, app: Origin, wire: Wire, method: str, target: str, seen: bytes
) -> None:
    host = relay.host(app.target)
    wire.send(request(host, target.format(host=host), method=method))

    assert wire.read_response().status == 200
    assert app.requests[-1].target == seen
    assert app.requests[-1].one(b"host") == host.encode()


@pytest.mark.parametrize("target", ["example.org:443", "{host}", "/", "http://{host}/"])
def test_connect_is_refused(relay: Relay, app: Origin, wire: Wire, target: str) -> None:
    host = relay.host(app.target)
    before = len(app.heads)
    wire.send(request(host, target.format(host=host), method="CONNECT"))
    answer = wire.read_response()

    assert (answer.status, answer.one(b"proxy-status")) == (405, b"fingerpost; error=http_request_denied")
    assert answer.one(b"allow") is not None
    assert wire.read_rest() == b""
    assert len(app.heads) == before
