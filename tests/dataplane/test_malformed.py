"""Heads that two readers could read differently: 400 and a closed connection, and the app hears nothing of them.

What the parser accepts and refuses is compared with other parsers in tests/http1. Here it is about the whole proxy:
each of these heads, and each of its prefixes with nothing behind it.
"""

from collections.abc import Iterator

import pytest

from dataplane.origins import Origin, answering, echo, origin
from dataplane.wire import Wire, chunked, request
from relay import Relay

H = "{host}"  # stands for a Host that leads to an app


def head(*lines: str, first: str = "GET / HTTP/1.1", host: str = f"Host: {H}") -> str:
    return "\r\n".join([first, *([host] if host else []), *lines, "", ""])


MALFORMED = {
    # The request line
    "no version": head(first="GET /"),
    "HTTP/0.9 and fields": head(first="GET / "),
    "HTTP/2.0": head(first="GET / HTTP/2.0"),
    "HTTP/1.2": head(first="GET / HTTP/1.2"),
    "version in lower case": head(first="GET / http/1.1"),
    "two spaces": head(first="GET  / HTTP/1.1"),
    "tab": head(first="GET\t/ HTTP/1.1"),
    "space in the target": head(first="GET /a b HTTP/1.1"),
    "space in front": head(first=" GET / HTTP/1.1"),
    "space behind": head(first="GET / HTTP/1.1 "),
    "empty line in front": "\r\n" + head(),
    "unknown method": head(first="BREW / HTTP/1.1"),
    "method in lower case": head(first="get / HTTP/1.1"),
    "no target": head(first="GET HTTP/1.1"),
    "relative target": head(first="GET a/b HTTP/1.1"),
    "fragment": head(first="GET /#a HTTP/1.1"),
    "control byte in the target": head(first="GET /\x01 HTTP/1.1"),
    "NUL in the target": head(first="GET /\0 HTTP/1.1"),
    "byte above ASCII in the target": head(first="GET /\xe9 HTTP/1.1"),
    "asterisk for GET": head(first="GET * HTTP/1.1"),
    "unknown scheme": head(first=f"GET ftp://{H}/ HTTP/1.1"),
    "another host in the target": head(first="GET http://example.org/ HTTP/1.1"),
    "userinfo in the target": head(first=f"GET http://a@{H}/ HTTP/1.1"),
    # Line ends
    "bare LF": head().replace("\r\n", "\n"),
    "bare LF behind the request line": head("X: y").replace("1.1\r\n", "1.1\n"),
    "bare LF in a field": head("X: y\nZ: w"),
    "bare CR in a field": head("X: y\rZ: w"),
    "bare CR before CRLF": head("X: y\r"),
    # Fields
    "NUL in a field": head("X: \0"),
    "control byte in a field": head("X: \x7f"),
    "obs-fold": head("X: y", " z"),
    "obs-fold with a tab": head("X: y", "\tz"),
    "white space before the first field": head(host=f" Host: {H}"),
    "space before the colon": head("X : y"),
    "space before Host's colon": head(host=f"Host : {H}"),
    "no colon": head("X"),
    "no name": head(": y"),
    "name that is no token": head("X(: y"),
    "name above ASCII": head("\xe9: y"),
    # Host
    "no Host": head(host=""),
    "two Hosts": head(f"Host: {H}"),
    "two different Hosts": head("Host: example.org"),
    "a list of Hosts": head(host=f"Host: {H}, {H}"),
    "userinfo in Host": head(host=f"Host: a@{H}"),
    # Framing
    "both framings": head("Content-Length: 3", "Transfer-Encoding: chunked"),
    "both framings, the other way round": head("Transfer-Encoding: chunked", "Content-Length: 3"),
    "two lengths": head("Content-Length: 3", "Content-Length: 4"),
    "the same length twice": head("Content-Length: 3", "Content-Length: 3"),
    "a list of lengths": head("Content-Length: 3, 3"),
    "signed length": head("Content-Length: +3"),
    "negative length": head("Content-Length: -3"),
    "hexadecimal length": head("Content-Length: 0x3"),
    "length with an underscore": head("Content-Length: 1_0"),
    "length with a space": head("Content-Length: 1 0"),
    "length of other digits": head("Content-Length: \xb2"),
    "no length": head("Content-Length:"),
    "length beyond 64 bits": head("Content-Length: 18446744073709551616"),
    "identity": head("Transfer-Encoding: identity"),
    "gzip, chunked": head("Transfer-Encoding: gzip, chunked"),
    "chunked, gzip": head("Transfer-Encoding: chunked, gzip"),
    "chunked twice": head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "xchunked": head("Transfer-Encoding: xchunked"),
    "quoted chunked": head('Transfer-Encoding: "chunked"'),
    "chunked with a parameter": head("Transfer-Encoding: chunked;a=b"),
    "chunked behind a vertical tab": head("Transfer-Encoding: \x0bchunked"),
    "no coding": head("Transfer-Encoding:"),
    "chunked in HTTP/1.0": head("Transfer-Encoding: chunked", first="POST / HTTP/1.0"),
    "unknown expectation": head("Expect: 200-ok"),
    # Other protocols
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\n",
    "SSH": "SSH-2.0-x\r\n\r\n",
}


