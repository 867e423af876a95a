"""What goes on to the other side: heads rebuilt from what was understood, with one framing (RFC 9112 §6).

The request line and the status line are put in front by the caller; here is everything behind them.
"""

from typing import NamedTuple

from fingerpost.http1.grammar import CRLF, OWS, list_items
from fingerpost.http1.head import FORWARDED_PREFIX, Fields, RequestFields

_FORWARDED = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port"))
_FORWARDED_TOO = frozenset((b"forwarded", b"x-real-ip"))
_OWN_FORWARDED = b"\r\n".join(
    (b"X-Forwarded-For: %b", b"X-Forwarded-Proto: %b", b"X-Forwarded-Host: %b", b"X-Forwarded-Port: %b")
)

_OWN_WORD = _OWN_FORWARDED + b"\r\nCDN-Loop: %b"


class Client(NamedTuple):
    """What the listener knows of a client and what the app is told: all as bytes, ready for a field.

    Attributes:
        address: The peer's IP address.
        scheme: ``http`` or ``https``, as the client spoke it.
        port: The port that it connected to.
        trusted: Whether the peer is one of ``trusted_proxies``, so that its own claims are passed on.
    """

    address: bytes
    scheme: bytes
    port: bytes
    trusted: bool


def request_tail(fields: RequestFields, client: Client, cdn_loop_id: bytes, upgrade: bytes, http10: bool) -> bytes:
    """Everything of the upstream request behind its request line, the empty line included.

    Args:
        fields: What the client sent.
        client: Who it is.
        cdn_loop_id: This proxy's id (RFC 8586).
        upgrade: The protocols to offer, or empty.
        http10: The client spoke HTTP/1.0: no expectation is passed on (RFC 9110 §10.1.1).
    """
    lines = [b"Host: " + fields.host + fields.kept]
    if fields.chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif fields.content_length is not None:
        lines.append(b"Content-Length: %d" % fields.content_length)
    if upgrade:
        lines.append(b"Upgrade: " + upgrade)
    trailers = b"te" in fields.special and b"trailers" in map(bytes.lower, list_items(fields.values(b"te")))
    if trailers:
        lines.append(b"TE: trailers")
    if upgrade or trailers:
        lines.append(b"Connection: " + b", ".join((b"Upgrade",) * bool(upgrade) + (b"TE",) * trailers))
    if fields.expects_continue and not http10:
        lines.append(b"Expect: 100-continue")
    if client.trusted or b"cdn-loop" in fields.special:
        lines += forwarded_lines(fields, client)
        lines.append(b"CDN-Loop: " + _list(fields.values(b"cdn-loop"), cdn_loop_id))
    else:
        lines.append(_OWN_WORD % (client.address, client.scheme, fields.host, client.port, cdn_loop_id))
    lines.append(b"\r\n")
    return CRLF.join(lines)


def forwarded_lines(fields: RequestFields, client: Client) -> list[bytes]:
    """X-Forwarded-For/Proto/Host/Port: a trusted proxy's word, with its address added; else our own.

    ``Forwarded`` (RFC 7239), ``X-Real-IP`` and every other ``X-Forwarded-…`` pass from trusted proxies only.
    """
    if not client.trusted:
        return [_OWN_FORWARDED % (client.address, client.scheme, fields.host, client.port)]
    first = fields.first
    lines = [
        b"X-Forwarded-For: " + _list(fields.values(b"x-forwarded-for"), client.address),
        b"X-Forwarded-Proto: " + first(b"x-forwarded-proto", client.scheme),
        b"X-Forwarded-Host: " + first(b"x-forwarded-host", fields.host),
        b"X-Forwarded-Port: " + first(b"x-forwarded-port", client.port),
    ]
    for name, values in fields.special.items():
        if name not in _FORWARDED and (name in _FORWARDED_TOO or name.startswith(FORWARDED_PREFIX)):
            lines += [name + b": " + value for value in values]
    return lines


def _list(values: list[bytes], last: bytes) -> bytes:
    """A list field with ``last`` appended; empty values leave no empty place."""
    if not values:
        return last
    return b", ".join((*filter(None, values), last))


def offered_upgrade(fields: RequestFields) -> bytes:
    """The protocols that the request offers to switch to, without ``h2c``; none if it has a body.

    An app that went over to h2c would take further requests that nobody checked (RFC 9113 §3.1 dropped it).
    With a body, readers differ on whether its bytes are the request's or the new protocol's (llhttp's users
    say the latter); an offer may always be ignored (RFC 9110 §7.8), so it isn't made.
    """
    if not fields.upgrade or fields.chunked or fields.content_length:
        return b""
    return b", ".join(item for item in list_items([fields.upgrade]) if item.lower().partition(b"/")[0] != b"h2c")


def loops(fields: RequestFields, cdn_loop_id: bytes) -> bool:
    """Whether the request has already passed through this proxy (RFC 8586 §2)."""
    values = fields.values(b"cdn-loop")
    return bool(values) and any(item.partition(b";")[0].rstrip(OWS) == cdn_loop_id for item in list_items(values))


def response_head(status_line: bytes, fields: Fields, framing: bytes, connection: bytes) -> bytes:
    """A whole response head for the client.

    Args:
        status_line: Status and reason.
        fields: What the app sent.
        framing: The framing field's line with its CRLF, or empty.
        connection: ``close``, ``keep-alive`` (to HTTP/1.0) or ``Upgrade``, or empty for none.
    """
    if connection:
        framing = b"Connection: " + connection + CRLF + framing
    return b"HTTP/1.1 %b%b\r\n%b\r\n" % (status_line, fields.kept, framing)
