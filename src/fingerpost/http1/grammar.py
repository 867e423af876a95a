"""Which bytes may stand where in HTTP/1.1: tables for `bytes.translate`, which checks a head in one C loop.

`data.translate(None, ALLOWED)` deletes every allowed byte, so what is left over is what must not be there.
"""

_ALPHANUMERIC = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VISIBLE = bytes(range(0x21, 0x7F))

TOKEN = b"!#$%&'*+-.^_`|~" + _ALPHANUMERIC
"""RFC 9110 §5.6.2 tchar: methods and field names."""

FIELD_TEXT = b"\t " + _VISIBLE + bytes(range(0x80, 0x100))
"""RFC 9110 §5.5: what a field line may hold, obs-text included; every other control byte is refused."""

TARGET = _VISIBLE.replace(b"#", b"")
"""RFC 9112 §3.2: a request target is visible ASCII; a fragment never belongs in one."""

DIGITS = b"0123456789"
OWS = b" \t"
"""RFC 9110 §5.6.3 optional white space."""

CRLF = b"\r\n"
HEAD_END = b"\r\n\r\n"


def is_token(data: bytes) -> bool:
    """Whether ``data`` is a non-empty RFC 9110 token."""
    return bool(data) and not data.translate(None, TOKEN)


def has_bare_line_end(data: bytes) -> bool:
    """Whether a CR or LF stands alone. A CR at the very end may still become CRLF and is not counted."""
    pairs = data.count(CRLF)
    return data.count(b"\n") != pairs or data.count(b"\r") - data.endswith(b"\r") != pairs


def list_items(values: list[bytes]) -> list[bytes]:
    """The non-empty elements of a comma-separated list, white space removed, case kept (RFC 9110 §5.6.1)."""
    return [item for value in values for part in value.split(b",") if (item := part.strip(OWS))]
