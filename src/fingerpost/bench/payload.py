"""The bytes that are sent through relays, made so that a lost, altered or exchanged one can't pass unseen."""

import base64
import hashlib
import random
import struct

# Incompressible and the same in every process. Its length has no factor in common with a page or a buffer,
# so a piece that went missing shifts what follows.
PATTERN = random.Random(9110).randbytes(1_048_573)  # noqa: S311 - a fixture, not a secret

_STAMP = struct.Struct(">II")
_STRIDE = 4093

# RFC 6455 §1.3.
_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def message(tunnel: int, index: int, size: int) -> bytes:
    """``size`` bytes that no other tunnel or index has: both numbers, then a stretch of the pattern."""
    offset = (tunnel * 31 + index) * _STRIDE % (len(PATTERN) - size)
    return _STAMP.pack(tunnel, index) + PATTERN[offset : offset + size - _STAMP.size]


def websocket_key(tunnel: int) -> bytes:
    """A Sec-WebSocket-Key, different for each tunnel. Any number will do."""
    return base64.b64encode(_STAMP.pack(tunnel % (1 << 32), 0) * 2)


def websocket_accept(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that answers a key (RFC 6455 §4.2.2)."""
    digest = hashlib.sha1(key + _WEBSOCKET_GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest)
