"""The other readers: h11 and httptools (llhttp), asked what one message in some bytes is.

Both are asked in the strictest way they have, and for the same things: start line, fields as (lower-case
name, stripped value), body, trailers and how many bytes it all took.
"""

from collections.abc import Callable
from typing import NamedTuple

import h11
import httptools

from .reading import Pairs, byte_by_byte


class RefusedError(Exception):
    """The reader doesn't take it."""


class Reading(NamedTuple):
    """What a reader made of the bytes; ``size`` is where the next message begins."""

    start: tuple[bytes, bytes]
    fields: Pairs
    body: bytes
    trailers: Pairs
    size: int


Oracle = Callable[[bytes], Reading | None]
"""Returns None when the message isn't whole; raises `RefusedError`."""


def h11_request(data: bytes) -> Reading | None:
    """What h11 as a server makes of ``data``."""
    return _h11(h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20), data)


def h11_response(data: bytes) -> Reading | None:
    """What h11 as a client that asked with GET makes of ``data`` and the end of the connection."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "app")]))
    connection.send(h11.EndOfMessage())
    return _h11(connection, data, ends=True)


def _h11(connection: h11.Connection, data: bytes, ends: bool = False) -> Reading | None:
    start, fields, body = (b"", b""), Pairs(), b""
    connection.receive_data(data)
    while True:
        try:
            event = connection.next_event()
            if event is h11.NEED_DATA and ends:
                ends = False
                connection.receive_data(b"")
                continue
        except h11.RemoteProtocolError as error:
            raise RefusedError(f"h11: {error}") from error
        if isinstance(event, h11.Request):
            start, fields = (event.method, event.target), _clean(event.headers)
        elif isinstance(event, h11.Response):
            start, fields = (b"%d" % event.status_code, bytes(event.reason)), _clean(event.headers)
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            size = len(data) - len(connection.trailing_data[0])
            return Reading(start, fields, body, _clean(event.headers), size)
        else:
            return None


def _clean(headers: h11._headers.Headers) -> Pairs:
    return [(bytes(name).lower(), bytes(value).strip(b" \t")) for name, value in headers]


class _Sink:
    """Takes httptools' callbacks for one message."""

    def __init__(self) -> None:
        self.text = b""
        self.fields: Pairs = []
        self.trailers: Pairs = []
        self.body = b""
        self.in_trailers = False
        self.done = False

    def on_url(self, url: bytes) -> None:
        self.text += url

    def on_status(self, reason: bytes) -> None:
        self.text += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        pairs = self.trailers if self.in_trailers else self.fields
        pairs.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.in_trailers = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.done = True


def llhttp_request(data: bytes) -> Reading | None:
    """What httptools as a server makes of ``data``."""
    sink = _Sink()
    parser = httptools.HttpRequestParser(sink)
    size = _feed(parser, sink, data)
    if not sink.done:
        return None
    return Reading((parser.get_method(), sink.text), sink.fields, sink.body, sink.trailers, size)


def llhttp_response(data: bytes) -> Reading | None:
    """What httptools as a client makes of ``data`` and the end of the connection."""
    sink = _Sink()
    parser = httptools.HttpResponseParser(sink)
    size = _feed(parser, sink, data)
    framed = {b"content-length", b"transfer-encoding"} & {name for name, _ in sink.fields}
    if not sink.in_trailers or (framed and not sink.done):
        return None
    return Reading((b"%d" % parser.get_status_code(), sink.text), sink.fields, sink.body, sink.trailers, size)


def _feed(parser: httptools.HttpRequestParser | httptools.HttpResponseParser, sink: _Sink, data: bytes) -> int:
    """Feed byte by byte, because only so is it seen where the message ends; return that place."""
    for size, byte in enumerate(byte_by_byte(data), 1):
        try:
            parser.feed_data(byte)
        except httptools.HttpParserUpgrade:
            sink.done = True
        except httptools.HttpParserError as error:
            raise RefusedError(f"llhttp: {error}") from error
        if sink.done:
            return size
    return len(data)
