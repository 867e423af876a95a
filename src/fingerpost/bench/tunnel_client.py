"""The client of the tunnel works: upgrades, then messages that must come back as they were.

A process of its own with three commands: ``open`` (more tunnels, all at once), ``ping`` (messages through all
that are open, one under way in each) and ``close``. The bytes in a tunnel are not WebSocket frames: no relay
that is measured here looks at them.
"""

import contextlib
import errno
import select
import socket
import time
from collections import Counter
from collections.abc import Callable

from fingerpost.bench.load import FaultError, Outcome, Site, answer_commands, fault_kind, outcome
from fingerpost.bench.payload import message, websocket_accept, websocket_key

_READ_BYTES = 65536
_FIRST_MESSAGE_BYTES = 64
_REQUEST = (
    b"GET /socket HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n"
)


class _Tunnel:
    """One tunnel; ``step`` is called when its socket is ready, and says whether it has come to rest."""

    __slots__ = ("expected", "fd", "index", "left", "number", "received", "site", "size", "socket", "step")

    def __init__(self, number: int, site: Site) -> None:
        self.number = number
        self.site = site
        self.socket = socket.socket()
        self.fd = self.socket.fileno()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = self.expected = b""
        self.index = self.left = self.size = 0
        self.step: Callable[[], bool] = self.greet

    def connect(self) -> None:
        error = self.socket.connect_ex(("127.0.0.1", self.site.port))
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, "connect")

    def greet(self) -> bool:
        if error := self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, "connect")
        self.socket.send(_REQUEST % (self.site.host.encode(), websocket_key(self.number)))
        self.step = self.read_answer
        return False

    def read_answer(self) -> bool:
        self.received += self.read()
        head, separator, rest = self.received.partition(b"\r\n\r\n")
        if not separator:
            return False
        if not head.startswith(b"HTTP/1.1 101 "):
            raise FaultError(f"status {head[9:12].decode('latin-1')} instead of 101")
        if websocket_accept(websocket_key(self.number)) not in head:
            raise FaultError("another tunnel's 101")
        if rest:
            raise FaultError("bytes that nobody sent")
        self.begin(1, _FIRST_MESSAGE_BYTES)
        return False

    def begin(self, messages: int, size: int) -> None:
        """Send the first of so many messages; the step is then to compare echoes and to send the others."""
        self.left = messages
        self.size = size
        self.received = b""
        self.step = self.compare
        self.send_next()

    def send_next(self) -> None:
        self.expected = message(self.number, self.index, self.size)
        self.index += 1
        if self.socket.send(self.expected) != self.size:
            raise FaultError("send buffer full")

    def compare(self) -> bool:
        data = self.read()
        if data != self.expected:
            self.received += data
            if not self.expected.startswith(self.received):
                raise FaultError("altered")
            if len(self.received) < self.size:
                return False
        self.received = b""
        self.left -= 1
        if self.left:
            self.send_next()
            return False
        return True

    def read(self) -> bytes:
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise FaultError("closed early")
        return data


_open: list[_Tunnel] = []


def _run(tunnels: list[_Tunnel], epoll: select.epoll, ends_at: float, faults: Counter[str]) -> list[_Tunnel]:
    """Let every tunnel come to rest; return those that did, in that order. The others are closed."""
    waiting = {tunnel.fd: tunnel for tunnel in tunnels}
    rested: list[_Tunnel] = []
    while waiting and (left_s := ends_at - time.perf_counter()) > 0:
        for fd, _ in epoll.poll(left_s, 1024):
            tunnel = waiting[fd]
            try:
                if tunnel.step():
                    rested.append(waiting.pop(fd))
                    epoll.unregister(fd)
                elif tunnel.step == tunnel.read_answer and not tunnel.received:
                    epoll.modify(fd, select.EPOLLIN)
            except BlockingIOError:
                pass
            except (OSError, FaultError) as error:
                faults[fault_kind(error)] += 1
                waiting.pop(fd).socket.close()
    for tunnel in waiting.values():
        faults["not done by the deadline"] += 1
        tunnel.socket.close()
    return rested


def open_tunnels(sites: list[tuple[str, int]], count: int, deadline_s: float) -> Outcome:
    """Open ``count`` more, all at once, in turn over the sites; done when the first message is back."""
    faults: Counter[str] = Counter()
    first = len(_open)
    tunnels = [_Tunnel(n, Site(*sites[n % len(sites)])) for n in range(first, first + count)]
    with contextlib.closing(select.epoll(count)) as epoll:
        started = time.perf_counter()
        connecting = []
        for tunnel in tunnels:
            try:
                tunnel.connect()
            except OSError as error:
                faults[fault_kind(error)] += 1
                tunnel.socket.close()
                continue
            epoll.register(tunnel.fd, select.EPOLLOUT)
            connecting.append(tunnel)
        rested = _run(connecting, epoll, started + deadline_s, faults)
        found = outcome(len(rested), started, faults)
    _open.extend(rested)
    return found


def ping(messages: int, size: int, deadline_s: float) -> Outcome:
    """Send about ``messages`` of ``size`` bytes through all open tunnels, each when the last is back."""
    faults: Counter[str] = Counter()
    each = max(1, messages // max(1, len(_open)))
    begun = []
    with contextlib.closing(select.epoll(max(1, len(_open)))) as epoll:
        started = time.perf_counter()
        for tunnel in _open:
            epoll.register(tunnel.fd, select.EPOLLIN)
            try:
                tunnel.begin(each, size)
                begun.append(tunnel)
            except (OSError, FaultError) as error:
                faults[fault_kind(error)] += 1
                tunnel.socket.close()
        rested = _run(begun, epoll, started + deadline_s, faults)
        found = outcome(each * len(rested), started, faults)
    _open[:] = rested
    return found


def close_tunnels(deadline_s: float) -> Outcome:
    """Close all that are open. It takes no time worth a deadline; every command gets one."""
    started = time.perf_counter()
    closed = len(_open)
    for tunnel in _open:
        tunnel.socket.close()
    _open.clear()
    return outcome(closed, started, Counter())


if __name__ == "__main__":
    answer_commands({"open": open_tunnels, "ping": ping, "close": close_tunnels})
