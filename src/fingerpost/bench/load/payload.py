"""The bytes that are sent through relays, made so that a lost, altered or exchanged one can't pass unseen."""

import base64
import hashlib
import os
import random
import struct

# Incompressible and the same in every process. Its length has no factor in common with a page or a buffer,
# so a piece that went missing shifts what follows.
PATTERN = random.Random(9110).randbytes(1_048_573)  # noqa: S311 - a fixture, not a secret

STAMP = struct.Struct(">II")
"""What a message begins with: the number of its tunnel, and its own in that tunnel."""

# So many different bodies take turns, shifted from tunnel to tunnel: two neighbours never send the same one at the
# same time. A prime, so that it has no factor in common with how many are sent at once.
BODIES = 251
_SHIFT = 89

# RFC 6455 §1.3.
_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def body_number(tunnel: int, index: int) -> int:
    """Which of the `BODIES` a message has. Messages that follow each other have bodies that follow each other."""
    return (tunnel * _SHIFT + index) % BODIES


def body(number: int, size: int) -> bytes:
    """``size`` bytes of the pattern, from a place of its own for each number."""
    start = number * (len(PATTERN) // BODIES) % max(1, len(PATTERN) - size)
    stretch = PATTERN[start : start + size]
    return stretch if len(stretch) == size else (PATTERN * (size // len(PATTERN) + 2))[start : start + size]


def message(tunnel: int, index: int, size: int) -> bytes:
    """The ``size`` bytes that no other tunnel or index has: its stamp, then its body."""
    return STAMP.pack(tunnel, index) + body(body_number(tunnel, index), size - STAMP.size)


def websocket_key() -> bytes:
    """A Sec-WebSocket-Key: a nonce of 16 random bytes (RFC 6455 §4.1)."""
    return base64.b64encode(os.urandom(16))


def websocket_accept(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that answers a key (RFC 6455 §4.2.2)."""
    digest = hashlib.sha1(key + _WEBSOCKET_GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest)
