"""The worker's end of the socketpair to its supervisor: one JSON object a line, both ways.

The first line comes with the listening sockets as SCM_RIGHTS; what the lines say is written down in
`fingerpost.control.worker`. The supervisor's end closing is an order too: stop.
"""

import json
import os
import socket
from typing import Any

from fingerpost.dataplane.settings import WorkerSettings
from fingerpost.dataplane.tally import Tally, open_tally

MAX_LINE_BYTES = 4 << 20

_READ_BYTES = 65536
_MAX_DESCRIPTORS = 253  # in one message: SCM_MAX_FD


class Mailbox:
    """Messages from and to the supervisor.

    Args:
        descriptor: A connected Unix stream socket, which the mailbox owns from now on.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._received = bytearray()
        self._descriptors: list[int] = []
        self._unsent = bytearray()

    def fileno(self) -> int:
        """For epoll: readable means that `read` has something to say."""
        return self._socket.fileno()

    def receive_start(self) -> tuple[WorkerSettings, list[tuple[str, socket.socket]], Tally]:
        """Wait for the first message; afterwards the mailbox never blocks.

        Returns:
            The settings, for each listener its ``ADDR:PORT`` and its listening socket, and where clients are counted.

        Raises:
            EOFError: The supervisor went away before.
            ValueError: The message is not the one that starts a worker.
        """
        self._socket.setblocking(True)
        while not (messages := self._lines(1)):
            if not self._receive():
                raise EOFError("the supervisor closed the socketpair before it sent the settings")
            if len(self._received) > MAX_LINE_BYTES:
                raise ValueError("the supervisor's first message is too long")
        self._socket.setblocking(False)
        (message,) = messages
        descriptors = message.get("descriptors", [])
        shared = descriptors.pop() if "tally" in message and descriptors else None
        clients = open_tally(shared, message.get("tally", {}))
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        for listening in sockets:  # the flag of the Python object didn't come along
            listening.setblocking(False)
        addresses = message.get("listeners", ())
        if message.get("type") != "start" or len(addresses) != len(sockets):
            raise ValueError("the supervisor's first message is no start, or lacks listening sockets")
        return WorkerSettings(**message["settings"]), list(zip(addresses, sockets, strict=True)), clients

    def read(self) -> list[dict[str, Any]]:
        """Every whole message that is there, perhaps none; never blocks.

        A message's ``descriptors`` are the numbers of those that came with it; they are the caller's from now on.

        Raises:
            EOFError: The supervisor is gone and all its messages were read.
            ValueError: A line is too long or no JSON object.
        """
        self._flush()
        ended = False
        while len(self._received) <= MAX_LINE_BYTES:
            try:
                if not self._receive():
                    ended = True
                    break
            except BlockingIOError:
                break
        messages = self._lines()
        if len(self._received) > MAX_LINE_BYTES:
            raise ValueError("a message from the supervisor is too long")
        if ended and not messages:
            raise EOFError("the supervisor is gone")
        return messages

    def send(self, message: dict[str, Any]) -> None:
        """Send a message without blocking; what the supervisor doesn't take now goes out with the next call.

        If it takes nothing for so long that MAX_LINE_BYTES wait, the message is dropped: counters are
        cumulative, so a later one tells the same and more.
        """
        if len(self._unsent) <= MAX_LINE_BYTES:
            self._unsent += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        self._flush()

    def close(self) -> None:
        """Close the worker's end; to the supervisor this is the worker's end."""
        self._socket.close()

    def _flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            pass
        except ConnectionError:
            self._unsent.clear()  # nobody to tell; `read` will say so

    def _receive(self) -> bool:
        """Read once; return whether there was anything, which at the supervisor's end there isn't."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, _READ_BYTES, _MAX_DESCRIPTORS)
        except ConnectionError:
            return False
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self._descriptors += descriptors
        self._received += data
        return bool(data)

    def _lines(self, most: int = -1) -> list[dict[str, Any]]:
        """Take up to ``most`` whole lines (-1: all) from what was received, each with its descriptors.

        A stream's descriptors come with the first byte of what they were sent with: before the line is whole.
        """
        *lines, rest = self._received.split(b"\n", most)
        self._received = bytearray(rest)
        messages = [json.loads(line) for line in lines]
        for message in messages:
            if count := message.get("descriptors", 0):
                message["descriptors"], self._descriptors = self._descriptors[:count], self._descriptors[count:]
        return messages
