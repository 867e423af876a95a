"""WebSocket frames (RFC 6455 §5): one at a time, and many of one size at a time.

The load must cost less than the relays that it measures. So messages of one size, which lie in memory one behind the
other, are masked, unmasked, built and compared by NumPy as rows of one array; whatever isn't such a run
(other sizes, fragments, pings, a close) is read frame by frame. What travels is the same either way.
"""

import os
import struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fingerpost.bench.load.payload import BODIES, STAMP, body, body_number

Bytes = npt.NDArray[np.uint8]

BINARY, CLOSE, PING, PONG = 0x2, 0x8, 0x9, 0xA
_CONTINUATION, _TEXT = 0x0, 0x1
_FIN = 0x80
_MASKED = 0x80
_MASK_BYTES = 4
_WORTH_AN_ARRAY = 3  # frames; up to here plain integers are quicker
MAX_ROWS = 256
"""The most messages that are built at once."""

_TABLE_ROWS = BODIES + MAX_ROWS


class FrameError(Exception):
    """What arrived is no WebSocket frame that this peer may send."""


class Frame(NamedTuple):
    """One frame, unmasked. ``size`` is what it took on the wire."""

    opcode: int
    final: bool
    payload: bytes
    size: int


def header(length: int, *, masked: bool, opcode: int = BINARY, final: bool = True) -> bytes:
    """The head of a frame, without its masking key (RFC 6455 §5.2)."""
    first = _FIN | opcode if final else opcode
    mask = _MASKED if masked else 0
    if length < 126:
        return struct.pack(">BB", first, mask | length)
    if length < 1 << 16:
        return struct.pack(">BBH", first, mask | 126, length)
    return struct.pack(">BBQ", first, mask | 127, length)


def build(payload: bytes, *, masked: bool, opcode: int = BINARY, final: bool = True) -> bytes:
    """One frame, as a client (masked, with a key that nobody can foresee: §5.3) or a server sends it."""
    head = header(len(payload), masked=masked, opcode=opcode, final=final)
    if not masked:
        return head + payload
    key = os.urandom(_MASK_BYTES)
    return head + key + masked_bytes(payload, key)


