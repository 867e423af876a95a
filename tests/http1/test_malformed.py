"""Every malformed request we could think of, by name: each is refused, and no part of it passes for one.

RFC 9112 lets a reader repair some of these. A proxy that does is one half of a request-smuggling pair.
"""

import pytest

from fingerpost.errors import MessageError

from .reading import MAX_FIELDS, MAX_TRAILER_BYTES, Request, byte_by_byte, feedings, lines_of, read_request

HOST = b"Host: app.test\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST / HTTP/1.1\r\n" + HOST
LENGTH = POST + b"Content-Length: "
CODING = POST + b"Transfer-Encoding: "
CHUNKED = CODING + b"chunked\r\n\r\n"
END = b"\r\n\r\n"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"

START_LINES = {
    "nothing": END,
    "an empty line in front": b"\r\n" + GET + b"\r\n",
    "no version (HTTP/0.9)": b"GET /" + END,
    "HTTP/0.9": b"GET / HTTP/0.9\r\n" + HOST + b"\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "lower-case version": b"GET / http/1.1\r\n" + HOST + b"\r\n",
    "version with a leading zero": b"GET / HTTP/01.1\r\n" + HOST + b"\r\n",
    "version cut short": b"GET / HTTP/1.\r\n" + HOST + b"\r\n",
    "white space behind the version": b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n",
    "white space in front of the method": b" GET / HTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
    "tabs for spaces": b"GET\t/\tHTTP/1.1\r\n" + HOST + b"\r\n",
    "bare CR behind the start line": b"GET / HTTP/1.1\r" + HOST + b"\r\n",
    "bare LF behind the start line": b"GET / HTTP/1.1\n" + HOST + b"\r\n",
    "CR twice": b"GET / HTTP/1.1\r\r\n" + HOST + b"\r\n",
    "lower-case method": b"get / HTTP/1.1\r\n" + HOST + b"\r\n",
    "unknown method": b"FETCH / HTTP/1.1\r\n" + HOST + b"\r\n",
    "method that is no token": b"GE(T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL in the method": b"G\0T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a TLS ClientHello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + END,
    "a response": b"HTTP/1.1 200 OK\r\n" + HOST + b"\r\n",
    "a SOCKS greeting": b"\x05\x01\x00" + END,
}

TARGETS = {
    "fragment": b"/a#b",
    "space": b"/a b",
    "tab": b"/a\tb",
    "NUL": b"/a\0b",
    "DEL": b"/a\x7f",
    "raw UTF-8": "/ä".encode(),
    "nothing": b"",
    "no slash in front": b"index.html",
    "backslash in front": b"\\x",
    "asterisk for GET": b"*",
    "authority": b"app.test:80",
    "other scheme": b"ftp://app.test/",
    "one slash": b"http:/app.test/",
    "no authority": b"http:///a",
    "another host": b"http://other.test/",
    "another port": b"http://app.test:81/",
    "user information": b"http://user@app.test/",
    "host in front of an at sign": b"http://app.test@other.test/",
    "port without a number": b"http://app.test:/",
}

