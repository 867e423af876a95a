"""Host names → addresses, in a few threads, so that the loop never waits for a name server."""

import logging
import os
import queue
import socket
import threading
from collections import deque
from collections.abc import Callable

from fingerpost.dataplane.loop import READ, Loop

Callback = Callable[[list[str]], None]
"""Gets the addresses, none if the name has none."""

LookUp = Callable[[str], list[str]]
"""Blocks until it knows the addresses of a name, none if it has none; raises nothing."""

_THREADS = 8
_MAX_WAITING_NAMES = 1024
_MAX_CACHED_NAMES = 4096
_FAILURE_TTL_S = 1.0

log = logging.getLogger("fingerpost.resolver")


class Resolver:
    """A small cache before ``getaddrinfo``. Answers come back through an eventfd that the loop watches."""

    def __init__(self, loop: Loop, ttl_s: float, look_up: LookUp | None = None) -> None:
        self._loop = loop
        self._look_up = look_up or _look_up
        self._ttl_s = ttl_s
        self._cache: dict[str, tuple[float, list[str]]] = {}
        self._waiting: dict[str, list[Callback]] = {}
        self._questions: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._answers: deque[tuple[str, list[str]]] = deque()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._threads = 0
        loop.watch(self._wake_fd, READ, self._on_answers)

    def resolve(self, host: str, callback: Callback) -> None:
        """Call back with the addresses of ``host``: at once if they are known, else from the loop, later."""
        known = self._cache.get(host)
        if known is not None and known[0] > self._loop.now:
            callback(known[1])
        elif host in self._waiting:
            self._waiting[host].append(callback)
        elif len(self._waiting) >= _MAX_WAITING_NAMES:
            callback([])
        else:
            self._waiting[host] = [callback]
            if self._threads < _THREADS:
                self._threads += 1
                threading.Thread(target=self._answer_questions, name="resolver", daemon=True).start()
            self._questions.put(host)

    def _answer_questions(self) -> None:
        while True:
            host = self._questions.get()
            try:
                addresses = self._look_up(host)
            except Exception:
                log.exception("looking up a name failed in an unexpected way")
                addresses = []  # whoever asked must hear something, and the thread must live
            self._answers.append((host, addresses))
            os.eventfd_write(self._wake_fd, 1)

    def _on_answers(self, _event: int) -> None:
        os.eventfd_read(self._wake_fd)
        while self._answers:
            host, addresses = self._answers[0]
            if len(self._cache) >= _MAX_CACHED_NAMES:
                self._cache.clear()
            ttl_s = self._ttl_s if addresses else min(self._ttl_s, _FAILURE_TTL_S)
            self._cache[host] = (self._loop.now + ttl_s, addresses)
            callbacks = self._waiting[host]
            while callbacks:
                callbacks.pop()(addresses)
            del self._waiting[host]
            self._answers.popleft()

    def on_bug(self) -> None:
        """A callback raised: come again for the others."""
        os.eventfd_write(self._wake_fd, 1)


def _look_up(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
