"""The client of the bulk experiment: takes what the app pours, in a tunnel or as a body, and compares it."""

import select
import socket
import time
from collections import Counter

from fingerpost.bench.load.child import Site, answer_commands
from fingerpost.bench.load.outcome import FaultError, Outcome, fault_kind
from fingerpost.bench.load.payload import PATTERN

_READ_BYTES = 262144
_MAX_HEAD_BYTES = 65536
_TICK_S = 0.1
_UPGRADE = b"Upgrade: bytes\r\nConnection: Upgrade\r\n"


def take(site: tuple[str, int], amount: int, tunnel: bool, deadline_s: float) -> Outcome:
    """Ask for ``amount`` bytes and compare each with what it must be."""
    began = time.monotonic()
    faults: Counter[str] = Counter()
    taking = _Taking(amount, began + deadline_s)
    with socket.socket() as link:
        try:
            link.settimeout(deadline_s)
            link.connect(("127.0.0.1", Site(*site).port))
            taking.all_of(link, _request(Site(*site).host, amount, tunnel), tunnel)
        except (OSError, FaultError) as error:
            faults[fault_kind(error)] += 1
    return Outcome.since(began, taking.taken, faults)


def _request(host: str, amount: int, tunnel: bool) -> bytes:
    upgrade = _UPGRADE if tunnel else b""
    return b"GET /pour?bytes=%d HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (amount, host.encode(), upgrade)


class _Taking:
    """One transfer; ``taken`` bytes have come, all of them right."""

    def __init__(self, amount: int, ends_at: float) -> None:
        self.taken = 0
        self._amount = amount
        self._ends_at = ends_at
        self._buffer = bytearray(_READ_BYTES)

    def all_of(self, link: socket.socket, request: bytes, tunnel: bool) -> None:
        """Send the request, read its answer's head, then compare until all is there and nothing more."""
        link.sendall(request)
        link.setblocking(False)
        head = b""
        while b"\r\n\r\n" not in head:
            size = self._read(link)
            if not size or len(head) > _MAX_HEAD_BYTES + _READ_BYTES:
                raise FaultError("no response head")
            head += self._buffer[:size]
        head, _, rest = head.partition(b"\r\n\r\n")
        self._check_head(head, tunnel)
        if not PATTERN.startswith(rest):
            raise FaultError("altered")
        self.taken = len(rest)
        pattern = memoryview(PATTERN)
        while self.taken < self._amount:
            offset = self.taken % len(PATTERN)
            size = self._read(link, min(len(PATTERN) - offset, self._amount - self.taken))
            if not size:
                raise FaultError("closed early")
            if not self._buffer.startswith(pattern[offset : offset + size]):
                raise FaultError("altered")
            self.taken += size
        self._expect_nothing(link)

    def _check_head(self, head: bytes, tunnel: bool) -> None:
        if not head.startswith(b"HTTP/1.1 101 " if tunnel else b"HTTP/1.1 200 "):
            raise FaultError(f"status {head[9:12].decode('latin-1')}")
        if (b"bytes" if tunnel else b"%d" % self._amount) not in head:
            raise FaultError("altered head")

    def _read(self, link: socket.socket, limit: int = _READ_BYTES) -> int:
        """Read into the buffer, and wait for it if nothing is there; 0 at the end of the stream."""
        while time.monotonic() < self._ends_at:
            try:
                return link.recv_into(self._buffer, min(limit, _READ_BYTES))
            except BlockingIOError:
                select.select([link], [], [], _TICK_S)
        raise FaultError("not done by the deadline")

    @staticmethod
    def _expect_nothing(link: socket.socket) -> None:
        """What came twice would lie behind the end."""
        try:
            if link.recv(1):
                raise FaultError("more than was asked for")
        except BlockingIOError:
            pass


if __name__ == "__main__":
    answer_commands({"take": take})
