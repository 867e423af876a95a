"""A message head, from bytes to what it says; strict, so that no two readers can disagree on it (RFC 9112).

What is accepted here is accepted by h11 and llhttp as well, with the same meaning: the tests compare.
Everything else is a MessageError, which is a 400 for a request and a 502 for a response.

Speed: this runs once a request and once a response, so nothing here loops over the fields in Python: one
`translate` checks every byte, and what a sequence of names means is looked up, not worked out (`_Shapes`).
"""

import re
from functools import lru_cache

from fingerpost.errors import MessageError
from fingerpost.http1.grammar import (
    CRLF,
    DIGITS,
    FIELD_TEXT,
    HEAD_END,
    OWS,
    TARGET,
    has_bare_line_end,
    is_token,
)

METHODS = frozenset(
    b"GET HEAD POST PUT DELETE OPTIONS TRACE PATCH QUERY CONNECT COPY LOCK MKCOL MOVE PROPFIND PROPPATCH "
    b"SEARCH UNLOCK BIND REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE "
    b"UNSUBSCRIBE PURGE MKCALENDAR LINK UNLINK SOURCE".split()
)
"""Every method that llhttp knows. Another one is refused: two readers could differ on what its body means."""

_FRAMING = frozenset((b"content-length", b"transfer-encoding"))
# Fields that are the proxy's own business on one hop (RFC 9110 §7.6.1); the rest are passed on as they are.
_HOP_BY_HOP = _FRAMING | {b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade"}
_NOT_FIELDS = _HOP_BY_HOP | {b"", b"close"}
"""What Connection may say without naming a field that is passed on."""
_REQUEST_SPECIAL = _HOP_BY_HOP | frozenset(
    (b"cdn-loop", b"expect", b"forwarded", b"host", b"http2-settings", b"proxy-authorization", b"x-real-ip")
)
FORWARDED_PREFIX = b"x-forwarded-"
"""Only a trusted proxy may say such a thing of a client."""

# From every line's LF to its colon. The colon is optional so that a line without one ends the search instead
# of making it start over at every line, which would cost the product of lines and bytes.
_NAMES = re.compile(rb"\n[^:]*:?")
# RFC 3986 §3.2.2 host and port, without the characters that no host name has and readers differ on.
_AUTHORITY = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
_NO_VALUES: list[bytes] = []
_MAX_LENGTH_DIGITS = 18  # fits 64 signed bits, in every reader
_MAX_SHORT_BYTES = 1024  # of Connection and of a status line, which are remembered


class Fields:
    """What the field lines of one head say.

    Args:
        block: The field lines, each with the CRLF *before* it: what lies between the start line and the empty line.
        max_fields: How many lines are accepted.
        shapes: What names mean in this kind of head.

    Attributes:
        kept: The lines to pass on, as they came, each with its CRLF before it.
        special: Lower-case name → values, for the names that mean something to the proxy.
        content_length: The body's length in bytes, or None.
        chunked: Whether Transfer-Encoding is exactly ``chunked``.
        close: ``Connection: close`` was said.
        keep_alive: ``Connection: keep-alive`` was said (it matters to HTTP/1.0 alone).
        upgrade: The Upgrade field's value, if Connection names it, else empty.

    Raises:
        MessageError: 400, or 431 for too many fields.
    """

    __slots__ = ("chunked", "close", "content_length", "keep_alive", "kept", "special", "upgrade")

    def __init__(self, block: bytes, max_fields: int, shapes: "_Shapes") -> None:
        # Left over are line ends, and what must not be there: NUL and other control bytes.
        leftover = len(block.translate(None, FIELD_TEXT))
        if leftover > 2 * max_fields:
            raise MessageError(431, "too many fields")
        kept, special = shapes.split(block, leftover)
        self.kept = kept
        self.special = special
        self.upgrade = b""
        if b"connection" in special:
            self._read_connection(special[b"connection"])
        else:
            self.close = self.keep_alive = False
        length = special.get(b"content-length")
        self.content_length = None if length is None else _content_length(length)
        self.chunked = b"transfer-encoding" in special and _is_chunked(special[b"transfer-encoding"])
        if self.chunked and length is not None:
            raise MessageError(400, "both Content-Length and Transfer-Encoding")

    def _read_connection(self, values: list[bytes]) -> None:
        """RFC 9110 §7.6.1: learn the options, and drop every field that they name."""
        value = values[0] if len(values) == 1 else b",".join(values)
        if len(value) > _MAX_SHORT_BYTES:
            raise MessageError(400, "Connection is too long")
        self.close, self.keep_alive, upgrade, named = _connection_options(value)
        if upgrade:
            self.upgrade = b", ".join(self.special.get(b"upgrade", _NO_VALUES))
        if named:
            lines = self.kept.split(CRLF)
            self.kept = CRLF.join(line for line in lines if line.partition(b":")[0].lower() not in named)

    def values(self, name: bytes) -> list[bytes]:
        """All values of a special field, in order; empty when it was not sent."""
        return self.special.get(name, _NO_VALUES)

    def first(self, name: bytes, default: bytes) -> bytes:
        """The first value of a special field, or ``default``."""
        values = self.special.get(name)
        return values[0] if values else default

    def find(self, name: bytes) -> bytes:
        """The first value of a field that is passed on, or empty. Slow: looks at every line."""
        for line in self.kept.split(CRLF):
            key, _, value = line.partition(b":")
            if key.lower() == name:
                return value.strip(OWS)
        return b""


class RequestFields(Fields):
    """The fields of a request; ``host`` is the Host field's value, as it was sent."""

    __slots__ = ("expects_continue", "host")

    def __init__(self, block: bytes, max_fields: int) -> None:
        super().__init__(block, max_fields, _REQUEST_SHAPES)
        hosts = self.special.get(b"host", _NO_VALUES)
        if len(hosts) != 1:
            raise MessageError(400, "more than one Host" if hosts else "no Host")
        self.host = hosts[0]
        expect = self.special.get(b"expect")
        self.expects_continue = expect is not None
        if expect is not None and (len(expect) > 1 or expect[0].lower() != b"100-continue"):
            raise MessageError(400, "an expectation other than 100-continue")


@lru_cache(256)
def _connection_options(value: bytes) -> tuple[bool, bool, bool, frozenset[bytes]]:
    """Close, keep-alive, upgrade, and the other fields that a Connection field names. The same few come often."""
    options = frozenset(option.strip(OWS) for option in value.lower().split(b","))
    return b"close" in options, b"keep-alive" in options, b"upgrade" in options, options - _NOT_FIELDS


def find_head_end(data: bytes, searched: int, max_bytes: int) -> int:
    """Where the head at the front of ``data`` ends: at its last CRLF CRLF, which belongs to nobody.

    Args:
        data: What has arrived.
        searched: How much of it earlier calls have looked at (`searched_to`), so that a head that comes byte by
            byte is not searched anew with each.
        max_bytes: How long a head may be.

    Returns:
        The index, or -1 if the head isn't whole.

    Raises:
        MessageError: 431 if it is too long, 400 for a bare CR or LF, for which waiting would be in vain.
    """
    end = data.find(HEAD_END, searched - 3 if searched > 3 else 0)
    if end > max_bytes or (end < 0 and len(data) > max_bytes):
        raise MessageError(431, "head too large")
    if end < 0 and has_bare_line_end(data[searched:]):
        raise MessageError(400, "a bare CR or LF in the head")
    return end


def searched_to(data: bytes) -> int:
    """How far `find_head_end` has looked at ``data``; a CR at its end may become CRLF and is looked at again."""
    return len(data) - data.endswith(b"\r")


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


def origin_form(method: bytes, target: bytes, host: bytes) -> bytes:
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
    if not _AUTHORITY.fullmatch(authority) or _bare(authority, default_port) != _bare(host, default_port):
        raise MessageError(400, "Host disagrees with the absolute-form target")
    if not path:
        return b"*" if method == b"OPTIONS" else b"/"  # RFC 9112 §3.2.4
    return path if path.startswith(b"/") else b"/" + path


def _bare(authority: bytes, default_port: bytes) -> bytes:
    return authority.lower().removesuffix(default_port)


def parse_response(head: bytes, max_fields: int) -> tuple[int, bytes, bool, Fields]:
    """Read a response head, its last CRLFs removed (RFC 9112 §4).

    Returns:
        Status, the status line after ``HTTP/1.x `` (status and reason), whether it is HTTP/1.0, the fields.

    Raises:
        MessageError: It can't be understood without doubt.
    """
    line_end = head.find(CRLF)
    if line_end < 0:
        line_end = len(head)
    if line_end > _MAX_SHORT_BYTES:
        raise MessageError(502, "status line too long")
    status, line, http10 = _parse_status_line(head[:line_end])
    fields = Fields(head[line_end:], max_fields, _RESPONSE_SHAPES)
    if http10 and fields.chunked:
        raise MessageError(502, "Transfer-Encoding in HTTP/1.0")
    return status, line, http10, fields


@lru_cache(256)
def _parse_status_line(line: bytes) -> tuple[int, bytes, bool]:
    """Status, status and reason, whether it is HTTP/1.0. The same few come all the time."""
    if line[:9] != b"HTTP/1.1 " and line[:9] != b"HTTP/1.0 ":
        raise MessageError(502, "status line has another version")
    status, space = line[9:12], line[12:13]
    if len(status) != 3 or status.translate(None, DIGITS) or status < b"100" or space not in (b" ", b""):
        raise MessageError(502, "status line without a three-digit status")
    if line.translate(None, FIELD_TEXT):
        raise MessageError(502, "status line holds a control byte")
    # RFC 9112 §4: the space stays when there is no reason; not every app sends it.
    return int(status), line[9:] if space else status + b" ", line[7:8] == b"0"


def parse_trailers(block: bytes, max_fields: int) -> bytes:
    """Read a trailer section: fields that speak of framing are refused, of routing dropped (RFC 9110 §6.5.1).

    Args:
        block: As in `Fields`.
        max_fields: How many lines are accepted.

    Returns:
        The lines to pass on, as in `Fields.kept`.

    Raises:
        MessageError: 400, or 431 for too many fields.
    """
    fields = Fields(block, max_fields, _TRAILER_SHAPES)
    if not _FRAMING.isdisjoint(fields.special):
        raise MessageError(400, "framing fields in the trailers")
    return fields.kept


class _Shape:
    """What a sequence of field names means, whatever their values are.

    The lines fall into pieces: a special line, or a run of lines that are passed on; what is dropped is in none.

    Args:
        names: As they were sent.
        special: For each its lower-case name if it is special, else None.
        dropped: The indices of those that are not passed on though they are not special.
    """

    __slots__ = ("_pieces", "_source", "names", "pattern", "total", "uses")

    def __init__(self, names: list[bytes], special: list[bytes | None], dropped: set[int]) -> None:
        self.total = len(names)
        self.uses = 0
        self.pattern: re.Pattern[bytes] | None = None
        self.names: list[bytes | None] = []  # for each piece, its lower-case name if it is special
        self._pieces: list[tuple[int, int]] = []  # for each piece, its first line and the one behind its last
        source = b""
        for at, name in enumerate(names):
            line = rb"\r\n" + re.escape(name) + rb":"
            if special[at] is not None:
                source += line + rb"([^\r]*+)"
            elif at in dropped:
                source += line + rb"[^\r]*+"
                continue
            elif self._pieces and self._pieces[-1][1] == at and self.names[-1] is None:
                source = source[:-1] + line + rb"[^\r]*+)"
                self._pieces[-1] = (self._pieces[-1][0], at + 1)
                continue
            else:
                source += b"(" + line + rb"[^\r]*+)"
            self.names.append(special[at])
            self._pieces.append((at, at + 1))
        self._source = source

    def compile(self) -> re.Pattern[bytes]:
        """One expression that knows the names and cuts the pieces; nothing in it can go back, so it is linear."""
        if self.pattern is None:
            self.pattern = re.compile(self._source)
        return self.pattern

    def cut(self, block: bytes) -> list[bytes]:
        """The pieces of a block that is known to have this shape: a special line's value, or a run of lines."""
        lines = block.split(CRLF)[1:]
        return [
            lines[first].partition(b":")[2] if name is not None else CRLF + CRLF.join(lines[first:end])
            for name, (first, end) in zip(self.names, self._pieces, strict=True)
        ]


class _Shapes(dict[bytes, _Shape]):
    """Sequences of names, each between LF and colon, → shape; learnt as they come.

    Names vary little from one request to the next. Checking and lower-casing them once for each sequence takes two
    thirds off the cost of a head; an expression for the sequence that came last, if it comes often, takes
    another third off the rest. Compiling one costs a millisecond, which a client must not be able to ask for with
    every request: hence "often". Bounded: emptied when full, and long sequences are not kept.
    """

    max_entries = 1024
    max_key_bytes = 1024
    uses_to_compile = 64

    def __init__(self, special: frozenset[bytes], of_client: bool) -> None:
        super().__init__()
        self._special = special
        self._of_client = of_client
        self._latest = _Shape([b" "], [None], set())  # like no block
        self._latest_pattern = self._latest.compile()

    def split(self, block: bytes, leftover: int) -> tuple[bytes, dict[bytes, list[bytes]]]:
        """The lines to pass on, each with its CRLF before it, and the special values.

        Args:
            block: See `Fields`.
            leftover: How many of its bytes no field may hold: two for each line's CRLF, or something is wrong.

        Raises:
            MessageError: 400, a name is no token or missing, or a control byte or bare line end is there.
        """
        match = self._latest_pattern.fullmatch(block)
        if match is not None and leftover == 2 * self._latest.total:
            shape, pieces = self._latest, match.groups()
        else:
            shape = self[b"".join(_NAMES.findall(block))]
            if leftover != 2 * shape.total or block.count(CRLF) != shape.total:
                raise MessageError(400, "a line without a colon, a control byte or a bare line end in the fields")
            pieces = tuple(shape.cut(block))
            shape.uses += 1
            if shape.uses > self.uses_to_compile:
                self._latest, self._latest_pattern = shape, shape.compile()
        kept = b""
        special: dict[bytes, list[bytes]] = {}
        for name, piece in zip(shape.names, pieces, strict=True):
            if name is None:
                kept += piece
            elif name in special:
                special[name].append(piece.strip(OWS))
            else:
                special[name] = [piece.strip(OWS)]
        return kept, special

    def __missing__(self, joined: bytes) -> _Shape:
        names = [name[1:] for name in joined.split(b":")[:-1]]
        # A line without a colon runs into the next name; obs-fold and white space before a colon stay in it.
        if not all(map(is_token, names)):
            raise MessageError(400, "a field name that is no token")
        lower = [name.lower() for name in names]
        special = [name if self._is_special(name) else None for name in lower]
        dropped: set[int] = set()
        if self._of_client:
            # CGI and WSGI make one variable of `-` and `_`: X_Forwarded_For is X-Forwarded-For to an app.
            dropped = {at for at, name in enumerate(lower) if self._is_special(name.replace(b"_", b"-"))}
        shape = _Shape(names, special, dropped)
        if len(joined) <= self.max_key_bytes:
            if len(self) >= self.max_entries:
                self.clear()
            self[joined] = shape
        return shape

    def _is_special(self, name: bytes) -> bool:
        return name in self._special or (self._of_client and name.startswith(FORWARDED_PREFIX))


_REQUEST_SHAPES = _Shapes(_REQUEST_SPECIAL, of_client=True)
_RESPONSE_SHAPES = _Shapes(_HOP_BY_HOP, of_client=False)
_TRAILER_SHAPES = _Shapes(_REQUEST_SPECIAL | {b"trailer"}, of_client=True)


def _content_length(values: list[bytes]) -> int:
    value = values[0]
    if len(values) != 1 or not 1 <= len(value) <= _MAX_LENGTH_DIGITS or value.translate(None, DIGITS):
        raise MessageError(400, "Content-Length is not one number")
    return int(value)


def _is_chunked(values: list[bytes]) -> bool:
    if len(values) != 1 or values[0].lower() != b"chunked":
        raise MessageError(400, "a transfer coding other than chunked")
    return True
