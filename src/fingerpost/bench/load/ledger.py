"""What became of each message of one tunnel, once something in it was not as it should be.

While all is right a client only compares bytes. From the first difference on it keeps this ledger, frame by frame.
"""

from collections import Counter

from fingerpost.bench.load.payload import STAMP, message

LOST = "message lost"
NOT_SENT = "message not sent"
DUPLICATED = "message duplicated"
REORDERED = "message reordered"
ALTERED = "message altered"
FOREIGN = "message of another tunnel"


class Ledger:
    """Takes down the messages that come back in one tunnel.

    Args:
        tunnel: Its number.
        size: Of each message.
        first: Number of the first message that is awaited, in this tunnel.
        expected: How many.
        arrived: How many of them have come already, in order and right.
    """

    def __init__(self, tunnel: int, size: int, first: int, expected: int, arrived: int) -> None:
        self._tunnel = tunnel
        self._size = size
        self._awaited = range(first, first + expected)
        self._in_order = range(first, first + arrived)
        self._came: set[int] = set()  # behind those
        self._highest = first + arrived - 1
        self._faults: Counter[str] = Counter()

    def note(self, payload: bytes) -> None:
        """One more message has come."""
        tunnel, index = STAMP.unpack_from(payload.ljust(STAMP.size, b"\0"))
        if payload != message(tunnel, index, self._size):
            self._faults[ALTERED] += 1
        elif tunnel != self._tunnel or index not in self._awaited:
            self._faults[FOREIGN] += 1
        elif index in self._in_order or index in self._came:
            self._faults[DUPLICATED] += 1
        else:
            self._came.add(index)
            self._faults[REORDERED] += index < self._highest
            self._highest = max(self._highest, index)

    def note_spoilt(self) -> None:
        """Something has come in the place of a message that no app has sent: another kind of frame, say."""
        self._faults[ALTERED] += 1

    @property
    def came(self) -> int:
        """How many different ones of the awaited have come, unaltered."""
        return len(self._in_order) + len(self._came)

    @property
    def settled(self) -> int:
        """For how many it is known what became of them: they came, or something altered came in their place."""
        return self.came + self._faults[ALTERED]

    @property
    def last_came(self) -> bool:
        """Whether the last of the awaited has come, or all are settled: what is missing then won't come any more."""
        return self._highest == self._awaited[-1] or self.settled >= len(self._awaited)

    def faults(self, sent: int) -> Counter[str]:
        """What was wrong, now that nothing more will come; an altered message isn't also a lost one.

        Args:
            sent: How many of the awaited were sent at all.
        """
        missing = {LOST: max(0, sent - self.settled), NOT_SENT: len(self._awaited) - sent}
        return +Counter({**self._faults, **missing})
