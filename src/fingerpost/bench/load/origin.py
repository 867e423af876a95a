"""The apps behind every relay: WebSocket echo servers and small HTTP servers, one a port, in one epoll loop.

Run as a program (``origin COUNT FIRST LAST``) it takes the first COUNT free ports from FIRST to LAST, prints them as a
JSON list, serves, and ends with its standard input. On every port it serves:

- an upgrade request: 101, then a WebSocket whose messages it sends back (RFC 6455), until a close;
- an upgrade request for ``/pour?bytes=N``, to the protocol ``bytes``: 101, then N bytes of the pattern;
- ``GET /pour?bytes=N``: the same bytes as a response body;
- ``GET /head``: the request head that it got, as the body;
- any other GET: a small body that says which ``n=`` it saw, and how often in the head.
"""

import errno
import json
import select
import socket
import sys
from collections.abc import Callable

from fingerpost.bench.load import frames
from fingerpost.bench.load.heads import fields
from fingerpost.bench.load.payload import PATTERN, websocket_accept

NUMBER_DIGITS = 10  # of the ``n=`` in a request target
BODY_BYTES = 512

_MAX_MESSAGE_BYTES = 1 << 20
_READ_BYTES = 131072
_POUR_BYTES = 262144
_MAX_HEAD_BYTES = 65536
_END = b"\r\n\r\n"
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: no-cache\r\n"
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: %b\r\nConnection: Upgrade\r\n"
_ACCEPT = b"Sec-WebSocket-Accept: %b\r\n\r\n"
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
# What RFC 6455 §4.2.1 wants of a client's request; a relay must not take it away.
_WANTED = {b"upgrade": b"websocket", b"connection": b"upgrade", b"sec-websocket-version": b"13"}
_SMALL = (
    _OK + b'Date: Mon, 01 Jan 2024 00:00:00 GMT\r\nETag: W/"5f3b-18d0"\r\nVary: Accept-Encoding\r\n'
    b"X-Content-Type-Options: nosniff\r\nContent-Length: %d\r\n\r\n" % BODY_BYTES
)


def small_body(number: bytes, seen: int) -> bytes:
    """The body that answers a request whose head holds ``number`` so many times."""
    return (b"%b seen %d times\n" % (number, seen)).ljust(BODY_BYTES, b".")


class _Connection:
    """One accepted connection: ``handle`` is what its next readiness is for."""

    __slots__ = ("closing", "epoll", "handle", "pour_bytes", "poured", "resume", "socket", "unread", "unsent")

    def __init__(self, accepted: socket.socket, epoll: select.epoll) -> None:
        self.socket = accepted
        self.epoll = epoll
        self.unread = b""
        self.unsent = b""
        self.pour_bytes = self.poured = 0
        self.closing = False
        self.handle: Callable[[], None] = self.read_head
        self.resume = self.handle  # what goes on once `unsent` is sent

    def read_head(self) -> None:
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise ConnectionResetError
        self.unread += data
        while self.handle == self.read_head and (end := self.unread.find(_END)) >= 0:
            head, self.unread = self.unread[: end + 4], self.unread[end + 4 :]
            self.answer(head)
        if len(self.unread) > _MAX_HEAD_BYTES:
            raise ConnectionResetError

    def answer(self, head: bytes) -> None:
        path = head[4 : head.find(b" ", 4)]
        found = fields(head) if b"pgrade" in head else {}
        if path.startswith(b"/pour?bytes="):
            self.pour_bytes, self.poured = int(path[12:]), 0
            if found.get(b"upgrade") == b"bytes":
                self.send(_SWITCHING % b"bytes" + b"\r\n")
            else:
                self.send(_OK + b"Content-Length: %d\r\n\r\n" % self.pour_bytes)
            if self.handle == self.flush:
                self.resume = self.pour
            else:
                self.handle = self.pour
            self.epoll.modify(self.socket, select.EPOLLOUT)
        elif b"sec-websocket-key" in found:
            self.open_websocket(found)
        elif path == b"/head":
            self.send(_OK + b"Content-Length: %d\r\n\r\n" % len(head) + head)
        else:
            number = path[path.find(b"n=") + 2 :][:NUMBER_DIGITS]
            self.send(_SMALL + small_body(number, head.count(number)))

    def open_websocket(self, request: dict[bytes, bytes]) -> None:
        if any(wanted not in request.get(name, b"").lower() for name, wanted in _WANTED.items()):
            self.closing = True
            self.send(_BAD_REQUEST)
            return
        self.handle = self.echo
        data, self.unread = self.unread, b""
        accept = _ACCEPT % websocket_accept(request[b"sec-websocket-key"])
        self.send(_SWITCHING % b"websocket" + accept + self.echoes(data))

    def echo(self) -> None:
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise ConnectionResetError
        if answer := self.echoes(self.unread + data if self.unread else data):
            self.send(answer)

    def echoes(self, data: bytes) -> bytes:
        """The answer to all whole frames in ``data``; what is left of it waits in ``unread``."""
        answers = []
        at = 0
        while not self.closing:
            answer, used = frames.echo_run(data[at:] if at else data)
            if not used:
                try:
                    frame = frames.read(data, at, masked=True, max_bytes=_MAX_MESSAGE_BYTES)
                except frames.FrameError:
                    raise ConnectionResetError from None
                if frame is None:
                    break
                answer, used = _answer_frame(frame), frame.size
                self.closing = frame.opcode == frames.CLOSE
            answers.append(answer)
            at += used
        self.unread = data[at:]
        return b"".join(answers)

    def pour(self) -> None:
        offset = self.poured % len(PATTERN)
        size = min(_POUR_BYTES, len(PATTERN) - offset, self.pour_bytes - self.poured)
        self.poured += self.socket.send(memoryview(PATTERN)[offset : offset + size])
        if self.poured == self.pour_bytes:
            self.pour_bytes = 0
            self.handle = self.read_head
            self.epoll.modify(self.socket, select.EPOLLIN)

    def send(self, data: bytes) -> None:
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.unsent, self.resume, self.handle = data[sent:], self.handle, self.flush
            self.epoll.modify(self.socket, select.EPOLLOUT)
        elif self.closing:
            raise ConnectionResetError  # all is said; the server is the one that closes first (RFC 6455 §7.1.1)

    def flush(self) -> None:
        self.unsent = self.unsent[self.socket.send(self.unsent) :]
        if self.unsent:
            return
        if self.closing:
            raise ConnectionResetError
        self.handle = self.resume
        self.epoll.modify(self.socket, select.EPOLLIN)


