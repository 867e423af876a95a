"""Hypothesis strategies for HTTP/1.1 messages: valid ones, ones with one thing wrong, and damaged ones."""

from collections.abc import Callable
from typing import NamedTuple

from hypothesis import strategies as st

from fingerpost.http1.grammar import FIELD_TEXT, TARGET, TOKEN
from fingerpost.http1.head import METHODS

Lines = list[bytes]


def _text(alphabet: bytes, min_size: int = 0, max_size: int = 12) -> st.SearchStrategy[bytes]:
    table = (alphabet * 256)[:256]  # one draw for the whole text is much faster than one for each letter
    return st.binary(min_size=min_size, max_size=max_size).map(lambda data: data.translate(table))


def _one_of(*values: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from(values)


# --- fields -------------------------------------------------------------------------------------------------

_WHITE = _one_of(b" ", b" ", b"", b"\t", b"  ", b" \t ")
_NAME = st.one_of(
    _text(TOKEN, min_size=1),
    _one_of(
        b"Accept",
        b"Cookie",
        b"Close",
        b"X_Forwarded_For",
        b"x-forwarded-for",
        b"Forwarded",
        b"Te",
        b"Keep-Alive",
    ),
    _one_of(b"Trailer", b"CDN-Loop", b"X-Real-Ip", b"Proxy-Connection", b"HTTP2-Settings", b"X-Forwarded-Ssl"),
)
_ODD_NAME = _one_of(b"", b" ", b"A ", b" A", b"\tA", b"A B", b"A\0", b"A\x7f", b"A\x80", b"(A)", b"A\r", b"\nA")
_VALUE = st.one_of(_text(FIELD_TEXT, max_size=20), _one_of(b"", b":", b"close", b"trailers", b"a, b"))
_LINE = st.builds(lambda *parts: b"".join(parts), _NAME, st.just(b":"), _WHITE, _VALUE, _WHITE)
_ODD_VALUE = _one_of(
    b"a\0b",
    b"\x01",
    b"\x0b",
    b"\x0c",
    b"\x7f",
    b"a\rb",
    b"a\nb",
    b"a\r\n b",
    b"\r\n\tb",
    b"a\n b",
    b"a\r",
    b"\r",
)
_UPGRADE = st.sampled_from(([], [b"Upgrade: websocket"], [b"Upgrade: h2c, websocket"]))
_CONNECTION = st.lists(
    _one_of(b"close", b"keep-alive", b"Upgrade", b"upgrade", b"TE", b"Cookie", b"x-own", b"content-length", b""),
    min_size=1,
    max_size=3,
).map(b", ".join)


@st.composite
def field_lines(draw: st.DrawFn, odd: bool = False) -> Lines:
    """Field lines that say nothing of framing or of Host."""
    lines = draw(st.lists(_LINE, max_size=5))
    if draw(st.booleans()):
        lines.insert(draw(st.integers(0, len(lines))), b"Connection: " + draw(_CONNECTION))
        lines += draw(_UPGRADE)
    if odd:
        line = draw(
            st.one_of(
                st.builds(lambda name: name + b": v", _ODD_NAME),
                st.builds(lambda value: b"X-A: " + value, _ODD_VALUE),
                _one_of(b"", b"no colon", b"Host: other", b"Host:", b"Expect: 200-maybe", b" folded: x", b":"),
            )
        )
        lines.insert(draw(st.integers(0, len(lines))), line)
    return lines


# --- bodies -------------------------------------------------------------------------------------------------


class Body(NamedTuple):
    """What the fields say of a body, and the body as it is on the wire."""

    fields: Lines
    wire: bytes


_CONTENT = st.one_of(st.binary(max_size=12), _one_of(b"\r\n\r\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"))
_EXTENSION = _one_of(b"", b"", b"", b";a", b";a=b", b';a="b;c, \t\xff"', b';a=b;c;d=""')
_ODD_EXTENSION = _one_of(
    b" ",
    b"\t",
    b" ;a",
    b"; a",
    b";",
    b";;",
    b";a=",
    b";=b",
    b';a="',
    b';a="\\""',
    b";a b",
    b";a\n",
    b";a\rb",
    b",a",
)
_SIZE_FORM: st.SearchStrategy[bytes] = _one_of(b"%x", b"%X", b"0%x", b"0000%X")
_ODD_SIZE_FORM: st.SearchStrategy[bytes] = _one_of(
    b"0x%x",
    b"+%x",
    b"-%x",
    b" %x",
    b"%x ",
    b"%x_0",
    b"%xg",
    b"",
    b"1%015x",
    b"f%017x",
    b"\xd9\xa1%x",
    b"%x;",
    b"%x\0",
)
_ODD_LINE_END = _one_of(b"\n", b"\r", b"", b"\r\r\n", b"\n\r", b" \r\n", b"\r\n\r\n", b"x", b"xx", b"\rx", b"x\n")


def _trailer_lines(odd: bool) -> st.SearchStrategy[Lines]:
    safe = st.builds(lambda name, value: name + b": " + value, _text(TOKEN, min_size=1), _text(FIELD_TEXT))
    if not odd:
        return st.lists(safe, max_size=2)
    wrong = _one_of(
        b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Host: a", b"no colon", b"A : b", b" A: b",
        b"A: b\nC: d", b"Connection: close", b"A: \0", b"A: b\r\n c", b"Upgrade: h2c",
        b"transfer-encoding: x", b"content-length:",
    )  # fmt: skip
    return st.tuples(safe, wrong).map(list)


@st.composite
def chunked(draw: st.DrawFn, odd: bool = False) -> bytes:
    """A chunked body on the wire; with ``odd`` one thing in it is wrong, or just unusual."""
    wrong = draw(_one_of(b"size", b"extension", b"line end", b"data end", b"last", b"trailers")) if odd else b""
    parts = []
    chunks = draw(st.lists(st.binary(min_size=1, max_size=20), min_size=1 if odd else 0, max_size=3))
    for at, content in enumerate(chunks):
        here = wrong if at == len(chunks) - 1 else b""
        form = draw(_ODD_SIZE_FORM if here == b"size" else _SIZE_FORM)
        size = form % len(content) if b"%" in form else form
        extension = draw(_ODD_EXTENSION if here == b"extension" else _EXTENSION)
        line_end = draw(_ODD_LINE_END) if here == b"line end" else b"\r\n"
        data_end = draw(_ODD_LINE_END) if here == b"data end" else b"\r\n"
        parts += [size, extension, line_end, content, data_end]
    last = _one_of(b"0_", b"-0", b"0x0", b"0 ", b"0;", b"", b"0\n", b"0\r", b"0;a\n")
    parts.append(draw(last if wrong == b"last" else _one_of(b"0", b"00", b"0;a=b")))
    parts.append(b"\r\n")
    parts += [line + b"\r\n" for line in draw(_trailer_lines(wrong == b"trailers"))]
    parts.append(b"\r\n")
    return b"".join(parts)


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    """A body with the fields that frame it."""
    kind = draw(st.sampled_from(("none", "length", "chunked")))
    if kind == "none":
        return Body([], b"")
    if kind == "length":
        content = draw(_CONTENT)
        form: bytes = draw(_one_of(b"Content-Length: %d", b"content-length:%03d ", b"CONTENT-LENGTH:\t%d\t"))
        return Body([form % len(content)], content)
    field = draw(_one_of(b"Transfer-Encoding: chunked", b"transfer-encoding:Chunked "))
    return Body([field], draw(chunked()))


@st.composite
def odd_bodies(draw: st.DrawFn) -> Body:
    """A body whose framing is doubtful, or looks so."""
    content = draw(_CONTENT)
    size = b"%d" % len(content)
    lengths = (
        b"+%b", b"-%b", b"%b,%b", b"%b, %b", b"%b %b", b"0x%b", b"%b.0", b"%be0", b"\x0b%b", b"%b\0",
        b"%b;", b"", b"%b_0", b"1%b" + b"0" * 17, b"9" * 40, b"\xb2", b"0%b", b"%b\r\n %b",
        b"%b\r\nContent-Length: %b", b"%b\r\nContent-Length: 1%b", b"%b\r\nTransfer-Encoding: chunked",
        b"%b\r\nTransfer_Encoding: chunked", b"%b\r\nConnection: content-length",
    )  # fmt: skip
    codings = (
        b"chunked, chunked", b"xchunked", b"chunkedx", b"identity", b"chunked, identity", b"gzip, chunked",
        b"gzip", b"chunked;a=b", b"chunked,", b",chunked", b"", b"\x0bchunked", b"chunked\x0c",
        b'"chunked"', b"chun ked", b"chunked\r\nTransfer-Encoding: chunked",
        b"identity\r\nTransfer-Encoding: chunked", b"\r\n chunked",
        b"chunked\r\nConnection: transfer-encoding", b"CHUNKED", b"chunked\r\nContent-Length: 3",
        b"chunked\0", b"\xa0chunked", b"chunked\r\nTransfer-Encoding: ",
    )  # fmt: skip
    kind = draw(st.sampled_from(("length", "coding", "chunks")))
    if kind == "length":
        form = draw(st.sampled_from(lengths))
        return Body([b"Content-Length: " + form.replace(b"%b", size)], draw(st.just(content) | chunked()))
    if kind == "coding":
        return Body([b"Transfer-Encoding: " + draw(st.sampled_from(codings))], draw(chunked()))
    return Body([b"Transfer-Encoding: chunked"], draw(chunked(odd=True)))


# --- whole messages -----------------------------------------------------------------------------------------

_METHOD = st.sampled_from(sorted(METHODS - {b"CONNECT"}))
_TARGET = st.one_of(
    _text(TARGET).map(lambda path: b"/" + path),
    _one_of(b"http://app.test/a?b", b"http://APP.test:80/", b"HTTP://app.test", b"http://app.test?q", b"//x/y"),
)
_ODD_START = st.one_of(
    st.builds(
        lambda method, target, version: b"%b %b %b" % (method, target, version),
        _one_of(
            b"GET", b"get", b"G\0T", b"", b"GET ", b"CONNECT", b"PRI", b"GOT", b"G(T", b"OPTIONS", b"\r\nGET"
        ),
        _one_of(
            b"/", b"", b"*", b"/#", b"/a b", b"/\x7f", b"/\xff", b"/\0", b"app.test:80", b"http://other/",
            b"?", b"a", b"http://app.test", b"http://u@app.test/", b"http:/x", b"http:///",
            b"ftp://app.test/", b"/a\tb", b"http://",
        ),
        _one_of(
            b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b"HTTP/11",
            b"HTTP/1.", b"", b"HTTP/1.1\r", b"HTTP/1.1\n", b"XTTP/1.1", b"HTTP/1.1\0", b"ICE/1.0",
            b"RTSP/1.0", b"HTTP/0.9", b"HTTP/01.1",
        ),
    ),
    _one_of(
        b"", b"GET /", b"GET  / HTTP/1.1", b"GET\t/\tHTTP/1.1", b" GET / HTTP/1.1", b"\r\nGET / HTTP/1.1"
    ),
)  # fmt: skip


def _assemble(draw: st.DrawFn, start: bytes, lines: Lines, body: Body) -> bytes:
    at = draw(st.integers(0, len(lines)))
    lines = lines[:at] + body.fields + lines[at:]
    return b"\r\n".join([start, *lines, b"", b""]) + body.wire


@st.composite
def valid_requests(draw: st.DrawFn) -> bytes:
    """A request without a fault: everybody must accept it."""
    start = b"%b %b HTTP/1.1" % (draw(_METHOD), draw(_TARGET))
    return _assemble(draw, start, [b"Host: app.test", *draw(field_lines())], draw(bodies()))


@st.composite
def nearly_valid_requests(draw: st.DrawFn) -> bytes:
    """A request with one thing that is wrong, or looks so."""
    wrong = draw(_one_of(b"start", b"fields", b"body", b"body", b"version"))
    start = b"%b %b HTTP/1.1" % (draw(_METHOD), draw(_TARGET))
    if wrong == b"start":
        start = draw(_ODD_START)
    elif wrong == b"version":
        start = start[:-1] + b"0"
    host = draw(_one_of(b"Host: app.test", b"host:app.test", b"HOST: app.test "))
    lines = [host, *draw(field_lines(odd=wrong == b"fields"))]
    return _assemble(draw, start, lines, draw(odd_bodies() if wrong == b"body" else bodies()))


@st.composite
def valid_responses(draw: st.DrawFn) -> bytes:
    """A final response without a fault."""
    reason = draw(_one_of(b" OK", b" ", b"", b" Not Found \xff\t!"))
    start = b"HTTP/1.1 %d" % draw(st.sampled_from((200, 201, 299, 404, 451, 500, 599, 999))) + reason
    lines = [line for line in draw(field_lines()) if not line.startswith(b"Upgrade")]
    body = draw(st.one_of(bodies(), _CONTENT.map(lambda content: Body([], content))))
    return _assemble(draw, start, lines, body)


@st.composite
def nearly_valid_responses(draw: st.DrawFn) -> bytes:
    """A final response with one thing that is wrong, or looks so."""
    wrong = draw(_one_of(b"start", b"fields", b"body", b"body"))
    start = b"HTTP/1.1 200 OK"
    if wrong == b"start":
        start = draw(
            _one_of(
                b"HTTP/1.0 200 OK", b"HTTP/1.2 200 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK",
                b"HTTP/1.1  200 OK", b"", b"HTTP/1.1 200OK", b"HTTP/1.1 2x0 OK", b"HTTP/1.1 099 OK",
                b"http/1.1 200 OK", b"HTTP/1.1 200 \0", b"ICY 200", b"HTTP/1.1 200 a\rb",
                b"HTTP/1.1 200 a\nb", b"HTTP/1.1\t200 OK", b"HTTP/1.1 -20 OK", b"HTTP/1.1 200\t",
            )
        )  # fmt: skip
    lines = [line for line in draw(field_lines(odd=wrong == b"fields")) if not line.startswith(b"Upgrade")]
    return _assemble(draw, start, lines, draw(odd_bodies() if wrong == b"body" else bodies()))


_SPLINTER = st.one_of(
    _one_of(
        b"\r",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b":",
        b"\0",
        b",",
        b";",
        b"0",
        b"\r\n\r\n",
        b"\xff",
        b"#",
        b"=",
        b'"',
    ),
    st.binary(min_size=1, max_size=1),
)


@st.composite
def damaged(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> bytes:
    """A message in which some bytes were put in, taken away, replaced or doubled."""
    data = draw(messages)
    for _ in range(draw(st.integers(1, 2))):
        at = len(data) - draw(st.integers(0, len(data)))
        until = min(len(data), at + draw(st.integers(0, 3)))
        change: Callable[[bytes], bytes] = draw(
            st.sampled_from((lambda _: b"", lambda old: old + old, lambda old: draw(_SPLINTER) + old))
        )
        data = data[:at] + change(data[at:until]) + data[until:]
    return data
