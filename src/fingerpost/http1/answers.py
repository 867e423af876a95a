"""What the proxy says itself when it can't relay: one table of reasons, three kinds of body.

A body never names the target, and every reason of one status has the same body, so an answer tells a
client nothing that the log alone should know.
"""

import json
from typing import NamedTuple


class Answer(NamedTuple):
    """One thing that can go wrong.

    Attributes:
        status: The HTTP status.
        error: The Proxy-Status error type (RFC 9209 §2.3).
    """

    status: int
    error: str


BAD_REQUEST = Answer(400, "http_request_error")
NOT_ALLOWED = Answer(403, "destination_ip_prohibited")
NO_SUCH_LABEL = Answer(404, "destination_not_found")
METHOD_REFUSED = Answer(405, "http_request_denied")
HEAD_TOO_SLOW = Answer(408, "http_request_error")
EXPIRED = Answer(410, "destination_not_found")
WRONG_DOMAIN = Answer(421, "http_request_error")
HEAD_TOO_LARGE = Answer(431, "http_request_error")
PROXY_BUG = Answer(502, "proxy_internal_error")
REFUSED = Answer(502, "connection_refused")
UNREACHABLE = Answer(502, "destination_ip_unroutable")
RESET = Answer(502, "connection_terminated")
NONSENSE = Answer(502, "http_protocol_error")
NO_ADDRESS = Answer(502, "dns_error")
TLS_CERTIFICATE = Answer(502, "tls_certificate_error")
TLS_PROTOCOL = Answer(502, "tls_protocol_error")
TLS_ALERT = Answer(502, "tls_alert_received")
AT_LIMIT = Answer(503, "connection_limit_reached")
CONNECT_TIMEOUT = Answer(504, "connection_timeout")
RESOLVE_TIMEOUT = Answer(504, "dns_timeout")
RESPONSE_TIMEOUT = Answer(504, "http_response_timeout")
WRITE_TIMEOUT = Answer(504, "connection_write_timeout")
LOOP = Answer(508, "proxy_loop_detected")

BY_STATUS = {
    400: BAD_REQUEST,
    405: METHOD_REFUSED,
    408: HEAD_TOO_SLOW,
    421: WRONG_DOMAIN,
    431: HEAD_TOO_LARGE,
}
"""The answer to a MessageError about a request."""

RETRY_AFTER_S = 5

# status → reason phrase, and one sentence for a person.
_TEXTS = {
    400: ("Bad Request", "The request could not be understood."),
    403: ("Forbidden", "This destination is not allowed here."),
    404: ("Not Found", "There is no app under this name. The link may be wrong or no longer valid."),
    405: ("Method Not Allowed", "This method is not relayed."),
    408: ("Request Timeout", "The request did not arrive in time."),
    410: ("Gone", "This link has expired. Ask whoever gave it to you for a new one."),
    421: ("Misdirected Request", "This host name is not served here."),
    431: (
        "Request Header Fields Too Large",
        "The request's header is too large. Clearing this site's cookies may help.",
    ),
    502: ("Bad Gateway", "The app behind this address did not answer properly. It may be starting, or gone."),
    503: ("Service Unavailable", "Too much is going on right now. Try again in a few seconds."),
    504: ("Gateway Timeout", "The app behind this address took too long to answer."),
    508: ("Loop Detected", "The request came back to where it started."),
}

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{status} {reason}</title>
<style>
body{{font:16px/1.6 system-ui,sans-serif;max-width:32rem;margin:20vh auto;padding:0 1.5rem}}
body{{color:#222;background:#fff}}
h1{{font-size:1.3rem;font-weight:600}}h1 b{{color:#b4551d;font-weight:600}}p{{color:#555}}
@media(prefers-color-scheme:dark){{body{{color:#ddd;background:#181818}}p{{color:#aaa}}}}</style>
<h1><b>{status}</b> {reason}</h1><p>{sentence}</p></html>
"""


def render(answer: Answer, accept: bytes, *, close: bool, head_only: bool = False) -> bytes:
    """The whole response.

    Args:
        answer: What went wrong.
        accept: The request's Accept field, or empty.
        close: Whether the connection closes behind it.
        head_only: The request was HEAD, so only the head is sent.
    """
    reason, sentence = _TEXTS[answer.status]
    media_type, body = _body(answer.status, reason, sentence, preferred(accept))
    lines = [
        f"HTTP/1.1 {answer.status} {reason}",
        f"Content-Type: {media_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        f"Proxy-Status: fingerpost; error={answer.error}",
    ]
    if answer.status == 503:
        lines.append(f"Retry-After: {RETRY_AFTER_S}")
    if answer.status == 405:
        lines.append("Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH")
    if close:
        lines.append("Connection: close")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
    return head if head_only else head + body


def _body(status: int, reason: str, sentence: str, media_type: str) -> tuple[str, bytes]:
    if media_type == "json":
        problem = {"type": "about:blank", "title": reason, "status": status, "detail": sentence}
        return "application/problem+json", json.dumps(problem).encode()
    if media_type == "html":
        page = _PAGE.format(status=status, reason=reason, sentence=sentence)
        return "text/html; charset=utf-8", page.encode()
    return "text/plain; charset=utf-8", f"{status} {reason}: {sentence}\n".encode()


def preferred(accept: bytes) -> str:
    """Which of ``json``, ``html`` or ``text`` the client likes best (RFC 9110 §12.5.1).

    Only types that are named count: ``*/*``, which is what curl and scripts send, gets plain text.
    """
    best, best_quality = "text", 0.0
    for part in accept.decode("latin-1").lower().split(","):
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        kind = _KINDS.get(media_type)
        if kind is None:
            continue
        quality = _quality(parameters)
        if quality > best_quality:
            best, best_quality = kind, quality
    return best


_KINDS = {
    "application/json": "json",
    "application/problem+json": "json",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/plain": "text",
}


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