def _answer_frame(frame: frames.Frame) -> bytes:
    """A pong for a ping, a close for a close, nothing for a pong, and data as they are."""
    if frame.opcode == frames.PONG:
        return b""
    opcode = frames.PONG if frame.opcode == frames.PING else frame.opcode
    return frames.build(frame.payload, masked=False, opcode=opcode, final=frame.final)


def _listen(count: int, first: int, last: int) -> list[socket.socket]:
    """Listen on the first ``count`` ports that are free, from ``first`` to ``last``."""
    listeners: list[socket.socket] = []
    for port in range(first, last + 1):
        if len(listeners) == count:
            break
        listener = socket.socket()
        # Without it, connections of an earlier run that the kernel still remembers would hold the port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(65535)
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        listener.setblocking(False)
        listeners.append(listener)
    if len(listeners) < count:
        sys.exit(f"only {len(listeners)} of {count} ports are free from {first} to {last}")
    return listeners


def _accept(listener: socket.socket, epoll: select.epoll, connections: dict[int, _Connection]) -> None:
    for _ in range(256):
        try:
            accepted, _ = listener.accept()
        except OSError:  # nobody is there any more, or there is no descriptor for one: then its client says so
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections[accepted.fileno()] = _Connection(accepted, epoll)
        epoll.register(accepted, select.EPOLLIN)


def main() -> None:
    """Print the ports, then serve until standard input ends."""
    count, first, last = map(int, sys.argv[1:])
    listeners = {listener.fileno(): listener for listener in _listen(count, first, last)}
    connections: dict[int, _Connection] = {}
    epoll = select.epoll()
    for listening in listeners:
        epoll.register(listening, select.EPOLLIN)
    stdin = sys.stdin.fileno()
    epoll.register(stdin, select.EPOLLIN)
    print(json.dumps([listener.getsockname()[1] for listener in listeners.values()]), flush=True)
    while True:
        for fd, _ in epoll.poll(-1, 1024):
            if fd in connections:
                try:
                    connections[fd].handle()
                except BlockingIOError:
                    pass
                except (OSError, ValueError):  # gone, or a relay has made nonsense of what it asks for
                    connections.pop(fd).socket.close()
            elif fd in listeners:
                _accept(listeners[fd], epoll, connections)
            elif fd == stdin:
                return


if __name__ == "__main__":
    main()
