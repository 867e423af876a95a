"""A message head, from bytes to what it says; strict, so that no two readers can disagree on it (RFC 9112).

What is accepted here is accepted by h11 and llhttp as well, with the same meaning: the tests compare. Everything
else is a MessageError, which is a 400 for a request and a 502 for a response.

Speed: this runs once a request and once a response, so nothing here loops over the fields in Python: one
`translate` checks every byte, and what a sequence of names means is looked up, not worked out (`_Shapes`).
"""

import re
from typing import NamedTuple

from fingerpost.errors import MessageError
from fingerpost.http1.grammar import CRLF, DIGITS, FIELD_TEXT, OWS, TARGET, is_token, list_items

METHODS = frozenset(
    b"GET HEAD POST PUT DELETE OPTIONS TRACE PATCH CONNECT COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK "
    b"BIND REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PURGE "
    b"MKCALENDAR LINK UNLINK SOURCE".split()
)
"""Every method that llhttp knows. An unknown one is refused: two readers could differ on what its body means."""

# Fields that are the proxy's own business on one hop (RFC 9110 §7.6.1); the rest are passed on as they are.
_HOP_BY_HOP = frozenset(
    (b"connection", b"content-length", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade")
)
_FORWARDED = frozenset(
    (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto", b"x-real-ip")
)
_REQUEST_SPECIAL = (
    _HOP_BY_HOP | _FORWARDED | {b"cdn-loop", b"expect", b"host", b"http2-settings", b"proxy-authorization"}
)

_NAMES = re.compile(rb"\r\n([^:]*:)")
_NO_VALUES: list[bytes] = []
_MAX_LENGTH_DIGITS = 18  # fits 64 signed bits, in every reader


class Fields:
    """What the field lines of one head say.

    Attributes:
        kept: The lines to pass on, as they came, without CRLF.
        special: Lower-case name → values, for the names that mean something to the proxy.
        content_length: The body's length in bytes, or None.
        chunked: Whether Transfer-Encoding is exactly ``chunked``.
        close: ``Connection: close`` was said.
        keep_alive: ``Connection: keep-alive`` was said (it matters to HTTP/1.0 alone).
        upgrade: The Upgrade field's value, if Connection names it, else empty.
    """

    __slots__ = ("chunked", "close", "content_length", "keep_alive", "kept", "special", "upgrade")

    def __init__(self, kept: list[bytes], special: dict[bytes, list[bytes]]) -> None:
        self.kept = kept
        self.special = special
        self.close = self.keep_alive = False
        self.upgrade = b""
        if b"connection" in special:
            self._read_connection(list_items(special[b"connection"]))
        length = special.get(b"content-length")
        coding = special.get(b"transfer-encoding")
        self.content_length = None if length is None else _content_length(length)
        self.chunked = coding is not None and _is_chunked(coding)
        if self.chunked and length is not None:
            raise MessageError(400, "both Content-Length and Transfer-Encoding")

    def _read_connection(self, options: list[bytes]) -> None:
        """RFC 9110 §7.6.1: learn the options, and drop every field that they name."""
        named = {option.lower() for option in options}
        self.close = b"close" in named
        self.keep_alive = b"keep-alive" in named
        if b"upgrade" in named:
            self.upgrade = b", ".join(self.special.get(b"upgrade", _NO_VALUES))
        if not named <= _HOP_BY_HOP | {b"close"}:
            self.kept = [line for line in self.kept if line.partition(b":")[0].lower() not in named]

    def values(self, name: bytes) -> list[bytes]:
        """All values of a special field, in order; empty when it was not sent."""
        return self.special.get(name, _NO_VALUES)

    def first(self, name: bytes, default: bytes) -> bytes:
        """The first value of a special field, or ``default``."""
        values = self.special.get(name)
        return values[0] if values else default

    def find(self, name: bytes) -> bytes:
        """The first value of a field that is passed on, or empty. Looks at every line: not for the hot path."""
        for line in self.kept:
            key, _, value = line.partition(b":")
            if key.lower() == name:
                return value.strip(OWS)
        return b""


class RequestFields(Fields):
    """The fields of a request; ``host`` is the Host field's value, as it was sent, or None."""

    __slots__ = ("expects_continue", "host")

    def __init__(self, kept: list[bytes], special: dict[bytes, list[bytes]]) -> None:
        super().__init__(kept, special)
        hosts = special.get(b"host")
        if hosts is not None and len(hosts) > 1:
            raise MessageError(400, "more than one Host")
        self.host = None if hosts is None else hosts[0]
        expect = special.get(b"expect")
        self.expects_continue = expect is not None
        if expect is not None and (len(expect) > 1 or expect[0].lower() != b"100-continue"):
            raise MessageError(400, "an expectation other than 100-continue")


def parse_request_line(line: bytes) -> tuple[bytes, bytes, bool]:
    """Read ``method SP target SP version`` (RFC 9112 §3).

    Returns:
        The method, the target in whichever form it came, and whether the version is HTTP/1.0.

    Raises:
        MessageError: 400.
    """
    parts = line.split(b" ")
    if len(parts) != 3:
        raise MessageError(400, "request line is not three words")
    method, target, version = parts
    if version != b"HTTP/1.1" and version != b"HTTP/1.0":
        raise MessageError(400, "version is neither HTTP/1.1 nor HTTP/1.0")
    if method not in METHODS:
        raise MessageError(400, "unknown method")
    if not target or target.translate(None, TARGET):
        raise MessageError(400, "request target holds a byte that is not allowed")
    return method, target, version == b"HTTP/1.0"


def origin_form(method: bytes, target: bytes, host: bytes | None) -> bytes:
    """The target as an app expects it: ``/path?query`` or ``*`` (RFC 9112 §3.2).

    An absolute-form target must name the same authority as Host, or two readers would route it differently.

    Raises:
        MessageError: 400.
    """
    if target.startswith(b"/"):
        return target
    if target == b"*" and method == b"OPTIONS":
        return target
    scheme, separator, rest = target.partition(b"://")
    default_port = {b"http": b":80", b"https": b":443"}.get(scheme.lower())
    if not separator or default_port is None:
        raise MessageError(400, "request target in an unknown form")
    path_at = min(at for at in (rest.find(b"/"), rest.find(b"?"), len(rest)) if at >= 0)
    authority, path = rest[:path_at], rest[path_at:]
    if host is None or not authority or _bare(authority, default_port) != _bare(host, default_port):
        raise MessageError(400, "Host disagrees with the absolute-form target")
    if not path:
        return b"*" if method == b"OPTIONS" else b"/"  # RFC 9112 §3.2.4
    return path if path.startswith(b"/") else b"/" + path


def _bare(authority: bytes, default_port: bytes) -> bytes:
    return authority.lower().removesuffix(default_port)


def parse_request_fields(block: bytes, max_fields: int) -> RequestFields:
    """Read a request's field lines.

    Args:
        block: The field lines, each with the CRLF *before* it: what lies between the request line and the
            empty line.
        max_fields: How many lines are accepted.

    Raises:
        MessageError: 400, or 431 for too many fields.
    """
    return RequestFields(*_split_fields(block, max_fields, _REQUEST_SHAPES))


def parse_response(head: bytes, max_fields: int) -> tuple[int, bytes, bool, Fields]:
    """Read a response head, its last CRLFs removed (RFC 9112 §4).

    Returns:
        Status, the status line after ``HTTP/1.x `` (status and reason), whether it is HTTP/1.0, the fields.

    Raises:
        MessageError: It can't be understood without doubt.
    """
    line_end = head.find(CRLF)
    line, block = (head, b"") if line_end < 0 else (head[:line_end], head[line_end:])
    if line[:9] != b"HTTP/1.1 " and line[:9] != b"HTTP/1.0 ":
        raise MessageError(502, "status line has another version")
    status = line[9:12]
    if len(status) != 3 or status.translate(None, DIGITS) or status < b"100" or line[12:13] not in (b" ", b""):
        raise MessageError(502, "status line without a three-digit status")
    if line.translate(None, FIELD_TEXT):
        raise MessageError(502, "status line holds a control byte")
    return int(status), line[9:], line[7:8] == b"0", Fields(*_split_fields(block, max_fields, _RESPONSE_SHAPES))


def parse_trailers(block: bytes, max_fields: int) -> list[bytes]:
    """Read a trailer section; fields that would change framing or routing are dropped (RFC 9110 §6.5.1).

    Returns:
        The lines to pass on.

    Raises:
        MessageError: 400.
    """
    return _split_fields(block, max_fields, _TRAILER_SHAPES)[0]


def _split_fields(block: bytes, max_fields: int, shapes: "_Shapes") -> tuple[list[bytes], dict[bytes, list[bytes]]]:
    """Split ``block``, whose lines each begin with CRLF, into the lines to pass on and the special values."""
    lines = block.split(CRLF)
    if len(lines) > max_fields + 1:
        raise MessageError(431, "too many fields")
    # Left over must be the CRLFs that were split at, and nothing else: no bare CR or LF, no NUL, no control byte.
    if len(block.translate(None, FIELD_TEXT)) != 2 * len(lines) - 2:
        raise MessageError(400, "a control byte or a bare line end in the fields")
    shape = shapes[b"".join(_NAMES.findall(block))]
    if shape.count != len(lines) - 1:
        raise MessageError(400, "a field line without a colon")
    special: dict[bytes, list[bytes]] = {}
    for index, name, value_at in shape.special:
        special.setdefault(name, []).append(lines[index][value_at:].strip(OWS))
    for index in shape.dropped:
        del lines[index]
    return lines, special


class _Shape(NamedTuple):
    """What a sequence of field names means, whatever their values are. Indices are those of the lines."""

    count: int
    special: list[tuple[int, bytes, int]]  # index, lower-case name, where the value begins
    dropped: list[int]  # every index that is not passed on, last first; 0 is the empty line before the first


class _Shapes(dict[bytes, _Shape]):
    """Sequences of names, joined with their colons, → shape; learnt as they come.

    Names vary little from one request to the next, so checking and lower-casing them once for each sequence
    takes two thirds off the cost of a head. Bounded: it is emptied when full, and long sequences are not kept.
    """

    max_entries = 1024
    max_key_bytes = 1024

    def __init__(self, special: frozenset[bytes], drop_imitations: bool) -> None:
        super().__init__()
        self._special = special
        self._drop_imitations = drop_imitations

    def __missing__(self, joined: bytes) -> _Shape:
        names = joined.lower().split(b":")[:-1]
        # A line without a colon runs into the next one's name; obs-fold and white space before a colon show as space.
        if not all(map(is_token, names)):
            raise MessageError(400, "a field name that is no token")
        special = [(at, name, len(name) + 1) for at, name in enumerate(names, 1) if name in self._special]
        dropped = {0, *(at for at, _, _ in special)}
        if self._drop_imitations:
            dropped.update(at for at, name in enumerate(names, 1) if _imitates_forwarded(name))
        shape = _Shape(len(names), special, sorted(dropped, reverse=True))
        if len(joined) <= self.max_key_bytes:
            if len(self) >= self.max_entries:
                self.clear()
            self[joined] = shape
        return shape


def _imitates_forwarded(name: bytes) -> bool:
    """Whether an app could take the field for one that only a trusted proxy may set.

    CGI and WSGI turn ``-`` and ``_`` into the same variable, so ``X_Forwarded_For`` is X-Forwarded-For to them.
    """
    name = name.replace(b"_", b"-")
    return name in _FORWARDED or name.startswith(b"x-forwarded-")


_REQUEST_SHAPES = _Shapes(_REQUEST_SPECIAL, drop_imitations=True)
_RESPONSE_SHAPES = _Shapes(_HOP_BY_HOP, drop_imitations=False)
_TRAILER_SHAPES = _Shapes(_REQUEST_SPECIAL | {b"trailer"}, drop_imitations=True)


def _content_length(values: list[bytes]) -> int:
    value = values[0]
    if len(values) != 1 or not 1 <= len(value) <= _MAX_LENGTH_DIGITS or value.translate(None, DIGITS):
        raise MessageError(400, "Content-Length is not one number")
    return int(value)


def _is_chunked(values: list[bytes]) -> bool:
    if len(values) != 1 or values[0].lower() != b"chunked":
        raise MessageError(400, "a transfer coding other than chunked")
    return True
