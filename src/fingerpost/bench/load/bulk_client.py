"""The client of the bulk work: takes what the origin pours, in a tunnel or as a body, and compares it."""

import select
import socket
import time
from collections import Counter

from fingerpost.bench.load.child import Site, answer_commands
from fingerpost.bench.load.outcome import FaultError, Outcome, fault_kind
from fingerpost.bench.load.payload import PATTERN, websocket_accept, websocket_key

_READ_BYTES = 262144
_MAX_HEAD_BYTES = 65536
_UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n"


def take(site: tuple[str, int], amount: int, tunnel: bool, deadline_s: float) -> Outcome:
    """Ask for ``amount`` bytes and compare each with what it must be."""
    started = time.monotonic()
    faults: Counter[str] = Counter()
    taken = 0
    with socket.socket() as link:
        try:
            link.settimeout(deadline_s)
            link.connect(("127.0.0.1", Site(*site).port))
            begun = _ask(link, Site(*site).host, amount, tunnel)
            taken = _compare(link, begun, amount, started + deadline_s)
        except (OSError, FaultError) as error:
            faults[fault_kind(error)] += 1
    return Outcome.since(started, taken, faults)


def _ask(link: socket.socket, host: str, amount: int, tunnel: bool) -> bytes:
    """Send the request and read the response's head; return what came behind it."""
    key = websocket_key(amount)
    request = b"GET /pour?bytes=%d HTTP/1.1\r\nHost: %b\r\n" % (amount, host.encode())
    link.sendall(request + (_UPGRADE % key if tunnel else b"") + b"\r\n")
    received = b""
    while b"\r\n\r\n" not in received:
        data = link.recv(_READ_BYTES)
        if not data or len(received) > _MAX_HEAD_BYTES + _READ_BYTES:
            raise FaultError("no response head")
        received += data
    head, _, rest = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 101 " if tunnel else b"HTTP/1.1 200 "):
        raise FaultError(f"status {head[9:12].decode('latin-1')}")
    if (websocket_accept(key) if tunnel else b"%d" % amount) not in head:
        raise FaultError("altered head")
    return rest


def _compare(link: socket.socket, begun: bytes, amount: int, ends_at: float) -> int:
    """Read until ``amount`` bytes are there, all of them right; return how many."""
    buffer = bytearray(_READ_BYTES)
    view = memoryview(buffer)
    pattern = memoryview(PATTERN)
    if not PATTERN.startswith(begun):
        raise FaultError("altered")
    taken = len(begun)
    link.setblocking(False)
    while taken < amount:
        offset = taken % len(PATTERN)
        try:
            size = link.recv_into(view[: min(_READ_BYTES, len(PATTERN) - offset, amount - taken)])
        except BlockingIOError:
            if time.monotonic() > ends_at:
                raise FaultError("not done by the deadline") from None
            select.select([link], [], [], 0.1)
            continue
        if not size:
            raise FaultError("closed early")
        if not buffer.startswith(pattern[offset : offset + size]):
            raise FaultError("altered")
        taken += size
    return taken


if __name__ == "__main__":
    answer_commands({"take": take})
