"""Bytes both ways, unread: what an exchange becomes after a 101, or at once for a ``tcp`` target.

A tunnel may live for days and there may be ten thousands of them, so it is two small objects and holds no bytes
while nothing is stuck. Its hot path is `End.on_event`: one read into a buffer that all tunnels share, one send.
"""

import socket
from typing import TYPE_CHECKING

from fingerpost.dataplane.access_log import Subject
from fingerpost.dataplane.loop import READ, WRITE
from fingerpost.dataplane.splice import FULL_READS_TO_START, Pipe
from fingerpost.dataplane.timers import NEVER

if TYPE_CHECKING:
    from fingerpost.dataplane.downstream import Downstream
    from fingerpost.dataplane.exchange import Exchange
    from fingerpost.dataplane.upstream import Upstream
    from fingerpost.dataplane.worker import Worker

_BUFFER_SIZE = 131072
_BUFFER = memoryview(bytearray(_BUFFER_SIZE))
"""Every read of every tunnel goes through here: one thread, and nothing stays in it."""

_CLOSED = -1


class End:
    """One side of a tunnel.

    Attributes:
        peer: The other side: what is read here is sent there.
        unsent: What was read at the peer and doesn't fit into this socket now.
        relayed: Bytes read here.
        ended: This side has said its last byte.
    """

    __slots__ = ("ended", "fd", "full_reads", "interest", "peer", "pipe", "relayed", "sock", "tunnel", "unsent")

    peer: "End"

    def __init__(self, tunnel: "Tunnel", sock: socket.socket, unsent: bytes) -> None:
        self.tunnel = tunnel
        self.sock = sock
        self.fd = sock.fileno()
        self.unsent = unsent
        self.relayed = 0
        self.ended = False
        self.full_reads = 0
        self.pipe: Pipe | None = None
        self.interest = READ | WRITE if unsent else READ

    def on_event(self, event: int) -> None:
        """Relay once: read here, send there."""
        if event != READ or self.pipe is not None:
            self._on_rare_event(event)
            return
        try:
            size = self.sock.recv_into(_BUFFER)
            if not size:
                self._end()
                return
            self.relayed += size
            peer = self.peer
            tunnel = self.tunnel
            tunnel.deadline = tunnel.worker.loop.now + tunnel.idle_s
            sent = peer.sock.send(_BUFFER[:size])
        except BlockingIOError:
            self._on_blocked(size)
        except OSError:
            self.tunnel.close("reset")
        else:
            if sent != size:
                self._hold(_BUFFER[sent:size].tobytes())
            elif size == _BUFFER_SIZE:
                self._on_full_read()
            elif self.full_reads:
                self.full_reads = 0
