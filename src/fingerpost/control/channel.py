"""The supervisor's end of a socketpair to a worker: JSON lines, descriptors with them, and no waiting for anybody.

What the lines say is written down in `fingerpost.control.worker`; the worker's end is `fingerpost.dataplane.mailbox`.
"""

import asyncio
import json
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

MAX_LINE_BYTES = 1 << 20
MAX_WAITING_BYTES = 64 << 20

_READ_BYTES = 65536
_MAX_DESCRIPTORS = 250  # in one message the kernel takes 253 (SCM_MAX_FD)


class Channel:
    """Messages to and from one worker.

    Args:
        sock: The connected Unix stream socket, which the channel owns from now on.
        on_message: Called with each message.
        on_end: Called once, when nothing can be read any more: with the reason if the worker is at fault, else None.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_message: Callable[[dict[str, Any]], None],
        on_end: Callable[[str | None], None],
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._on_message = on_message
        self._on_end = on_end
        self._received = bytearray()
        self._unsent: deque[tuple[memoryview, list[int]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._read)

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a message; the descriptors go with it, in order, and stay the caller's.

        The message says how many they are, so that the worker can tell which belong to which.
        """
        if self._socket.fileno() < 0 or sum(len(data) for data, _ in self._unsent) > MAX_WAITING_BYTES:
            return
        if descriptors:
            message = message | {"descriptors": len(descriptors)}
        data = memoryview(json.dumps(message).encode() + b"\n")
        # Duplicates: the caller may close its own before the worker has room for these.
        own = [os.dup(descriptor) for descriptor in descriptors]
        while len(own) > _MAX_DESCRIPTORS:
            self._unsent.append((data[:1], own[:_MAX_DESCRIPTORS]))
            data, own = data[1:], own[_MAX_DESCRIPTORS:]
        self._unsent.append((data, own))
        self._flush()

    def finish(self) -> None:
        """The worker has ended: read what it said last, and close."""
        self._on_end = lambda _reason: self.close()
        while self._socket.fileno() >= 0:
            self._read()

    def close(self) -> None:
        """Close it: the worker ends, if it still runs."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        while self._unsent:
            self._done_with(self._unsent.popleft()[1])

    def _read(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # the end, with something of ours unread
        if not data:
            self._end(None)
            return
        self._received += data
        *lines, rest = self._received.split(b"\n")
        self._received = bytearray(rest)
        try:
            if len(rest) > MAX_LINE_BYTES:
                raise ValueError("a line without an end")
            messages = [json.loads(line) for line in lines]
        except ValueError as error:
            self._end(f"sent what is no message ({error})")
            return
        for message in messages:
            self._on_message(message)

    def _flush(self) -> None:
        try:
            while self._unsent:
                data, descriptors = self._unsent[0]
                sent = socket.send_fds(self._socket, [data], descriptors) if descriptors else self._socket.send(data)
                self._done_with(descriptors)
                if sent == len(data):
                    self._unsent.popleft()
                else:
                    self._unsent[0] = (data[sent:], [])
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._flush)
            return
        except OSError:  # the worker is gone; reading will say so
            while self._unsent:
                self._done_with(self._unsent.popleft()[1])
        self._loop.remove_writer(self._socket)

    def _done_with(self, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            os.close(descriptor)
        descriptors.clear()

    def _end(self, reason: str | None) -> None:
        self._loop.remove_reader(self._socket)
        self._on_end(reason)
