"""One message under way at a time, each timed: how long a relay takes, and what it costs to wake it."""

import time
from collections import Counter

from fingerpost.bench.load import frames
from fingerpost.bench.load.ledger import Ledger
from fingerpost.bench.load.outcome import FaultError
from fingerpost.bench.load.payload import message
from fingerpost.bench.load.tunnel import READ, Tunnel, whole_frames


class PingPong:
    """Sends a message, and the next when it is back; finished after ``count`` of them.

    Args:
        tunnel: Open; it can be used again afterwards.
        count: How many messages.
        size: Of each, in bytes.
    """

    __slots__ = (
        "_count",
        "_due",
        "_expected",
        "_first",
        "_frame",
        "_ledger",
        "_sent_at",
        "_size",
        "_unread",
        "done",
        "interest",
        "latencies_s",
        "tunnel",
    )

    def __init__(self, tunnel: Tunnel, count: int, size: int) -> None:
        self.tunnel = tunnel
        self.interest = READ
        self.done = 0
        self.latencies_s: list[float] = []
        self._size = size
        self._first = self._due = tunnel.index
        self._count = count
        self._ledger: Ledger | None = None
        self._unread = b""
        self._prepare()

    def begin(self) -> None:
        """Send the first.

        Raises:
            FaultError: The relay doesn't take it.
            OSError: The tunnel is gone.
        """
        self._expected = frames.build(message(self.tunnel.number, self._due, self._size), masked=False)
        self._sent_at = time.perf_counter()
        if self.tunnel.socket.send(self._frame) != len(self._frame):
            raise FaultError("send buffer full")
        self.tunnel.index += 1
        if self.tunnel.index < self._first + self._count:
            self._prepare()

    def _prepare(self) -> None:
        """Build the next message while the last is under way, so that no latency holds the time for it."""
        self._frame = frames.build(message(self.tunnel.number, self.tunnel.index, self._size), masked=True)

    def step(self, events: int) -> bool:
        """Read; with the whole answer, send the next."""
        data = self.tunnel.read()
        if self._unread or data != self._expected:
            self._unread += data
            if self._expected.startswith(self._unread) and self._unread != self._expected:
                return False  # the rest of it is on its way
            if self._unread == self._expected:
                data, self._unread = self._unread, b""
            elif not self._examine():
                return False
            else:
                return self._go_on()
        if self._ledger is not None:
            self._ledger.note(data[-self._size :])
        self.latencies_s.append(time.perf_counter() - self._sent_at)
        self.done += 1
        return self._go_on()

    def _go_on(self) -> bool:
        self._due += 1
        if self._due == self._first + self._count:
            return True
        self.begin()
        return False

    def _examine(self) -> bool:
        """Look at what isn't the awaited answer; whether that one has come after all, or something in its place."""
        if self._ledger is None:
            self._ledger = Ledger(self.tunnel.number, self._size, self._first, self._count, self.done)
        found, self._unread = whole_frames(self._unread)
        before = self._ledger.settled
        for frame in found:
            if frame.opcode == frames.BINARY and frame.final:
                self._ledger.note(frame.payload)
            else:
                self._ledger.note_spoilt()
        self.done = self._ledger.came
        return self._ledger.settled > before

    def faults(self) -> Counter[str]:
        """What became of the messages, if not all of them are back."""
        ledger = self._ledger or Ledger(self.tunnel.number, self._size, self._first, self._count, self.done)
        return ledger.faults(sent=self.tunnel.index - self._first)
