"""Bulk bytes from socket to socket without a copy into user space: splice(2) through a pipe.

A read that fills the buffer again and again means bulk. Then a pipe is lent to that direction until reads come up
short. Pipes are few (each costs two descriptors and up to 1 MiB of kernel memory), so what finds none is copied.
"""

import fcntl
import os
from typing import ClassVar

_F_SETPIPE_SZ = 1031  # fcntl.F_SETPIPE_SZ; 1 MiB is what an unprivileged process may ask for
_PIPE_BYTES = 1 << 20
_MAX_PIPES = 64

FULL_READS_TO_START = 4
"""So many buffers in a row must have been filled before a pipe is taken."""

SHORT_READS_TO_STOP = 8
"""So many short reads in a row give it back."""

_SHORT_BYTES = 32768


class Pipe:
    """A pipe that carries one direction's bytes; ``held`` of them are in it."""

    __slots__ = ("_read_fd", "_short_reads", "_write_fd", "held")

    _idle: ClassVar[list["Pipe"]] = []
    _count: ClassVar[int] = 0

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.held = 0
        self._short_reads = 0
        try:
            fcntl.fcntl(self._write_fd, _F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            pass  # the user's pipe quota is used up: 64 KiB serve too

    @classmethod
    def take(cls) -> "Pipe | None":
        """An empty pipe, or None if all are lent or descriptors are short."""
        if cls._idle:
            pipe = cls._idle.pop()
            pipe._short_reads = 0
            return pipe
        if cls._count >= _MAX_PIPES:
            return None
        try:
            pipe = cls()
        except OSError:
            return None
        cls._count += 1
        return pipe

    def give_back(self) -> None:
        """Return it. One that still holds bytes, because its connection broke, is closed instead."""
        if self.held:
            os.close(self._read_fd)
            os.close(self._write_fd)
            Pipe._count -= 1
        else:
            self._idle.append(self)

    def fill(self, fd: int, limit: int = _PIPE_BYTES) -> int:
        """Take up to ``limit`` bytes from a socket, and no more than the pipe holds.

        Returns:
            How many; 0 at the end of the stream.

        Raises:
            BlockingIOError: Nothing is there.
            OSError: The peer is gone.
        """
        size = os.splice(fd, self._write_fd, min(limit, _PIPE_BYTES), flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK)
        self.held += size
        self._short_reads = 0 if size >= _SHORT_BYTES else self._short_reads + 1
        return size

    def drain(self, fd: int) -> bool:
        """Give what is held to a socket.

        Returns:
            Whether all went.

        Raises:
            OSError: The peer is gone.
        """
        while self.held:
            try:
                self.held -= os.splice(self._read_fd, fd, self.held, flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK)
            except BlockingIOError:
                return False
        return True

    def read_all(self) -> bytes:
        """Take out what is held."""
        pieces = []
        while self.held:
            piece = os.read(self._read_fd, self.held)
            self.held -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    @property
    def idle(self) -> bool:
        """Whether bulk seems to be over."""
        return self._short_reads >= SHORT_READS_TO_STOP
