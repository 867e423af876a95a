"""What both ends of a relay share: a non-blocking socket that is written to first and asked later.

The rule (write first, ask later): `send` hands the bytes to the kernel at once. Only what the kernel doesn't take
is kept, EPOLLOUT is asked for, and whoever feeds the connection stops reading until it is `flushed`. So what a
connection holds is bounded by one read, whatever the peer does.
"""

import socket
import struct
from typing import Protocol

from fingerpost.dataplane.loop import READ, WRITE, Loop
from fingerpost.dataplane.timers import NEVER

READ_SIZE = 65536
"""The most that one event reads, in bytes: fair to the others, and the bound of what waits for a slow peer."""


class Stream(Protocol):
    """What a connection reads and writes: a non-blocking socket, or TLS over one with the same manners."""

    def fileno(self) -> int:
        """Its descriptor."""
        ...

    def recv(self, size: int, /) -> bytes:
        """Read up to ``size`` bytes; empty at the end."""
        ...

    def recv_into(self, buffer: memoryview, /) -> int:
        """Read into ``buffer``; 0 at the end."""
        ...

    def send(self, data: bytes | memoryview, /) -> int:
        """Send what fits; return how much that was."""
        ...

    def shutdown(self, how: int, /) -> None:
        """Say that nothing more comes."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Connection:
    """One watched socket.

    Attributes:
        sock: The socket.
        fd: Its descriptor.
        interest: The events asked for.
        unsent: What the kernel didn't take.
        deadline: See `timers.Timed`; so is ``wake``.
    """

    __slots__ = ("deadline", "fd", "interest", "loop", "parked", "sock", "unsent", "wake")

    def __init__(self, loop: Loop, sock: Stream, interest: int) -> None:
        self.loop = loop
        self.sock: Stream = sock
        self.fd = sock.fileno()
        self.interest = interest
        self.parked = False
        self.unsent: bytes = b""
        self.deadline = NEVER
        self.wake = NEVER
        loop.watch(self.fd, interest, self.on_event)

    def on_event(self, event: int) -> None:
        """Handle epoll's events."""
        raise NotImplementedError

    @property
    def closed(self) -> bool:
        """Whether `close` was called, or the socket was handed on."""
        return self.fd < 0

    def want(self, interest: int) -> None:
        """Ask for these events, and no others."""
        if interest != self.interest and self.fd >= 0:
            self.interest = interest
            if self.parked:
                self.parked = False
                self.loop.watch(self.fd, interest, self.on_event)
            else:
                self.loop.change(self.fd, interest)

    def park(self) -> None:
        """Be deaf until `want` asks for something else.

        Facts: EPOLLHUP and EPOLLERR can't be masked. Consequence: a reset connection that we don't want to read yet
        would wake the loop without end. So it is taken out of epoll until its turn comes.
        """
        self.loop.unwatch(self.fd)
        self.interest = 0
        self.parked = True

    def pause_reading(self) -> None:
        """Stop reading until `resume_reading`."""
        self.want(self.interest & ~READ)

    def resume_reading(self) -> None:
        """Read again."""
        self.want(self.interest | READ)

    def receive(self) -> bytes | None:
        """Read once.

        Returns:
            What came, empty at the end, or None if there was nothing after all.

        Raises:
            OSError: The peer is gone.
        """
        try:
            return self.sock.recv(READ_SIZE)
        except BlockingIOError:
            return None

    def send(self, data: bytes) -> bool:
        """Send; keep what the kernel doesn't take.

        Returns:
            Whether everything went. If not, stop feeding this connection until it is flushed.

        Raises:
            OSError: The peer is gone.
        """
        if self.unsent:
            self.unsent += data
            return False
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent == len(data):
            return True
        self.unsent = data[sent:]
        self.want(self.interest | WRITE)
        return False

    def flush(self) -> bool:
        """Send what waits, when the kernel says that there is room.

        Returns:
            Whether nothing waits any more.

        Raises:
            OSError: The peer is gone.
        """
        if self.unsent:
            try:
                sent = self.sock.send(self.unsent)
            except BlockingIOError:
                return False
            self.unsent = self.unsent[sent:]
            if self.unsent:
                return False
        self.want(self.interest & ~WRITE)
        return True

    def shut_write(self) -> None:
        """Tell the peer that nothing more comes; reading goes on."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the peer has already gone; reading will say so

    def arm(self, seconds: float) -> None:
        """Set the deadline, replacing the one before. Inlines `Timers.arm` for the usual case: a later one."""
        self.deadline = deadline = self.loop.now + seconds
        if deadline < self.wake:
            self.loop.timers.arm(self, deadline)

    def on_deadline(self) -> None:
        """The deadline has passed."""
        raise NotImplementedError

    def on_bug(self) -> None:
        """A handler raised: close what belongs to this connection."""
        raise NotImplementedError

    def release(self) -> Stream:
        """Give the socket away, still open and watched; this object owns nothing from here on."""
        self.loop.timers.forget(self)
        self.fd = -1
        return self.sock

    def close(self) -> None:
        """Close, at the end of the batch. Harmless when already closed."""
        if self.fd >= 0:
            self.loop.timers.forget(self)
            self.loop.close(self.sock)
            self.fd = -1
            self.unsent = b""


def cut(sock: Stream) -> None:
    """Make the coming close a reset (RFC 9293 §3.10.4 ABORT): the peer must not take what it got for all there was."""
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
