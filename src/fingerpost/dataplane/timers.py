"""Time-outs for tens of thousands of connections: a wheel of ticks with lazy deadlines, O(1) everywhere.

A connection has one deadline. Moving it later, which every message does, is one assignment and one comparison: its
entry in the wheel stays where it is, and when that tick comes up it moves on to where the deadline is by then.
Only a deadline *earlier* than the entry touches the wheel.
"""

import math
from typing import Protocol

TICK_S = 0.1
"""How late a time-out may be noticed, in seconds."""

NEVER = math.inf


class Timed(Protocol):
    """Something with a deadline.

    Attributes:
        deadline: Monotonic seconds, or NEVER.
        wake: The wheel's own: when it will look at this object, or NEVER if it holds no entry for it.
    """

    deadline: float
    wake: float

    def on_deadline(self) -> None:
        """The deadline has passed; it is NEVER again by now."""

    def on_bug(self) -> None:
        """`on_deadline` raised: close what belongs to this object."""


class Timers:
    """The wheel. Times are seconds of the loop's clock."""

    __slots__ = ("_slots", "_tick")

    def __init__(self, now: float) -> None:
        self._tick = int(now / TICK_S)
        self._slots: dict[int, set[Timed]] = {}

    def arm(self, timed: Timed, deadline: float) -> None:
        """Set the deadline of ``timed``, replacing the one that it had."""
        timed.deadline = deadline
        if deadline < timed.wake:
            if timed.wake != NEVER:
                self._leave(timed)
            self._enter(timed)

    def forget(self, timed: Timed) -> None:
        """Take ``timed`` out: no reference to it is kept. Harmless if it isn't in."""
        timed.deadline = NEVER
        if timed.wake != NEVER:
            self._leave(timed)

    def due(self, now: float) -> list[Timed]:
        """Everything whose deadline has passed, taken out of the wheel."""
        due: list[Timed] = []
        current = int(now / TICK_S)
        while self._tick < current:
            self._tick += 1
            for timed in self._slots.pop(self._tick, ()):
                timed.wake = NEVER
                if timed.deadline <= now:
                    timed.deadline = NEVER
                    due.append(timed)
                elif timed.deadline != NEVER:
                    self._enter(timed)
        return due

    def _enter(self, timed: Timed) -> None:
        tick = max(int(timed.deadline / TICK_S), self._tick) + 1
        timed.wake = tick * TICK_S
        self._slots.setdefault(tick, set()).add(timed)

    def _leave(self, timed: Timed) -> None:
        tick = round(timed.wake / TICK_S)
        slot = self._slots[tick]
        slot.discard(timed)
        if not slot:
            del self._slots[tick]
        timed.wake = NEVER
