"""Frames with descriptors between two workers, over a Unix stream socket that neither of them ever waits for.

A frame is two lengths, a JSON object and raw bytes. Its descriptors travel with its first byte (SCM_RIGHTS); the
object says how many they are.
"""

import json
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from fingerpost.dataplane.loop import READ, WRITE, Loop

_LENGTHS = struct.Struct("!II")
_READ_BYTES = 1 << 18
_MAX_FRAME_BYTES = 8 << 20
_MAX_DESCRIPTORS = 253  # in one message: SCM_MAX_FD

OnFrame = Callable[[dict[str, Any], bytes, list[int]], None]


class Courier:
    """One end.

    Args:
        loop: Watches it.
        sock: The socket, owned from now on.
        on_frame: Called with each frame: object, bytes, and descriptors, which are the callee's.
        on_end: Called once, when nothing can be sent or received any more.
        on_turn: Called after every event, and in the turn that `ask_for_turn` asks for.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        on_frame: OnFrame,
        on_end: Callable[[], None],
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        sock.setblocking(False)
        self._loop = loop
        self._socket = sock
        self._on_frame = on_frame
        self._on_end = on_end
        self._on_turn = on_turn
        self._received = bytearray()
        self._descriptors: list[int] = []
        self._unsent: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._closed = False
        loop.watch(sock.fileno(), READ, self.on_event)

    @property
    def is_idle(self) -> bool:
        """Whether everything has been sent."""
        return not self._unsent

    def send(self, message: dict[str, Any], payload: bytes = b"", descriptors: Sequence[int] = ()) -> None:
        """Send a frame. The descriptors must stay open until the other side has answered."""
        if self._closed:
            return
        if descriptors:
            message = message | {"descriptors": len(descriptors)}
        head = json.dumps(message, separators=(",", ":")).encode()
        self._unsent.append((memoryview(_LENGTHS.pack(len(head), len(payload)) + head + payload), descriptors))
        if len(self._unsent) == 1:
            self._flush()

    def close(self) -> None:
        """Send and receive no more."""
        if self._closed:
            return
        self._closed = True
        self._unsent.clear()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._loop.close(self._socket)
        self._on_end()

    def on_event(self, event: int) -> None:
        """Epoll's events."""
        if event & WRITE:
            self._flush()
        if event & ~WRITE and not self._closed:
            self._receive()
        if not self._closed:
            self._on_turn()

    def ask_for_turn(self) -> None:
        """Have `on_turn` called when no other handler is at work."""
        if not self._closed:
            self._loop.again(self._socket.fileno())

    def on_bug(self) -> None:
        """A handler raised."""
        self.close()

    def _flush(self) -> None:
        try:
            while self._unsent:
                data, descriptors = self._unsent[0]
                sent = socket.send_fds(self._socket, [data], descriptors) if descriptors else self._socket.send(data)
                if sent < len(data):
                    self._unsent[0] = (data[sent:], ())
                    self._loop.change(self._socket.fileno(), READ | WRITE)
                    return
                self._unsent.popleft()
        except BlockingIOError:
            self._loop.change(self._socket.fileno(), READ | WRITE)
        except OSError:
            self.close()
        else:
            self._loop.change(self._socket.fileno(), READ)

    def _receive(self) -> None:
        try:
            data, descriptors, flags, _ = socket.recv_fds(self._socket, _READ_BYTES, _MAX_DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._descriptors += descriptors
        # Truncated: there was no room for all descriptors, so nobody knows any more which belong to which.
        if not data or flags & socket.MSG_CTRUNC:
            self.close()
            return
        self._received += data
        while not self._closed and len(self._received) >= _LENGTHS.size:
            head_size, payload_size = _LENGTHS.unpack_from(self._received)
            end = _LENGTHS.size + head_size + payload_size
            if end > _MAX_FRAME_BYTES:
                self.close()
            if len(self._received) < end or self._closed:
                return
            message = json.loads(self._received[_LENGTHS.size : _LENGTHS.size + head_size])
            payload = bytes(self._received[_LENGTHS.size + head_size : end])
            del self._received[:end]
            count = message.pop("descriptors", 0)
            own, self._descriptors = self._descriptors[:count], self._descriptors[count:]
            self._on_frame(message, payload, own)
