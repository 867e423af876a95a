"""How many connections each client has: in this worker, and in all workers together.

The shared part is memory in which each worker has a row that only it writes and everybody reads, 32-bit integers::

    rows in use, …  │  row 0: connections, …, one for each bucket  │  row 1: …

A client's bucket is a hash of its address, so two clients may now and then count as one. The hash has a secret key:
else somebody could look for addresses that count as somebody else.
"""

import hashlib
import mmap
from functools import lru_cache
from typing import Any


class Tally:
    """Counts by key, of one worker that is alone.

    Attributes:
        here: The counts, without zeros.
    """

    def __init__(self) -> None:
        self.here: dict[str, int] = {}
        self.count = 0

    def up(self, key: str) -> None:
        """One more."""
        self.here[key] = self.here.get(key, 0) + 1
        self.count += 1

    def down(self, key: str) -> int:
        """One less; return how many are left here."""
        left = self.here[key] - 1
        if left:
            self.here[key] = left
        else:
            del self.here[key]
        self.count -= 1
        return left

    def of(self, key: str) -> int:
        """How many of this key there are."""
        return self.here.get(key, 0)

    def all(self) -> int:
        """How many there are."""
        return self.count


class SharedTally(Tally):
    """The same for one of several workers: `of` and `all` count everybody's.

    Args:
        memory: All rows, as 32-bit integers.
        first: Where the first row is.
        own: Where this worker's is.
        stride: From row to row.
        buckets: How many keys are told apart.
        key: Of the hash.
    """

    def __init__(self, memory: memoryview, first: int, own: int, stride: int, buckets: int, key: bytes) -> None:
        super().__init__()
        self._memory = memory
        self._first = first
        self._own = own
        self._stride = stride
        skipped = stride - buckets

        @lru_cache(65536)
        def bucket(text: str) -> int:
            digest = hashlib.blake2b(text.encode(), digest_size=8, key=key).digest()
            return skipped + int.from_bytes(digest) % buckets

        self._bucket = bucket

    def up(self, key: str) -> None:
        """See `Tally.up`."""
        super().up(key)
        self._memory[self._own] = self.count
        self._memory[self._own + self._bucket(key)] += 1

    def down(self, key: str) -> int:
        """See `Tally.down`."""
        left = super().down(key)
        self._memory[self._own] = self.count
        self._memory[self._own + self._bucket(key)] -= 1
        return left

    def of(self, key: str) -> int:
        """See `Tally.of`."""
        return self._sum(self._bucket(key))

    def all(self) -> int:
        """See `Tally.all`."""
        return self._sum(0)

    def _sum(self, offset: int) -> int:
        memory, stride = self._memory, self._stride
        first = self._first + offset
        return sum(memory[first : first + memory[0] * stride : stride])


def open_tally(descriptor: int | None, described: dict[str, Any]) -> Tally:
    """A shared one, if there is memory to share it in.

    Args:
        descriptor: The memory, which stays the caller's.
        described: What the supervisor says of it (`fingerpost.control.tally`).
    """
    if descriptor is None:
        return Tally()
    memory = memoryview(mmap.mmap(descriptor, 0)).cast("i")
    key = bytes.fromhex(described["key"])
    return SharedTally(
        memory, described["first_row_at"], described["row_at"], described["stride"], described["buckets"], key
    )
