"""The event loop: one thread, one epoll, level-triggered. It knows descriptors and handlers, and no HTTP."""

import logging
import select
import time
from collections.abc import Callable
from typing import Protocol

from fingerpost.dataplane.timers import TICK_S, Timers

log = logging.getLogger("fingerpost.loop")

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
ERROR = select.EPOLLERR

Handler = Callable[[int], None]
"""Called with the epoll events of its descriptor. When it raises, its object's ``on_bug()`` closes what it holds."""

_BATCH = 256


class Closable(Protocol):
    """A socket, as far as the loop cares."""

    def fileno(self) -> int:
        """Its descriptor."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Loop:
    """Handlers by descriptor, deadlines, and the clock as it was when the batch began (``now``, monotonic)."""

    def __init__(self) -> None:
        self.now = time.monotonic()
        self.timers = Timers(self.now)
        self.handlers: dict[int, Handler] = {}
        self.bugs = 0
        self._epoll = select.epoll()
        self._closing: list[Closable] = []
        self._again: set[int] = set()
        self._running = False

    def watch(self, fd: int, events: int, handler: Handler) -> None:
        """Begin to watch a descriptor."""
        self.handlers[fd] = handler
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """Ask for other events on a watched descriptor."""
        self._epoll.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        """Stop watching a descriptor that stays open."""
        self._epoll.unregister(fd)
        self.handlers[fd] = _ignore

    def close(self, sock: Closable) -> None:
        """Close a watched socket, at the end of the batch.

        Facts: the rest of this batch may hold events for the same number. Consequence: closed now, the kernel could
        give the number to a connection that is accepted in this batch, and it would get them. So: later.

        Epoll forgets a socket by itself only when its last copy is closed, and another process may have one: a
        listener is everybody's, and who has just handed a connection over has it for a moment longer. So: unregister.
        """
        fd = sock.fileno()
        self.handlers[fd] = _ignore
        try:
            self._epoll.unregister(fd)
        except FileNotFoundError:
            pass  # it was set aside
        self._again.discard(fd)
        self._closing.append(sock)

    def again(self, fd: int) -> None:
        """Call the descriptor's handler with READ, though the kernel may have nothing new (TLS holds some)."""
        self._again.add(fd)

    def run(self) -> None:
        """Serve until `stop`."""
        poll = self._epoll.poll
        handlers = self.handlers
        clock = time.monotonic
        due = self.timers.due
        self._running = True
        while self._running:
            events = poll(0 if self._again else TICK_S, _BATCH)
            self.now = now = clock()
            for fd, event in events:
                try:
                    handlers[fd](event)
                except Exception:
                    self._bug(handlers.get(fd, _ignore))
            if self._again:
                self._run_again()
            for timed in due(now):
                try:
                    timed.on_deadline()
                except Exception:
                    self._bug(timed.on_deadline)
            if self._closing:
                self._close_batch()

    def stop(self) -> None:
        """Leave `run` when the batch ends."""
        self._running = False

    def _run_again(self) -> None:
        again, self._again = self._again, set()
        for fd in again:
            try:
                self.handlers[fd](READ)
            except Exception:
                self._bug(self.handlers[fd])

    def _close_batch(self) -> None:
        for sock in self._closing:
            fd = sock.fileno()
            sock.close()
            del self.handlers[fd]
        self._closing.clear()

    def _bug(self, handler: Callable[..., None]) -> None:
        """A bug in one connection costs that connection, is logged with its traceback, and is counted."""
        self.bugs += 1
        log.exception("a bug cost one connection")
        owner = getattr(handler, "__self__", None)
        if owner is not None:
            try:
                owner.on_bug()
            except Exception:
                log.exception("a second one while closing it")


def _ignore(_event: int) -> None:
    """For descriptors that are closed or set aside while events for them may still come."""
