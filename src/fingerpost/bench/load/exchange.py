"""Many messages without waiting: all are sent as fast as the relay takes them, and all must come back."""

import time
from collections import Counter

import numpy as np

from fingerpost.bench.load import frames
from fingerpost.bench.load.ledger import Ledger
from fingerpost.bench.load.outcome import FaultError
from fingerpost.bench.load.tunnel import READ, WRITE, Tunnel, whole_frames

_NORMAL_CLOSURE = (1000).to_bytes(2, "big")


class Exchange:
    """Sends ``count`` messages; when the last is back, a close; finished when the app has closed too.

    As long as what comes back is right it is only compared, many messages at once. From the first difference on
    a `Ledger` is kept. No close is sent before the last message is back, since an app may answer it at once, before
    what it still has to say (RFC 6455 §5.5.1).

    Args:
        tunnel: Open.
        messages: Of the wanted size.
        count: How many.
        rows: The most messages in one write.

    Attributes:
        echoed_at: When the last was back, by `time.monotonic`.
        longest_wait_s: The longest time without a byte while messages were awaited.
    """

    __slots__ = (
        "_at",
        "_closed",
        "_closing",
        "_count",
        "_end",
        "_ledger",
        "_messages",
        "_read_at",
        "_rows",
        "_sent",
        "_unread",
        "_unsent",
        "done",
        "echoed_at",
        "interest",
        "longest_wait_s",
        "tunnel",
    )

    def __init__(self, tunnel: Tunnel, messages: frames.Messages, count: int, rows: int) -> None:
        self.tunnel = tunnel
        self.interest = READ | WRITE
        self.done = 0
        self.echoed_at = 0.0
        self.longest_wait_s = 0.0
        self._read_at = time.monotonic()
        self._messages = messages
        self._count = count
        self._rows = rows
        self._sent = 0
        self._unsent = memoryview(b"")
        self._at = 0  # so many bytes are back and right
        self._end = count * messages.echo_bytes
        self._ledger: Ledger | None = None
        self._unread = b""
        self._closing = self._closed = False

    def step(self, events: int) -> bool:
        """Send what can be sent, read what is there."""
        if events & WRITE:
            self._send()
        if not events & ~WRITE:
            return False
        if self._closed:  # by now the app has closed its end too, and the relay passes that on
            if self.tunnel.socket.recv(1):
                raise FaultError("bytes that nobody sent")
            return True
        data = self.tunnel.read()
        now = time.monotonic()
        self.longest_wait_s = max(self.longest_wait_s, now - self._read_at)
        self._read_at = now
        if self._ledger is None:
            data = self._compare(data)
        if data or self._ledger is not None:
            self._enter(data)
        if not self._closing and (self._ledger.last_came if self._ledger is not None else self._at == self._end):
            self.echoed_at = now
            self._close()
        return False

    def faults(self) -> Counter[str]:
        """What became of the messages, if not all of them are back."""
        if self._ledger is None:
            self._ledger = self._begin_ledger()
        unsent = -(-len(self._unsent) // frames.sent_bytes(self._messages.size))
        faults = self._ledger.faults(self._sent - unsent)
        if not faults and not self._closed:
            faults["close not answered"] += 1
        return faults

    def _send(self) -> None:
        if not self._unsent:
            first, count = self.tunnel.index + self._sent, min(self._rows, self._count - self._sent)
            data = self._messages.frames(self.tunnel.number, first, count)
            self._sent += count
            self._unsent = memoryview(data)
        try:
            self._unsent = self._unsent[self.tunnel.socket.send(self._unsent) :]
        except BlockingIOError:
            return
        if not self._unsent and self._sent == self._count:
            self.interest = READ

    def _close(self) -> None:
        """Say that there is nothing more; everything else has been sent, so there is room for it."""
        self._closing = True
        self.tunnel.socket.send(frames.build(_NORMAL_CLOSURE, masked=True, opcode=frames.CLOSE))

    def _compare(self, data: bytes) -> bytes:
        """Compare with what must come; return what is different or too much, from the start of its frame."""
        size = self._messages.echo_bytes
        came = np.frombuffer(data, np.uint8)
        taken = 0
        while taken < len(data) and self._at < self._end:
            first, offset = divmod(self._at, size)
            rows = min(-(-(len(data) - taken + offset) // size), frames.MAX_ROWS, self._count - first)
            echoes = self._messages.echoes(self.tunnel.number, self.tunnel.index + first, rows).reshape(-1)
            expected = echoes[offset:]
            part = came[taken : taken + len(expected)]
            if not np.array_equal(part, expected[: len(part)]):
                self._at -= offset
                self.done = first
                return echoes[:offset].tobytes() + data[taken:]
            taken += len(part)
            self._at += len(part)
        self.done = self._at // size
        return data[taken:]

    def _enter(self, data: bytes) -> None:
        """Take down frame by frame what isn't simply the next message: something wrong, or the close."""
        found, self._unread = whole_frames(self._unread + data)
        for frame in found:
            if frame.opcode == frames.CLOSE:
                self._take_close(frame)
                continue
            if self._ledger is None:
                self._ledger = self._begin_ledger()
            if frame.opcode == frames.BINARY and frame.final and not self._closed:
                self._ledger.note(frame.payload)
            else:
                self._ledger.note_spoilt()
        if self._ledger is not None:
            self.done = self._ledger.came

    def _take_close(self, frame: frames.Frame) -> None:
        if not self._closing or self._closed or self._unread or frame.payload != _NORMAL_CLOSURE:
            raise FaultError("a close that is not the answer to ours")
        self._closed = True
        self.interest = READ

    def _begin_ledger(self) -> Ledger:
        return Ledger(self.tunnel.number, self._messages.size, self.tunnel.index, self._count, self.done)
