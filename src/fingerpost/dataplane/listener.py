"""Accepts connections: fairly, within the limits, and never in a spin when descriptors run out."""

import errno
import logging
import socket
from typing import TYPE_CHECKING

from fingerpost.dataplane.connection import Connection
from fingerpost.dataplane.downstream import Downstream
from fingerpost.dataplane.loop import READ
from fingerpost.dataplane.timers import NEVER
from fingerpost.http1 import answers
from fingerpost.http1.rewrite import Client

if TYPE_CHECKING:
    from fingerpost.dataplane.worker import Worker

log = logging.getLogger("fingerpost.listener")

_ACCEPTS_PER_BATCH = 64
"""So that a burst of thousands does not keep running connections waiting."""

_ACCEPTS_AT_THE_END = 4096

_PAUSE_S = 0.5
_OUT_OF = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

_MAX_TURNED_AWAY = 256
_TURNED_AWAY_S = 1.0
_FULL = answers.render(answers.AT_LIMIT, b"", close=True)


class Listener:
    """One listening socket. ``address`` is its ``ADDR:PORT``."""

    def __init__(self, worker: "Worker", sock: socket.socket, address: str) -> None:
        self.worker = worker
        self.address = address
        self.deadline = self.wake = NEVER
        self._sock = sock
        self._fd = sock.fileno()
        self._port = str(sock.getsockname()[1]).encode()
        self._paused = False
        self._watched = True
        self.turned_away = 0
        # Accepted sockets inherit it, which saves a system call for each.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        worker.loop.watch(self._fd, READ, self.on_event)

    def on_event(self, _event: int) -> None:
        """Accept what waits, up to a batch."""
        self._accept(_ACCEPTS_PER_BATCH)

    def _accept(self, most: int) -> None:
        for _ in range(most):
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _OUT_OF:
                    self._pause(error)
                    return
                continue  # that one was gone before we came (ECONNABORTED)
            sock.setblocking(False)
            self._take(sock, address[0], address[1])

    def on_deadline(self) -> None:
        """Try again after a pause."""
        self._watched = True
        self.worker.loop.watch(self._fd, READ, self.on_event)

    def on_bug(self) -> None:
        """A handler raised: the connection in hand is lost, the listener goes on."""

    def close(self) -> None:
        """Accept those that wait, whose handshake the kernel has completed, and then no more."""
        self._accept(_ACCEPTS_AT_THE_END)
        self.worker.loop.timers.forget(self)
        self.worker.loop.close(self._sock)

    def _take(self, sock: socket.socket, address: str, port: int) -> None:
        worker = self.worker
        trusted = worker.trusts(address)
        if self._paused:
            self._paused = False
            log.warning("accepting on %s again", self.address)
        if not worker.admit(address, counted=not trusted):
            if self.turned_away < _MAX_TURNED_AWAY:
                TurnedAway(self, sock)
            else:
                sock.close()
            return
        client = Client(address.encode(), b"http", self._port, trusted)
        try:
            Downstream(worker, sock, address, port, client)
        except Exception:
            worker.client_gone(address)
            sock.close()
            raise

    def _pause(self, error: OSError) -> None:
        """Out of descriptors or memory: stop accepting for a while and say so once, not a million times."""
        if not self._paused:
            self._paused = True
            log.error("accepting on %s pauses: %s", self.address, error.strerror)
        if self._watched:
            self._watched = False
            self.worker.loop.unwatch(self._fd)
        self.worker.loop.timers.arm(self, self.worker.loop.now + _PAUSE_S)


class TurnedAway(Connection):
    """A connection over the limits: it is told so at once, before it asks, and may read that for a second."""

    __slots__ = ("_listener",)

    def __init__(self, listener: Listener, sock: socket.socket) -> None:
        super().__init__(listener.worker.loop, sock, READ)
        self._listener = listener
        listener.turned_away += 1
        listener.worker.counters.turned_away += 1
        try:
            self.send(_FULL)
        except OSError:
            self.close()
            return
        self.shut_write()
        self.arm(_TURNED_AWAY_S)

    def on_event(self, event: int) -> None:
        """Throw away what it sends; close with it."""
        try:
            data = self.receive() if event & READ else b""
        except OSError:
            data = b""
        if data == b"":
            self.close()

    def on_deadline(self) -> None:
        """Time is over."""
        self.close()

    def on_bug(self) -> None:
        """A handler raised."""
        self.close()

    def close(self) -> None:
        """See `Connection.close`."""
        if self.fd >= 0:
            super().close()
            self._listener.turned_away -= 1
