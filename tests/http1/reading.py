"""Our side of every comparison: whole messages out of bytes, with nothing but `fingerpost.http1`.

The bytes come in pieces, because the same bytes must mean the same however the network cuts them.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fingerpost.errors import MessageError
from fingerpost.http1.framing import ChunkedFraming, CloseFraming, Framing, LengthFraming, request_framing
from fingerpost.http1.grammar import CRLF, HEAD_END, OWS, has_bare_line_end
from fingerpost.http1.head import (
    Fields,
    RequestFields,
    origin_form,
    parse_request_line,
    parse_response,
)

MAX_FIELDS = 64
MAX_TRAILER_BYTES = 4096

Pairs = list[tuple[bytes, bytes]]


class Request(NamedTuple):
    """A whole request as we understand it; ``size`` is how many bytes it took."""

    method: bytes
    target: bytes
    path: bytes
    http10: bool
    fields: RequestFields
    body: bytes
    trailers: list[bytes]
    size: int


class Response(NamedTuple):
    """A whole response as we understand it; ``size`` is how many bytes it took, if it says so itself."""

    status: int
    reason: bytes
    fields: Fields
    body: bytes
    trailers: list[bytes]
    size: int


def read_request(pieces: Iterable[bytes]) -> Request | None:
    """Read one request; None if it isn't whole. Raises MessageError."""
    stream = iter(pieces)
    head, rest = _take_head(stream)
    if head is None:
        return None
    line, end, lines = head.partition(CRLF)
    method, target, http10 = parse_request_line(line)
    fields = RequestFields(end + lines, MAX_FIELDS)
    path = origin_form(method, target, fields.host)
    framing = request_framing(fields, http10, MAX_TRAILER_BYTES, MAX_FIELDS)
    taken = _take_body(framing, rest, stream)
    if taken is None:
        return None
    body, trailers, size = taken
    return Request(method, target, path, http10, fields, body, trailers, len(head) + len(HEAD_END) + size)


def read_response(pieces: Iterable[bytes]) -> Response | None:
    """Read one final response to a GET, up to its end or else the connection's; None if it isn't whole."""
    stream = iter(pieces)
    head, rest = _take_head(stream)
    if head is None:
        return None
    status, status_line, _, fields = parse_response(head, MAX_FIELDS)
    framing: Framing = CloseFraming()
    if fields.chunked:
        framing = ChunkedFraming(MAX_TRAILER_BYTES, MAX_FIELDS)
    elif fields.content_length is not None:
        framing = LengthFraming(fields.content_length)
    taken = _take_body(framing, rest, stream)
    if taken is None:
        return None
    body, trailers, size = taken
    return Response(status, status_line[4:], fields, body, trailers, len(head) + len(HEAD_END) + size)


def _take_head(stream: Iterator[bytes]) -> tuple[bytes | None, bytes]:
    data = b""
    for piece in stream:
        data += piece
        end = data.find(HEAD_END)
        if end >= 0:
            return data[:end], data[end + len(HEAD_END) :]
        if has_bare_line_end(data):
            raise MessageError(400, "a bare CR or LF in the head")
    return None, b""


def _take_body(framing: Framing | None, rest: bytes, stream: Iterator[bytes]) -> tuple[bytes, list[bytes], int] | None:
    """The body, its trailers and how many bytes both took."""
    if framing is None or framing.done:
        return b"", [], 0
    body = framing.decode(rest)
    size = len(rest)
    while not framing.done:
        piece = next(stream, None)
        if piece is None:
            if isinstance(framing, CloseFraming):
                break
            return None
        body += framing.decode(piece)
        size += len(piece)
    return body, _trailers(framing), size - len(framing.surplus)


def _trailers(framing: Framing) -> list[bytes]:
    return lines_of(framing.trailers) if isinstance(framing, ChunkedFraming) else []


def lines_of(kept: bytes) -> list[bytes]:
    """The lines of a block in which each has its CRLF before it."""
    return kept.split(b"\r\n")[1:]


def split_pairs(lines: Iterable[bytes]) -> Pairs:
    """Field lines as (lower-case name, stripped value)."""
    pairs = (line.partition(b":") for line in lines)
    return [(name.lower(), value.strip(OWS)) for name, _, value in pairs]


def feedings(data: bytes) -> Iterator[list[bytes]]:
    """``data`` cut in every way that matters: whole, byte by byte, at every place into two."""
    yield [data]
    yield byte_by_byte(data)
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]


def byte_by_byte(data: bytes) -> list[bytes]:
    """One byte after the other."""
    return [data[at : at + 1] for at in range(len(data))]