@pytest.fixture(scope="module")
def app() -> Iterator[Origin]:
    with origin(answering(echo)) as running:
        yield running


def answer_to(relay: Relay, data: bytes, *, half_close: bool) -> bytes:
    """Everything that the proxy says until it closes."""
    with Wire(relay.connection()) as wire:
        wire.send(data)
        if half_close:
            wire.say_no_more()
        return wire.read_rest()


def is_refusal(answer: bytes) -> bool:
    """Whether it is one answer, 400, and the last one."""
    first = answer.startswith(b"HTTP/1.1 400 Bad Request\r\n") and b"\r\nConnection: close\r\n" in answer
    return first and answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("malformed", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_head_gets_400_and_the_connection_closes(relay: Relay, app: Origin, malformed: str) -> None:
    host = relay.host(app.target)
    data = malformed.replace(H, host).encode("latin-1")
    seen = len(app.heads)

    # What follows would be a request, if the head had been taken for one with or without a body.
    assert is_refusal(answer_to(relay, data + request(host, "/smuggled"), half_close=False))
    assert is_refusal(answer_to(relay, request(host, "/fine") + data, half_close=False).partition(b"HTTP/1.1\n")[2])
    assert [message.target for message in app.heads[seen:]] == [b"/fine"]


def test_every_prefix_of_a_malformed_head_gets_400_when_nothing_follows(relay: Relay, app: Origin) -> None:
    host = relay.host(app.target)
    heads = [malformed.replace(H, host).encode("latin-1") for malformed in MALFORMED.values()]
    prefixes = {data[:size] for data in heads for size in range(1, len(data))}
    seen = len(app.heads)

    for prefix in sorted(prefixes):
        assert is_refusal(answer_to(relay, prefix, half_close=True)), prefix
    assert answer_to(relay, b"", half_close=True) == b""
    assert len(app.heads) == seen


@pytest.mark.parametrize("fields", [("Content-Length: 10",), ("Transfer-Encoding: chunked",)])
def test_every_prefix_of_a_request_gets_400_and_the_app_never_a_whole_one(relay: Relay, fields: tuple[str]) -> None:
    with origin(answering(echo)) as app:
        host = relay.host(app.target)
        body = b"0123456789" if fields == ("Content-Length: 10",) else chunked(b"01234", b"56789")
        data = request(host, "/", *fields, method="POST", body=body)
        for size in range(1, len(data)):
            assert is_refusal(answer_to(relay, data[:size], half_close=True)), data[:size]

        assert app.requests == []
        assert answer_to(relay, data, half_close=True).startswith(b"HTTP/1.1 200 OK\r\n")
        assert [message.body for message in app.requests] == [b"0123456789"]