FIELDS = {
    "no Host": b"Accept: x",
    "two Hosts": HOST + b"Host: other.test",
    "the same Host twice": HOST + b"Host: app.test",
    "Host in two cases": HOST + b"hOST: other.test",
    "space in front of the colon": HOST + b"A : b",
    "tab in front of the colon": HOST + b"A\t: b",
    "space in front of Host's colon": b"Host : app.test",
    "empty name": HOST + b": b",
    "only a colon": HOST + b":",
    "no colon": HOST + b"abc",
    "no colon in front": b"abc\r\nHost: app.test",
    "no colon, then others": HOST + b"abc\r\nA: b",
    "name with a space": HOST + b"A b: c",
    "name with a parenthesis": HOST + b"A(b): c",
    "name with a slash": HOST + b"A/b: c",
    "name with a quote": HOST + b'"A": c',
    "name with a NUL": HOST + b"A\0: c",
    "name with a DEL": HOST + b"A\x7f: c",
    "name with obs-text": HOST + b"A\xe4: c",
    "white space in front of the first field": b" " + HOST + b"A: b",
    "obs-fold with a space": HOST + b"A: b\r\n c",
    "obs-fold with a tab": HOST + b"A: b\r\n\tc",
    "obs-fold of nothing": HOST + b"A: b\r\n ",
    "obs-fold that looks like a field": HOST + b"A: b\r\n Content-Length: 5",
    "bare CR in a value": HOST + b"A: b\rContent-Length: 5",
    "bare LF in a value": HOST + b"A: b\nContent-Length: 5",
    "bare LF at a line's end": HOST + b"A: b\nC: d",
    "CR twice at a line's end": HOST + b"A: b\r\r\nC: d",
    "NUL in a value": HOST + b"A: b\0c",
    "DEL in a value": HOST + b"A: b\x7f",
    "vertical tab in a value": HOST + b"A: \x0bb",
    "form feed in a value": HOST + b"A: b\x0c",
    "escape in a value": HOST + b"A: \x1b[2J",
    "a Connection that never ends": HOST + b"Connection: close" + b", a" * 400,
    "an unknown expectation": HOST + b"Expect: 200-maybe",
    "two expectations": HOST + b"Expect: 100-continue\r\nExpect: 100-continue",
}

LENGTHS = {
    "plus": b"+5",
    "minus": b"-5",
    "list of equal": b"5,5",
    "list of equal, spaced": b"5, 5",
    "list of different": b"5, 6",
    "two numbers": b"5 5",
    "nothing": b"",
    "white space alone": b" \t ",
    "hexadecimal": b"0x5",
    "hexadecimal digits": b"a",
    "fraction": b"5.0",
    "exponent": b"5e0",
    "underscore": b"1_0",
    "letters behind": b"5abc",
    "semicolon": b"5;",
    "quotes": b'"5"',
    "superscript two": "²".encode("latin-1"),
    "Arabic-Indic five": "\u0665".encode(),
    "too large for 64 bits": b"18446744073709551621",
    "nineteen digits": b"1000000000000000000",
    "forty digits": b"9" * 40,
    "nineteen zeros and a five": b"0" * 18 + b"5",
    "NUL behind": b"5\0",
    "vertical tab in front": b"\x0b5",
    "the same again": b"5\r\nContent-Length: 5",
    "another one": b"5\r\nContent-Length: 6",
    "another one in lower case": b"5\r\ncontent-length: 6",
    "folded": b"5\r\n 6",
    "with Transfer-Encoding": b"5\r\nTransfer-Encoding: chunked",
    "with Transfer-Encoding in front": b"5\r\ntransfer-encoding:chunked",
    "with an unknown coding": b"5\r\nTransfer-Encoding: identity",
}

CODINGS = {
    "chunked twice": b"chunked, chunked",
    "chunked in two fields": b"chunked\r\nTransfer-Encoding: chunked",
    "x in front": b"xchunked",
    "x behind": b"chunkedx",
    "identity": b"identity",
    "identity in front": b"identity\r\nTransfer-Encoding: chunked",
    "identity behind": b"chunked, identity",
    "gzip": b"gzip",
    "gzip in front": b"gzip, chunked",
    "gzip behind": b"chunked, gzip",
    "parameter": b"chunked;a=b",
    "comma behind": b"chunked,",
    "comma in front": b",chunked",
    "quotes": b'"chunked"',
    "space inside": b"chun ked",
    "nothing": b"",
    "an empty field behind": b"chunked\r\nTransfer-Encoding:",
    "vertical tab in front": b"\x0bchunked",
    "non-breaking space in front": b"\xa0chunked",
    "NUL behind": b"chunked\0",
    "folded": b"\r\n chunked",
    "with a length": b"chunked\r\nContent-Length: 15",
    "with a length of nothing": b"chunked\r\nContent-Length: 0",
}

