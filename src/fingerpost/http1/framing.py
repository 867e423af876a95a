"""Where a body ends: three framings behind one small interface (RFC 9112 §6).

A framing is fed what arrives, gives back the body's own bytes, and says when it is done; what lies behind the
body is then in `surplus`. It buffers at most one chunk line or one trailer section.
"""

import re
from typing import Protocol

from fingerpost.errors import MessageError
from fingerpost.http1.grammar import CRLF, HEAD_END
from fingerpost.http1.head import parse_trailers

# RFC 9112 §7.1: chunk-size [ chunk-ext ]. 15 digits fit 64 signed bits. White space in extensions is refused:
# it is the "bad whitespace" on which readers differ.
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_CHUNK_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,15})(?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb'|"[\t !#-\[\]-~\x80-\xff]*"))?)*'
)
_MAX_CHUNK_LINE_BYTES = 1024


class Framing(Protocol):
    """How the end of one body is known."""

    done: bool
    surplus: bytes

    def decode(self, data: bytes) -> bytes:
        """Take what arrived; return the body bytes in it (maybe none).

        Raises:
            MessageError: 400, the framing is broken.
        """
        ...


class LengthFraming:
    """A body of a known number of bytes; ``remaining`` of them have not been seen."""

    __slots__ = ("done", "remaining", "surplus")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.done = length == 0
        self.surplus = b""

    def decode(self, data: bytes) -> bytes:
        """See `Framing.decode`."""
        size = len(data)
        if size < self.remaining:
            self.remaining -= size
            return data
        body, self.surplus = data[: self.remaining], data[self.remaining :]
        self.remaining = 0
        self.done = True
        return body


class CloseFraming:
    """A response body that lasts until the connection ends; its owner sets ``done`` at the end."""

    __slots__ = ("done", "surplus")

    def __init__(self) -> None:
        self.done = False
        self.surplus = b""

    def decode(self, data: bytes) -> bytes:
        """See `Framing.decode`."""
        return data


class ChunkedFraming:
    """Transfer-Encoding: chunked (RFC 9112 §7.1).

    Extensions are read and dropped, as §7.1.1 lets an intermediary; trailers are kept in ``trailers``.
    """

    __slots__ = (
        "_in_chunk",
        "_in_trailers",
        "_max_fields",
        "_max_trailer_bytes",
        "_pending",
        "done",
        "surplus",
        "trailers",
    )

    def __init__(self, max_trailer_bytes: int, max_fields: int) -> None:
        self._max_trailer_bytes = max_trailer_bytes
        self._max_fields = max_fields
        self._pending = b""  # an incomplete chunk line or trailer section
        self._in_chunk = 0  # bytes of the running chunk still to come, its CRLF included
        self._in_trailers = False
        self.done = False
        self.surplus = b""
        self.trailers: list[bytes] = []

    def decode(self, data: bytes) -> bytes:
        """See `Framing.decode`."""
        if self._pending:
            data = self._pending + data
            self._pending = b""
        body: list[bytes] = []
        at = 0
        while not self.done:
            if self._in_chunk:
                at = self._take_chunk(data, at, body)
            if self._in_chunk:
                break
            next_at = self._take_trailers(data, at) if self._in_trailers else self._take_line(data, at)
            if next_at < 0:
                self._pending = data[at:]
                break
            at = next_at
        else:
            self.surplus = data[at:]
        return body[0] if len(body) == 1 else b"".join(body)

    def _take_chunk(self, data: bytes, at: int, body: list[bytes]) -> int:
        """Take what is there of the running chunk and the CRLF behind it; return where it ends in ``data``."""
        here = len(data) - at
        if here < self._in_chunk:
            content = min(here, self._in_chunk - 2)
            if content > 0:
                body.append(data[at : at + content])
            if content < here and data[at + max(content, 0)] != 0x0D:
                raise MessageError(400, "chunk data without CRLF behind it")
            self._in_chunk -= here
            return len(data)
        end = at + self._in_chunk
        expected = CRLF[-self._in_chunk :]  # one byte only, if the CR came with the read before
        if data[max(at, end - 2) : end] != expected:
            raise MessageError(400, "chunk data without CRLF behind it")
        if self._in_chunk > 2:
            body.append(data[at : end - 2])
        self._in_chunk = 0
        return end

    def _take_line(self, data: bytes, at: int) -> int:
        """Read a chunk-size line; return where it ends, or -1 if it isn't whole."""
        end = data.find(CRLF, at, at + _MAX_CHUNK_LINE_BYTES)
        if end < 0:
            if len(data) - at >= _MAX_CHUNK_LINE_BYTES or b"\n" in data[at:]:
                raise MessageError(400, "chunk line too long or with a bare line end")
            return -1
        match = _CHUNK_LINE.fullmatch(data, at, end)
        if match is None:
            raise MessageError(400, "not a chunk size")
        size = int(match[1], 16)
        if size:
            self._in_chunk = size + 2
        else:
            self._in_trailers = True
        return end + 2

    def _take_trailers(self, data: bytes, at: int) -> int:
        """Read the trailer section; return where it ends, or -1 if it isn't whole."""
        if data.startswith(CRLF, at):
            self.done = True
            return at + 2
        end = data.find(HEAD_END, at, at + self._max_trailer_bytes)
        if end < 0:
            if len(data) - at >= self._max_trailer_bytes:
                raise MessageError(431, "trailers too large")
            return -1
        self.trailers = parse_trailers(CRLF + data[at:end], self._max_fields)
        self.done = True
        return end + len(HEAD_END)


def encode_chunk(body: bytes) -> bytes:
    """One chunk; ``body`` must not be empty, for an empty chunk would end the message."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def encode_last_chunk(trailers: list[bytes]) -> bytes:
    """The end of a chunked message."""
    if not trailers:
        return b"0\r\n\r\n"
    return b"0\r\n" + CRLF.join(trailers) + HEAD_END
