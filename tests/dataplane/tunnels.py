"""Both ends of a tunnel for tests, made of plain sockets, and what the worker between them costs.

The proxy is another process, so a test can be client and app in turn, on one thread; a socket's time-out is its
deadline.
"""

import fcntl
import os
import random
import socket
import ssl
import struct
import termios
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from child import until
from relay import Relay, descendants

DEADLINE_S = 20.0
BLOCK = random.Random(3).randbytes(1_000_003)  # a prime, so that no two pieces of a long stream are alike
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"


class App:
    """A listening socket on 127.0.0.1, whose connections the test takes one by one.

    Args:
        options: ``(level, option, value)`` set before it listens, so that connections inherit them.
        backlog: How many connections may wait.
    """

    def __init__(self, *options: tuple[int, int, int], backlog: int = 4096) -> None:
        self._listening = socket.socket()
        for option in options:
            self._listening.setsockopt(*option)
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(backlog)
        self._listening.settimeout(DEADLINE_S)
        self.port: int = self._listening.getsockname()[1]
        self.target = f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()

    def accept(self) -> socket.socket:
        """The next connection that the proxy makes."""
        sock, _ = self._listening.accept()
        sock.settimeout(DEADLINE_S)
        return sock


@contextmanager
def tunnel(relay: Relay, app: App) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A tunnel of the made-up protocol ``echo/1``.

    Yields:
        The client's socket and the app's.
    """
    client = relay.connection()
    with client:
        client.sendall(upgrade_request(relay, app.target))
        with app.accept() as served:
            read_head(served)
            served.sendall(SWITCHING % b"echo/1")
            assert read_head(client).startswith(b"HTTP/1.1 101 ")
            yield client, served


@contextmanager
def tcp_tunnel(relay: Relay, app: App, *, behind: bytes = b"") -> Iterator[tuple[socket.socket, socket.socket]]:
    """A tunnel to a ``tcp`` target, whose app has read the head.

    Yields:
        The client's socket and the app's.
    """
    head = tcp_head(relay, app)
    with relay.connection() as client:
        client.sendall(head + behind)
        with app.accept() as served:
            assert read_exactly(served, len(head)) == head
            yield client, served


def tcp_head(relay: Relay, app: App) -> bytes:
    """A head that leads to a ``tcp`` target, with all that a proxy would change if it read it."""
    host = relay.host(f"tcp://{app.target}").encode()
    return (
        b"POST /a?b HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1\r\nhOsT:  %b \r\nConnection: close, x-odd\r\n"
        b"x-odd: 1\r\nTransfer-Encoding: chunked\r\n\r\n" % host
    )


def upgrade_request(relay: Relay, target: str, protocol: bytes = b"echo/1", method: bytes = b"GET") -> bytes:
    """The head of a request that offers ``protocol``."""
    host = relay.host(target).encode()
    return b"%b /way HTTP/1.1\r\nHost: %b\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n" % (method, host, protocol)


def request(relay: Relay, target: str, method: bytes = b"GET", path: bytes = b"/") -> bytes:
    """A plain request without a body."""
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (method, path, relay.host(target).encode())


def read_head(sock: socket.socket) -> bytes:
    """Read up to and with the empty line, and not a byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        assert byte, f"closed after {head!r}"
        head += byte
    return head


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """Read ``size`` bytes; fewer mean that the peer closed."""
    data = bytearray()
    while len(data) < size and (piece := sock.recv(size - len(data))):
        data += piece
    return bytes(data)


def read_to_end(sock: socket.socket) -> bytes:
    """Read until the peer closes its side."""
    data = bytearray()
    while piece := sock.recv(65536):
        data += piece
    return bytes(data)


def read_response(sock: socket.socket) -> tuple[int, bytes, bytes]:
    """Read a response that has a Content-Length: status, head, body."""
    head = read_head(sock)
    length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
    return int(head.split(b" ")[1]), head, read_exactly(sock, int(length.partition(b":")[2]))


def is_reset(sock: socket.socket) -> bool:
    """Wait for the peer's end: whether it was a reset. Bytes on the way are thrown away."""
    try:
        while sock.recv(65536):
            pass
    except ssl.SSLEOFError:
        return True
    except ConnectionError:
        return True
    return False


def reset(sock: socket.socket) -> None:
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def send_bulk(sock: socket.socket, size: int) -> int:
    """Send ``size`` bytes made of BLOCK; return their CRC-32."""
    crc, left = 0, size
    while left:
        piece = memoryview(BLOCK)[:left]
        sock.sendall(piece)
        crc = zlib.crc32(piece, crc)
        left -= len(piece)
    return crc


def receive_bulk(sock: socket.socket, size: int) -> int:
    """Read ``size`` bytes; return their CRC-32.

    Raises:
        AssertionError: The end came before.
    """
    buffer = memoryview(bytearray(1 << 18))
    crc, left = 0, size
    while left:
        count = sock.recv_into(buffer[:left])
        assert count, f"closed {left} bytes early"
        crc = zlib.crc32(buffer[:count], crc)
        left -= count
    return crc


def transfer(source: socket.socket, sink: socket.socket, size: int) -> None:
    """Carry ``size`` bytes from one end to the other and compare."""
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send_bulk, source, size)
        assert receive_bulk(sink, size) == sent.result(DEADLINE_S)


def in_thread(pool: ThreadPoolExecutor, source: socket.socket, size: int) -> "Future[int]":
    """Begin to send in a thread of ``pool``."""
    return pool.submit(send_bulk, source, size)


def fill(sock: socket.socket, most: int) -> int:
    """Send until for a while nothing more is taken, or ``most`` bytes have gone; return how many went."""
    sock.settimeout(0.5)
    sent = 0
    try:
        while sent < most:
            sent += sock.send(memoryview(BLOCK)[sent % len(BLOCK) :][: most - sent])
    except TimeoutError:
        pass
    sock.settimeout(DEADLINE_S)
    return sent


def worker_pid(relay: Relay) -> int:
    """The worker's process id."""
    (pid,) = descendants(relay.child.process.pid)
    return pid


def descriptors(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def pipes(pid: int) -> int:
    """How many of its descriptors, standard output and error aside, are pipes' ends."""
    return len(_pipes(pid))


def bytes_in_pipes(pid: int) -> int:
    """How many bytes are held in its pipes: some are, where a tunnel in splice mode is stuck."""
    total = 0
    for path in _pipes(pid):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            total += struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))[0]
        finally:
            os.close(descriptor)
    return total


def _pipes(pid: int) -> list[str]:
    found = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{number}"
        try:
            if int(number) > 2 and os.readlink(path).startswith("pipe:"):
                found.append(path)
        except FileNotFoundError:
            continue  # closed meanwhile
    return found


def memory_kib(pid: int, key: str = "VmRSS") -> int:
    """Resident memory; ``VmHWM`` is its peak."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(key + ":")).split()[1])


def settled(probe_pid: int, count: int) -> None:
    """Wait until a process has at most ``count`` descriptors."""
    until(lambda: descriptors(probe_pid) <= count, f"{count} descriptors, not {descriptors(probe_pid)}")
