"""Shared memory in which workers count their clients, so that a limit holds for all of them together.

A row for each worker, which only that one writes and all read; a worker that dies has its row wiped. What is in a row
is written down in `fingerpost.dataplane.tally`.
"""

import mmap
import os
import secrets
import struct
from typing import Any

_PAGE_INTEGERS = 1024  # 4 KiB of 32-bit integers: rows begin at a page, so that they can be wiped as a whole
_ROWS = 512
_BUCKETS = 1 << 17
_STRIDE = _PAGE_INTEGERS + _BUCKETS


class TallyMemory:
    """The memory, and which rows are taken. It is sparse: what nobody counts in costs nothing."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("fingerpost-tally", os.MFD_CLOEXEC)
        size = 4 * (_PAGE_INTEGERS + _ROWS * _STRIDE)
        os.ftruncate(self.descriptor, size)
        self._memory = mmap.mmap(self.descriptor, size)
        self._key = secrets.token_hex(16)
        self._taken: set[int] = set()
        self._used = 0

    def take(self) -> int | None:
        """A row of one's own; None if there is none left."""
        row = next((row for row in range(_ROWS) if row not in self._taken), None)
        if row is not None:
            self._taken.add(row)
            self._used = max(self._used, row + 1)
            struct.pack_into("i", self._memory, 0, self._used)
        return row

    def give_back(self, row: int) -> None:
        """Wipe a row whose worker has ended."""
        self._memory.madvise(mmap.MADV_REMOVE, 4 * (_PAGE_INTEGERS + row * _STRIDE), 4 * _STRIDE)
        self._taken.discard(row)

    def describe(self, row: int) -> dict[str, Any]:
        """What a worker needs to know to count there."""
        return {
            "row_at": _PAGE_INTEGERS + row * _STRIDE,
            "first_row_at": _PAGE_INTEGERS,
            "stride": _STRIDE,
            "buckets": _BUCKETS,
            "key": self._key,
        }

    def close(self) -> None:
        """Give the memory back; workers that have it keep it."""
        self._memory.close()
        os.close(self.descriptor)
