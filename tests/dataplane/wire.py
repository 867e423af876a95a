"""HTTP/1.1 by hand, for both ends of the proxy: whole messages out of a socket, byte for byte, nothing forgiven."""

import socket
from types import TracebackType
from typing import NamedTuple, Self

DEADLINE_S = 10.0
"""No read or write of a test waits longer than this."""


class Message(NamedTuple):
    """A request or a response, as it came.

    Attributes:
        head: Start line and fields, the empty line included.
        fields: Names in lower case and values, in order.
        body: Without its framing.
        trailers: As ``fields``.
        chunks: The sizes of the chunks that the body came in; empty when it wasn't chunked.
    """

    head: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = []  # noqa: RUF012 (never changed)
    chunks: list[int] = []  # noqa: RUF012

    @property
    def start(self) -> bytes:
        """The start line."""
        return self.head.partition(b"\r\n")[0]

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.start.split(b" ")[1])

    @property
    def target(self) -> bytes:
        """Of a request."""
        return self.start.split(b" ")[1]

    def all(self, name: bytes) -> list[bytes]:
        """Every value of a field."""
        return [value for key, value in self.fields if key == name.lower()]

    def one(self, name: bytes) -> bytes | None:
        """The only value of a field, or None."""
        values = self.all(name)
        assert len(values) <= 1, values
        return values[0] if values else None


class Wire:
    """One end of a TCP connection, with a deadline on everything.

    Attributes:
        sock: The socket.
        ahead: What was received and not asked for yet.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.ahead = b""
        sock.settimeout(DEADLINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.sock.sendall(data)

    def say_no_more(self) -> None:
        """Half-close: the peer reads an end, and may go on sending."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a reset instead of an end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def read_until(self, mark: bytes) -> bytes:
        """Everything up to ``mark``, and that.

        Raises:
            EOFError: The peer closed before; holds what came.
        """
        while (at := self.ahead.find(mark)) < 0:
            self._more()
        found, self.ahead = self.ahead[: at + len(mark)], self.ahead[at + len(mark) :]
        return found

    def read_exactly(self, size: int) -> bytes:
        """So many bytes, or EOFError as above."""
        pieces = [self.ahead]
        missing = size - len(self.ahead)
        while missing > 0:
            self.ahead = b""
            try:
                self._more()
            except EOFError:
                raise EOFError(b"".join(pieces)) from None
            pieces.append(self.ahead)
            missing -= len(self.ahead)
        data = b"".join(pieces)
        self.ahead = data[size:]
        return data[:size]

    def read_rest(self) -> bytes:
        """Everything until the peer's end. A reset raises ConnectionResetError."""
        pieces = [self.ahead]
        self.ahead = b""
        while piece := self.sock.recv(1 << 20):
            pieces.append(piece)
        return b"".join(pieces)

    def read_response(self, method: str = "GET") -> Message:
        """The next response; one with a 1xx status counts as one.

        Raises:
            EOFError: The peer closed before or within it.
        """
        message = self.read_head()
        if method == "HEAD" or message.status < 200 or message.status in (204, 304):
            return message
        return self._with_body(message, until_end=True)

    def read_request(self) -> Message:
        """The next request; EOFError as above."""
        return self.read_request_body(self.read_head())

    def read_request_body(self, message: Message) -> Message:
        """The request of which the head was read."""
        return self._with_body(message, until_end=False)

    def read_head(self) -> Message:
        """A head alone; EOFError as above."""
        head = self.read_until(b"\r\n\r\n")
        return Message(head, _fields(head.partition(b"\r\n")[2]))

    def _with_body(self, message: Message, *, until_end: bool) -> Message:
        length, coding = message.one(b"content-length"), message.one(b"transfer-encoding")
        assert length is None or coding is None, message.head
        if coding is not None:
            assert coding == b"chunked", message.head
            return self._with_chunks(message)
        if length is not None:
            return message._replace(body=self.read_exactly(int(length)))
        return message._replace(body=self.read_rest()) if until_end else message

    def _with_chunks(self, message: Message) -> Message:
        sizes: list[int] = []
        pieces: list[bytes] = []
        while size := int(self.read_until(b"\r\n"), 16):
            sizes.append(size)
            pieces.append(self.read_exactly(size))
            assert self.read_exactly(2) == b"\r\n"
        trailers = b""
        while not trailers.endswith(b"\r\n\r\n") and trailers != b"\r\n":
            trailers += self.read_until(b"\r\n")
        return message._replace(body=b"".join(pieces), trailers=_fields(trailers), chunks=sizes)

    def _more(self) -> None:
        data = self.sock.recv(1 << 20)
        if not data:
            raise EOFError(self.ahead)
        self.ahead += data


def request(
    host: str,
    path: str = "/",
    *fields: str,
    method: str = "GET",
    version: str = "1.1",
    body: bytes = b"",
) -> bytes:
    """A request's bytes. ``fields`` are whole lines; a body gets its Content-Length unless they frame it."""
    lines = [f"{method} {path} HTTP/{version}", f"Host: {host}", *fields]
    framed = any(line.lower().startswith(("content-length", "transfer-encoding")) for line in fields)
    if body and not framed:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def response(body: bytes = b"ok", *fields: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    """A response's bytes, with Content-Length unless ``fields`` frame it or its status forbids a body."""
    framed = any(line.lower().startswith(("content-length", "transfer-encoding")) for line in fields)
    lines = [f"HTTP/{version} {status}", *fields]
    if not framed and status[:3] not in ("204", "304"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(*pieces: bytes) -> bytes:
    """The pieces as chunks, and the last chunk."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _fields(block: bytes) -> list[tuple[bytes, bytes]]:
    pairs = (line.partition(b":") for line in block.split(b"\r\n") if line)
    return [(name.lower(), value.strip()) for name, _, value in pairs]
