"""A WebSocket as a client has it, and how it is opened through a relay."""

import errno
import select
import socket
from collections import Counter
from typing import Protocol

from fingerpost.bench.load import frames
from fingerpost.bench.load.child import Site
from fingerpost.bench.load.heads import fields
from fingerpost.bench.load.outcome import FaultError
from fingerpost.bench.load.payload import websocket_accept, websocket_key

READ, WRITE = select.EPOLLIN, select.EPOLLOUT

_READ_BYTES = 131072
_MAX_HEAD_BYTES = 65536
_MAX_MESSAGE_BYTES = 1 << 20
_REQUEST = (
    b"GET /socket HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n"
)


class Tunnel:
    """One tunnel: a socket, and what is known of it between two tasks.

    Args:
        number: Its own, among all of a measurement.
        site: The app, and where to connect to.

    Attributes:
        index: The number of the next message to be sent in it.
    """

    __slots__ = ("fd", "index", "number", "site", "socket")

    def __init__(self, number: int, site: Site) -> None:
        self.number = number
        self.site = site
        self.index = 0
        self.socket = socket.socket()
        self.fd = self.socket.fileno()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self) -> bytes:
        """What has arrived.

        Raises:
            FaultError: The relay has closed it.
            OSError: It broke, or nothing is there.
        """
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise FaultError("closed early")
        return data


class Task(Protocol):
    """What is being done with one tunnel; `driver.run` does many at once.

    Attributes:
        interest: What the next step waits for: `READ`, `WRITE` or both.
        done: Units that were completed and right, so far.
    """

    tunnel: Tunnel
    interest: int
    done: int

    def step(self, events: int) -> bool:
        """Go on, now that the socket is ready; whether it is finished.

        Raises:
            FaultError: The relay did what it should not have done.
            OSError: The connection broke; or BlockingIOError, and nothing has happened.
        """

    def faults(self) -> Counter[str]:
        """What was wrong with it, asked once, when it is finished or given up."""


class Opening:
    """Connects and upgrades; finished when the app has accepted the upgrade."""

    __slots__ = ("_key", "_received", "done", "interest", "tunnel")

    def __init__(self, tunnel: Tunnel) -> None:
        self.tunnel = tunnel
        self.interest = WRITE
        self.done = 0
        self._key = websocket_key()
        self._received = b""

    def begin(self) -> None:
        """Begin to connect.

        Raises:
            OSError: It can't even begin.
        """
        error = self.tunnel.socket.connect_ex(("127.0.0.1", self.tunnel.site.port))
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, "connect")

    def step(self, events: int) -> bool:
        """Send the request once there is a connection; then read the answer."""
        tunnel = self.tunnel
        if self.interest == WRITE:
            if error := tunnel.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, "connect")
            tunnel.socket.send(_REQUEST % (tunnel.site.host.encode(), self._key))
            self.interest = READ
            return False
        self._received += tunnel.read()
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator:
            if len(self._received) > _MAX_HEAD_BYTES:
                raise FaultError("response head without an end")
            return False
        if not head.startswith(b"HTTP/1.1 101 "):
            raise FaultError(f"status {head[9:12].decode('latin-1')} instead of 101")
        answer = fields(head)
        if answer.get(b"upgrade", b"").lower() != b"websocket" or answer.get(b"connection", b"").lower() != b"upgrade":
            raise FaultError("101 without its upgrade")
        if answer.get(b"sec-websocket-accept") != websocket_accept(self._key):
            raise FaultError("another tunnel's 101")
        if rest:
            raise FaultError("bytes that nobody sent")
        self.done = 1
        return True

    def faults(self) -> Counter[str]:
        """None of its own: what can go wrong is raised."""
        return Counter()


def whole_frames(data: bytes) -> tuple[list[frames.Frame], bytes]:
    """The frames from an app that ``data`` begins with, and what is left.

    Raises:
        FaultError: It isn't frames.
    """
    at = 0
    found = []
    try:
        while frame := frames.read(data, at, masked=False, max_bytes=_MAX_MESSAGE_BYTES):
            found.append(frame)
            at += frame.size
    except frames.FrameError:
        raise FaultError("not a WebSocket frame") from None
    return found, data[at:]
