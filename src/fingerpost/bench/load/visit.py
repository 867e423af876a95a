"""A whole life of a WebSocket: open, one echo, close. The relay sees nothing but beginnings and ends."""

import time
from collections import Counter

from fingerpost.bench.load import frames
from fingerpost.bench.load.exchange import Exchange
from fingerpost.bench.load.tunnel import Opening, Tunnel


class Visit:
    """Opens, sends one message and a close, reads the echo and the close; finished when the app has closed.

    Attributes:
        duration_s: From the first packet to the last, once it is finished.
    """

    __slots__ = ("_began", "_messages", "_part", "done", "duration_s", "interest", "tunnel")

    def __init__(self, tunnel: Tunnel, messages: frames.Messages) -> None:
        self.tunnel = tunnel
        self.done = 0
        self.duration_s = 0.0
        self._messages = messages
        self._part: Opening | Exchange = Opening(tunnel)
        self.interest = self._part.interest

    def begin(self) -> None:
        """Begin to connect.

        Raises:
            OSError: It can't even begin.
        """
        self._began = time.perf_counter()
        if isinstance(self._part, Opening):
            self._part.begin()

    def step(self, events: int) -> bool:
        """Go on with what it is at."""
        finished = self._part.step(events)
        if finished and isinstance(self._part, Opening):
            self._part, finished = Exchange(self.tunnel, self._messages, 1, 1), False
        self.interest = self._part.interest
        if finished:
            self.duration_s = time.perf_counter() - self._began
            self.done = 1
        return finished

    def faults(self) -> Counter[str]:
        """What was wrong with it."""
        return self._part.faults()
