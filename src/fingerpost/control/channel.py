"""The supervisor's end of a socketpair: JSON lines, descriptors with them, and no waiting for anybody.

At the other end is a worker (`fingerpost.control.worker` has what the lines say, `fingerpost.dataplane.mailbox` is its
end) or, while one version takes over from another, another supervisor (`fingerpost.control.upgrade`).
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
    """Messages to and from one process.

    Args:
        sock: The connected Unix stream socket, which the channel owns from now on.
        on_message: Called with each message; its ``descriptors`` are those that came with it, and the callee's.
        on_end: Called once, when nothing can be read any more: with the reason if the other side is at fault.
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
        self._descriptors: list[int] = []
        self._unsent: deque[tuple[memoryview, list[int]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._read)

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a message; the descriptors go with it, in order, and stay the caller's.

        The message says how many they are, so that the other side can tell which belong to which.
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
            data, descriptors, _, _ = socket.recv_fds(self._socket, _READ_BYTES, _MAX_DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []  # the end, with something of ours unread
        self._descriptors += descriptors
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
            if not all(isinstance(message, dict) for message in messages):
                raise ValueError("no object")
        except ValueError as error:
            self._end(f"sent what is no message ({error})")
            return
        for message in messages:
            if count := message.get("descriptors", 0):
                message["descriptors"], self._descriptors = self._descriptors[:count], self._descriptors[count:]
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
