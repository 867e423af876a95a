"""A real event loop for tests, which ends when the test has seen what it wanted, or at its deadline."""

import time
from collections.abc import Callable

from fingerpost.dataplane.loop import Loop
from fingerpost.dataplane.timers import NEVER, TICK_S


class _Observer:
    """Looks once a tick whether the test has seen enough."""

    def __init__(self, loop: Loop, condition: Callable[[], bool], deadline_s: float) -> None:
        self.deadline = self.wake = NEVER
        self._loop = loop
        self._condition = condition
        self._end = time.monotonic() + deadline_s
        loop.timers.arm(self, loop.now)

    def on_deadline(self) -> None:
        if self._condition() or time.monotonic() > self._end:
            self._loop.stop()
        else:
            self._loop.timers.arm(self, self._loop.now + TICK_S)

    def on_bug(self) -> None:
        self._loop.stop()


def run_until(loop: Loop, condition: Callable[[], bool], deadline_s: float = 10.0) -> None:
    """Run ``loop``, which can be done once.

    Raises:
        AssertionError: The deadline came first.
    """
    _Observer(loop, condition, deadline_s)
    loop.run()
    assert condition(), f"not within {deadline_s} s"
