"""A body of many megabytes, carried by splice(2) instead of by reads and sends."""

import socket

from fingerpost.dataplane.connection import Connection
from fingerpost.dataplane.loop import READ, WRITE
from fingerpost.dataplane.splice import LARGE_BYTES, SHORT_READS_TO_STOP, Pipe
from fingerpost.http1.framing import CloseFraming, Framing, LengthFraming

_MIN_BYTES = 1 << 20
"""A body that is nearly over isn't worth a pipe."""


class Bulk:
    """Moves what is left of a body from one plain connection to another. Its framing keeps count.

    Chunked bodies stay with reads and sends: their framing is between the bytes.
    """

    __slots__ = ("_framing", "_pipe", "_short_reads", "_sink", "_source")

    def __init__(self, source: Connection, sink: Connection, framing: LengthFraming | CloseFraming) -> None:
        self._pipe: Pipe | None = None  # the one that holds what doesn't fit into the sink now
        self._source = source
        self._sink = sink
        self._framing = framing
        self._short_reads = 0

    @classmethod
    def begin(cls, source: Connection, sink: Connection, framing: Framing) -> "Bulk | None":
        """Begin, if this body and these two connections allow it."""
        if sink.unsent or not isinstance(source.sock, socket.socket) or not isinstance(sink.sock, socket.socket):
            return None
        if isinstance(framing, LengthFraming):
            if framing.remaining < _MIN_BYTES:
                return None
        elif not isinstance(framing, CloseFraming):
            return None
        return cls(source, sink, framing)

    def on_readable(self) -> int | None:
        """The source has something: move it.

        Returns:
            How many bytes; 0 if the source has ended; None if there was nothing after all, or no pipe is free.

        Raises:
            OSError: One of the two is gone.
        """
        pipe = self._pipe = Pipe.take()
        if pipe is None:
            return None
        framing = self._framing
        try:
            if isinstance(framing, LengthFraming):
                size = pipe.fill(self._source.fd, framing.remaining)
                framing.remaining -= size
                framing.done = framing.remaining == 0
            else:
                size = pipe.fill(self._source.fd)
        except BlockingIOError:
            self.end()
            return None
        self._short_reads = 0 if size >= LARGE_BYTES else self._short_reads + 1
        if not self.on_writable():
            self._sink.want(self._sink.interest | WRITE)
            self._source.want(self._source.interest & ~READ)
        return size

    def on_writable(self) -> bool:
        """The sink has room: give it what waits; return whether all went.

        Raises:
            OSError: The sink is gone.
        """
        if self._pipe is not None and not self._pipe.drain(self._sink.fd):
            return False
        self.end()
        return True

    @property
    def holds(self) -> bool:
        """Whether bytes wait for the sink."""
        return self._pipe is not None

    @property
    def is_over(self) -> bool:
        """Whether reads have become short, so that plain reads serve better."""
        return self._short_reads >= SHORT_READS_TO_STOP and self._pipe is None

    def end(self) -> None:
        """Give the pipe back, if it has one."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.give_back()