def masked_bytes(payload: bytes, key: bytes) -> bytes:
    """The payload masked, or unmasked, which is the same (§5.3)."""
    size = len(payload)
    stream = key * (size // _MASK_BYTES + 1)
    mixed = int.from_bytes(payload, "little") ^ int.from_bytes(stream[:size], "little")
    return mixed.to_bytes(size, "little")


def read(data: bytes, at: int, *, masked: bool, max_bytes: int) -> Frame | None:
    """The frame that begins at ``at``, or None while it isn't complete.

    Args:
        data: What has arrived.
        at: Where in it.
        masked: Whether it must be: clients mask, servers don't (§5.1).
        max_bytes: The longest payload that is accepted.

    Raises:
        FrameError: It can't be a frame, or is longer than that.
    """
    left = len(data) - at
    if left < 2:
        return None
    first, second = data[at], data[at + 1]
    opcode, length, start = first & 0x0F, second & 0x7F, at + 2
    if first & 0x70 or opcode not in (_CONTINUATION, _TEXT, BINARY, CLOSE, PING, PONG):
        raise FrameError(f"a frame that begins with {first:#04x}")
    if bool(second & _MASKED) != masked:
        raise FrameError("a masked frame" if not masked else "a frame without a mask")
    if length >= 126:
        width = 2 if length == 126 else 8
        if left < 2 + width:
            return None
        length = int.from_bytes(data[start : start + width], "big")
        start += width
        if length < 126 or (width == 8 and length < 1 << 16):
            raise FrameError("a length in more bytes than it needs")
    if length > max_bytes or (opcode >= CLOSE and (length > 125 or not first & _FIN)):
        raise FrameError(f"a frame of {length} bytes that begins with {first:#04x}")
    key_bytes = _MASK_BYTES if masked else 0
    end = start + key_bytes + length
    if len(data) < end:
        return None
    payload = data[start + key_bytes : end]
    if masked:
        payload = masked_bytes(payload, data[start : start + _MASK_BYTES])
    return Frame(opcode, bool(first & _FIN), payload, end - at)


def run_length(data: bytes, frame_bytes: int, head_bytes: int) -> int:
    """How many whole frames of ``frame_bytes`` with the same head ``data`` begins with, one behind the other."""
    count = len(data) // frame_bytes
    if count < 2:
        return count
    heads = np.frombuffer(data, np.uint8, count * frame_bytes).reshape(count, frame_bytes)[:, :head_bytes]
    same = (heads == heads[0]).all(axis=1)
    return count if same.all() else int(same.argmin())


def echo_run(data: bytes) -> tuple[bytes, int]:
    """Answer the run of equal-sized, final, masked binary frames that ``data`` begins with.

    Returns:
        The same messages as a server sends them, and how many bytes of ``data`` they were; (b"", 0) if it begins with
        none.
    """
    if len(data) < 2 or data[0] != _FIN | BINARY or not data[1] & _MASKED:
        return b"", 0
    length, head_bytes = data[1] & 0x7F, 2
    if length >= 126:
        head_bytes = 4 if length == 126 else 10
        if len(data) < head_bytes:
            return b"", 0
        length = int.from_bytes(data[2:head_bytes], "big")
        if length < 126 or (head_bytes == 10 and not 1 << 16 <= length < 1 << 32):
            return b"", 0
    start = head_bytes + _MASK_BYTES
    frame_bytes = start + length
    count = run_length(data, frame_bytes, head_bytes)
    answer = header(length, masked=False)
    if count <= _WORTH_AN_ARRAY:
        out: list[bytes] = []
        for at in range(0, count * frame_bytes, frame_bytes):
            key = data[at + head_bytes : at + start]
            out += answer, masked_bytes(data[at + start : at + frame_bytes], key)
        return b"".join(out), count * frame_bytes
    frames = np.frombuffer(data, np.uint8, count * frame_bytes).reshape(count, frame_bytes)
    payloads = _mix(frames[:, start:], frames[:, head_bytes:start])
    return _rows(answer, payloads).tobytes(), count * frame_bytes


def _mix(payloads: Bytes, keys: Bytes) -> Bytes:
    """Rows of payloads, masked or unmasked by their rows of keys, four bytes at a time."""
    count, length = payloads.shape
    padded = np.empty((count, -(-length // _MASK_BYTES) * _MASK_BYTES), np.uint8)
    padded[:, :length] = payloads
    words = padded.view(np.uint32)
    words ^= np.ascontiguousarray(keys).view(np.uint32)
    return padded[:, :length]


def _rows(head: bytes, *columns: Bytes) -> Bytes:
    """One row a frame: the same head, then the columns."""
    parts = [np.broadcast_to(np.frombuffer(head, np.uint8), (len(columns[0]), len(head))), *columns]
    return np.concatenate(parts, axis=1)


def sent_bytes(size: int) -> int:
    """How long the frame is in which a client sends a message of ``size`` bytes."""
    return len(header(size, masked=True)) + _MASK_BYTES + size


class Messages:
    """The messages of ``size`` bytes of all tunnels, as frames, any stretch of them at once.

    Args:
        size: Of a message; `payload.MIN_MESSAGE_BYTES` at least.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._head = header(size, masked=True)
        self._echo_head = header(size, masked=False)
        self.echo_bytes = len(self._echo_head) + size
        # A few more than there are bodies, so that a stretch never has to begin anew at row 0.
        rows = (self._echo_head + bytes(STAMP.size) + body(n % BODIES, size - STAMP.size) for n in range(_TABLE_ROWS))
        self._echoes = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, self.echo_bytes)

    def echoes(self, tunnel: int, index: int, count: int) -> Bytes:
        """What comes back for ``count`` messages from ``index`` on: one row a frame; `MAX_ROWS` at most."""
        first = body_number(tunnel, index)
        rows = self._echoes[first : first + count].copy()
        at = len(self._echo_head)
        rows[:, at : at + STAMP.size] = _stamps(tunnel, index, count)
        return rows

    def frames(self, tunnel: int, index: int, count: int) -> bytes:
        """The same messages as a client sends them, each with a masking key of its own."""
        payloads = self.echoes(tunnel, index, count)[:, len(self._echo_head) :]
        keys = np.frombuffer(os.urandom(_MASK_BYTES * count), np.uint8).reshape(count, _MASK_BYTES)
        return _rows(self._head, keys, _mix(payloads, keys)).tobytes()


def _stamps(tunnel: int, index: int, count: int) -> Bytes:
    stamps = np.empty((count, 2), ">u4")
    stamps[:, 0] = tunnel
    stamps[:, 1] = np.arange(index, index + count)
    return stamps.view(np.uint8)
