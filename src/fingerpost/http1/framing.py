"""Where a body ends: three framings behind one small interface (RFC 9112 §6).

A framing is fed what arrives, gives back the body's own bytes, and says when it is done; what lies behind the
body is then in `surplus`. It buffers at most one chunk line or one trailer section.
"""

import re
from typing import Protocol

from fingerpost.errors import MessageError
from fingerpost.http1.grammar import CRLF, HEAD_END
from fingerpost.http1.head import Fields, parse_trailers

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
        "_max_fields",
        "_max_section_bytes",
        "_partial_line",
        "_section",
        "done",
        "surplus",
        "trailers",
    )

    def __init__(self, max_trailer_bytes: int, max_fields: int) -> None:
        self._max_section_bytes = len(CRLF) + max_trailer_bytes
        self._max_fields = max_fields
        self._partial_line = b""  # the beginning of a chunk line
        self._in_chunk = 0  # bytes of the running chunk still to come, its CRLF included
        self._section: bytearray | None = None  # behind the last chunk: its line's CRLF, then the trailers
        self.done = False
        self.surplus = b""
        self.trailers = b""  # its lines, as in `Fields.kept`

    def decode(self, data: bytes) -> bytes:
        """See `Framing.decode`. Also raises 431, for trailers that are too large or too many."""
        if self._partial_line:
            data = self._partial_line + data
            self._partial_line = b""
        body: list[bytes] = []
        at = 0
        while at < len(data) and not self.done:
            if self._in_chunk:
                at = self._take_chunk(data, at, body)
            elif self._section is None:
                at = self._take_line(data, at)
            else:
                at = self._take_trailers(data, at, self._section)
        if self.done:
            self.surplus = data[at:]
        return body[0] if len(body) == 1 else b"".join(body)

    def _take_chunk(self, data: bytes, at: int, body: list[bytes]) -> int:
        """Take what is there of the running chunk and the CRLF behind it; return where it ends."""
        end = at + self._in_chunk
        content_end = max(at, end - 2)  # `at`, if all that is missing is the CRLF or its second half
        if content_end > at:
            body.append(data[at:content_end])
        if not CRLF[content_end - end :].startswith(data[content_end:end]):
            raise MessageError(400, "chunk data without CRLF behind it")
        taken_to = min(end, len(data))
        self._in_chunk = end - taken_to
        return taken_to

    def _take_line(self, data: bytes, at: int) -> int:
        """Read a chunk-size line, or keep the part of it that is there; return where it ends."""
        end = data.find(CRLF, at, at + _MAX_CHUNK_LINE_BYTES)
        if end < 0:
            self._partial_line = data[at:]
            if len(self._partial_line) >= _MAX_CHUNK_LINE_BYTES or b"\n" in self._partial_line:
                raise MessageError(400, "chunk line too long or with a bare line end")
            return len(data)
        match = _CHUNK_LINE.fullmatch(data, at, end)
        if match is None:
            raise MessageError(400, "not a chunk size")
        size = int(match[1], 16)
        if size:
            self._in_chunk = size + len(CRLF)
        else:
            self._section = bytearray(CRLF)
        return end + len(CRLF)

    def _take_trailers(self, data: bytes, at: int, section: bytearray) -> int:
        """Read the trailer section, or keep the part of it that is there; return where it ends.

        It is searched from where the last search ended, so a section that comes byte by byte costs no more.
        """
        held = len(section)
        section += data[at : at + self._max_section_bytes - held]
        end = section.find(HEAD_END, max(0, held - 3))
        if end < 0:
            if section.count(b"\n", held) != section.count(CRLF, held - 1):
                raise MessageError(400, "a bare line end in the trailers")
            if len(section) >= self._max_section_bytes:
                raise MessageError(431, "trailers too large")
            return len(data)
        if end:
            self.trailers = parse_trailers(bytes(section[:end]), self._max_fields)
        self.done = True
        return at + end + len(HEAD_END) - held


def request_framing(fields: Fields, http10: bool, max_trailer_bytes: int, max_fields: int) -> Framing | None:
    """How a request's body ends, or None if it has none (RFC 9112 §6.3).

    Raises:
        MessageError: 400, a Transfer-Encoding in HTTP/1.0, which has none (RFC 9112 §6.1).
    """
    if fields.chunked:
        if http10:
            raise MessageError(400, "Transfer-Encoding in HTTP/1.0")
        return ChunkedFraming(max_trailer_bytes, max_fields)
    return LengthFraming(fields.content_length) if fields.content_length else None


def encode_chunk(body: bytes) -> bytes:
    """One chunk; ``body`` must not be empty, for an empty chunk would end the message."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def encode_last_chunk(trailers: bytes) -> bytes:
    """The end of a chunked message; the trailers' lines each have their CRLF before them."""
    return b"0" + trailers + HEAD_END
