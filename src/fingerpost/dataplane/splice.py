"""Bulk bytes from socket to socket without a copy into user space: splice(2) through a pipe.

Large reads again and again mean bulk. From then on, until reads come up short, that direction borrows a pipe for each
read, and keeps it only while the sink can't take what is in it. Pipes are few (each costs two descriptors and up to
1 MiB of kernel memory), so what finds none is copied.
"""

import fcntl
import os
from typing import ClassVar

_F_SETPIPE_SZ = 1031  # fcntl.F_SETPIPE_SZ; 1 MiB is what an unprivileged process may ask for
_F_GETPIPE_SZ = 1032
_PIPE_BYTES = 1 << 20
_LEAST_PIPE_BYTES = 65536
_MAX_PIPES = 64

LARGE_BYTES = 32768
"""A read of so many or more is large. Below, the second system call costs more than the copy."""

LARGE_READS_TO_START = 4
"""So many large reads in a row, and the next one is spliced."""

SHORT_READS_TO_STOP = 8
"""So many short ones in a row, and the next one is copied."""


class Pipe:
    """A pipe that carries one direction's bytes; ``held`` of them are in it."""

    __slots__ = ("_read_fd", "_write_fd", "held")

    _idle: ClassVar[list["Pipe"]] = []
    _count: ClassVar[int] = 0

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.held = 0
        try:
            fcntl.fcntl(self._write_fd, _F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            pass  # the user may have no more memory in pipes: what it got without asking may serve too

    def is_roomy(self) -> bool:
        """Whether it holds enough for large reads; a user beyond the quota gets pipes of two pages (pipe(7))."""
        return fcntl.fcntl(self._write_fd, _F_GETPIPE_SZ) >= _LEAST_PIPE_BYTES

    def close(self) -> None:
        """Close it, and whatever is in it is gone."""
        os.close(self._read_fd)
        os.close(self._write_fd)

    @classmethod
    def take(cls) -> "Pipe | None":
        """An empty pipe, or None if all are lent or descriptors are short."""
        if cls._idle:
            return cls._idle.pop()
        if cls._count >= _MAX_PIPES:
            return None
        try:
            pipe = cls()
        except OSError:
            return None
        if not pipe.is_roomy():
            pipe.close()
            return None
        cls._count += 1
        return pipe

    def give_back(self) -> None:
        """Return it. One that still holds bytes, because its connection broke, is closed instead."""
        if self.held:
            self.close()
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