CHUNKED_BODIES = {
    "0x in front": b"0x5\r\nhello\r\n0\r\n\r\n",
    "plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "minus": b"-1\r\nhello\r\n0\r\n\r\n",
    "minus zero": b"5\r\nhello\r\n-0\r\n\r\n",
    "underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "no hexadecimal digit": b"g\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "no size, but an extension": b";a\r\nhello\r\n0\r\n\r\n",
    "space in front": b" 5\r\nhello\r\n0\r\n\r\n",
    "space behind": b"5 \r\nhello\r\n0\r\n\r\n",
    "tab behind": b"5\t\r\nhello\r\n0\r\n\r\n",
    "NUL behind": b"5\0\r\nhello\r\n0\r\n\r\n",
    "comma": b"5,5\r\nhello\r\n0\r\n\r\n",
    "Arabic-Indic five": "\u0665\r\nhello\r\n0\r\n\r\n".encode(),
    "sixteen digits": b"0000000000000005\r\nhello\r\n0\r\n\r\n",
    "seventeen digits that overflow": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "empty extension": b"5;\r\nhello\r\n0\r\n\r\n",
    "empty extension, spaced": b"5 ;\r\nhello\r\n0\r\n\r\n",
    "white space in front of an extension": b"5 ;a\r\nhello\r\n0\r\n\r\n",
    "white space in an extension": b"5; a\r\nhello\r\n0\r\n\r\n",
    "white space around an extension's sign": b"5;a =b\r\nhello\r\n0\r\n\r\n",
    "extension without a name": b"5;=b\r\nhello\r\n0\r\n\r\n",
    "extension without a value": b"5;a=\r\nhello\r\n0\r\n\r\n",
    "open quotes in an extension": b'5;a="b\r\nhello\r\n0\r\n\r\n',
    "escape in an extension": b'5;a="\\""\r\nhello\r\n0\r\n\r\n',
    "bare LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "line break in a quoted extension": b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
    "bare LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "bare CR behind the size": b"5\rhello\r\n0\r\n\r\n",
    "CR twice behind the size": b"5\r\r\nhello\r\n0\r\n\r\n",
    "bare LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "bare CR behind the data": b"5\r\nhello\r0\r\n\r\n",
    "nothing behind the data": b"5\r\nhello0\r\n\r\n",
    "two other bytes behind the data": b"5\r\nhelloxx0\r\n\r\n",
    "another byte and LF behind the data": b"5\r\nhellox\n0\r\n\r\n",
    "CR and another byte behind the data": b"5\r\nhello\rx0\r\n\r\n",
    "LF and CR behind the data": b"5\r\nhello\n\r0\r\n\r\n",
    "size too small": b"4\r\nhello\r\n0\r\n\r\n",
    "size too large": b"6\r\nhello\r\n0\r\n\r\n",
    "bare LF behind the last chunk": b"5\r\nhello\r\n0\n\r\n",
    "bare LF at the end": b"5\r\nhello\r\n0\r\n\n",
    "bare LFs at the end": b"0\n\n",
    "junk at the end": b"5\r\nhello\r\n0\r\nx\r\n\r\n",
    "chunk line without an end": b"5;" + b"a" * 2000,
    "trailer without a colon": b"0\r\nabc\r\n\r\n",
    "trailer with a space in front of the colon": b"0\r\nA : b\r\n\r\n",
    "trailer without a name": b"0\r\n: b\r\n\r\n",
    "folded trailer": b"0\r\nA: b\r\n c\r\n\r\n",
    "white space in front of the first trailer": b"0\r\n A: b\r\n\r\n",
    "bare LF in a trailer": b"0\r\nA: b\nC: d\r\n\r\n",
    "bare LF behind a trailer": b"0\r\nA: b\n\r\n",
    "bare CR in a trailer": b"0\r\nA: b\rC: d\r\n\r\n",
    "NUL in a trailer": b"0\r\nA: \0\r\n\r\n",
    "Content-Length in the trailers": b"0\r\nContent-Length: 5\r\n\r\n",
    "Transfer-Encoding in the trailers": b"0\r\ntransfer-encoding: chunked\r\n\r\n",
}

TOO_LARGE = {
    "fields": POST + b"A: b\r\n" * MAX_FIELDS + b"\r\n",
    "trailer fields": CHUNKED + b"0\r\n" + b"A: b\r\n" * (MAX_FIELDS + 1) + b"\r\n",
    "trailers": CHUNKED + b"0\r\nA: " + b"b" * MAX_TRAILER_BYTES + b"\r\n\r\n",
    "trailers without an end": CHUNKED + b"0\r\nA: " + b"b" * MAX_TRAILER_BYTES,
}

MALFORMED = [
    *(pytest.param(data, id=f"start line: {name}") for name, data in START_LINES.items()),
    *(
        pytest.param(b"GET %b HTTP/1.1\r\n%b\r\n" % (target, HOST), id=f"target: {name}")
        for name, target in TARGETS.items()
    ),
    *(pytest.param(b"GET / HTTP/1.1\r\n" + lines + END, id=f"fields: {name}") for name, lines in FIELDS.items()),
    *(pytest.param(LENGTH + value + END + b"hello", id=f"Content-Length: {name}") for name, value in LENGTHS.items()),
    *(pytest.param(CODING + value + END + CHUNKS, id=f"Transfer-Encoding: {name}") for name, value in CODINGS.items()),
    pytest.param((CHUNKED + CHUNKS).replace(b"/1.1", b"/1.0"), id="Transfer-Encoding: in HTTP/1.0"),
    *(pytest.param(CHUNKED + body, id=f"chunks: {name}") for name, body in CHUNKED_BODIES.items()),
]


def status_or_request(data: bytes) -> Request | int | None:
    """What becomes of ``data``; None if more would have to come."""
    try:
        return read_request([data])
    except MessageError as error:
        return error.status


def test_what_the_malformed_ones_are_made_of_is_well_formed() -> None:
    for data in (GET + b"\r\n", LENGTH + b"5" + END + b"hello", CODING + b"chunked" + END + CHUNKS):
        request = read_request([data])
        assert request is not None
        assert request.size == len(data)


@pytest.mark.parametrize("data", MALFORMED)
def test_a_malformed_request_is_400_however_it_is_cut(data: bytes) -> None:
    for pieces in feedings(data):
        with pytest.raises(MessageError) as caught:
            read_request(pieces)
        assert caught.value.status == 400


@pytest.mark.parametrize("data", MALFORMED)
def test_a_malformed_request_is_400_whatever_follows(data: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        read_request([data + b"\r\n\r\nGET /next HTTP/1.1\r\n" + HOST + b"\r\n"])
    assert caught.value.status == 400


@pytest.mark.parametrize("data", MALFORMED)
def test_no_part_of_a_malformed_request_passes_for_a_request(data: bytes) -> None:
    for size in range(len(data)):
        assert status_or_request(data[:size]) in (400, None)


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in TOO_LARGE.items()])
def test_too_much_of_something_is_431(data: bytes) -> None:
    for pieces in ([data], byte_by_byte(data), [data[:-1], data[-1:]]):
        with pytest.raises(MessageError) as caught:
            read_request(pieces)
        assert caught.value.status == 431


def test_as_many_fields_as_are_allowed_are_accepted() -> None:
    request = read_request([POST + b"A: b\r\n" * (MAX_FIELDS - 1) + b"\r\n"])
    assert request is not None
    assert len(lines_of(request.fields.kept)) == MAX_FIELDS - 1
