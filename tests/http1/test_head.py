"""What heads say. That malformed ones are refused is in test_malformed, that others agree in test_oracles."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerpost.errors import MessageError
from fingerpost.http1 import head
from fingerpost.http1.head import (
    METHODS,
    Fields,
    RequestFields,
    _Shapes,
    origin_form,
    parse_request_line,
    parse_response,
    parse_trailers,
)

from .oracles import h11_request, llhttp_request
from .reading import lines_of


def request(*lines: bytes, max_fields: int = 64) -> RequestFields:
    """The fields of a request to ``a`` with these lines."""
    return RequestFields(b"".join(b"\r\n" + line for line in (b"Host: a", *lines)), max_fields)


def response(*lines: bytes) -> Fields:
    """The fields of a response with these lines."""
    return parse_response(b"\r\n".join((b"HTTP/1.1 200 OK", *lines)), 64)[3]


# --- request line -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_is_known_to_all(method: bytes) -> None:
    assert parse_request_line(method + b" /a?b HTTP/1.1") == (method, b"/a?b", False)
    target = b"a:80" if method == b"CONNECT" else b"/"
    for oracle in (h11_request, llhttp_request):
        theirs = oracle(b"%b %b HTTP/1.1\r\nHost: a:80\r\n\r\n" % (method, target))
        assert theirs is not None
        assert theirs.start == (method, target)


def test_http_1_0_is_told_apart() -> None:
    assert parse_request_line(b"GET / HTTP/1.0") == (b"GET", b"/", True)


@pytest.mark.parametrize(
    ("method", "target", "host", "path"),
    [
        (b"GET", b"/", b"a", b"/"),
        (b"GET", b"//b/c", b"a", b"//b/c"),
        (b"GET", b"/http://b/", b"a", b"/http://b/"),
        (b"GET", b"http://a/b?c", b"a", b"/b?c"),
        (b"GET", b"http://a", b"a", b"/"),
        (b"GET", b"http://a?b/c", b"a", b"/?b/c"),
        (b"GET", b"HTTP://A.Test:80/", b"a.tesT", b"/"),
        (b"GET", b"http://a/", b"a:80", b"/"),
        (b"GET", b"https://a:443/", b"a", b"/"),
        (b"GET", b"http://a:8080/b", b"a:8080", b"/b"),
        (b"GET", b"http://[::1]:81/b", b"[::1]:81", b"/b"),
        (b"OPTIONS", b"*", b"a", b"*"),
        (b"OPTIONS", b"http://a", b"a", b"*"),
        (b"OPTIONS", b"http://a/", b"a", b"/"),
    ],
)
def test_every_form_of_target_becomes_the_origin_form(method: bytes, target: bytes, host: bytes, path: bytes) -> None:
    assert origin_form(method, target, host) == path


@pytest.mark.parametrize(
    ("method", "target", "host"),
    [
        (b"GET", b"http://b/", b"a"),
        (b"GET", b"http://a:81/", b"a"),
        (b"GET", b"https://a:80/", b"a"),
        (b"GET", b"http://a/", b"a:443"),
        (b"GET", b"http://a@b/", b"b"),
        (b"GET", b"http://a@b/", b"a@b"),
        (b"GET", b"http://a|b/", b"a|b"),
        (b"GET", b"http://:80/", b""),
        (b"GET", b"http:///", b""),
        (b"GET", b"*", b"a"),
        (b"CONNECT", b"a:80", b"a:80"),
        (b"GET", b"ws://a/", b"a"),
    ],
)
def test_a_target_that_disagrees_with_host_is_400(method: bytes, target: bytes, host: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        origin_form(method, target, host)
    assert caught.value.status == 400


# --- fields -------------------------------------------------------------------------------------------------


def test_fields_are_kept_as_they_came_and_in_their_order() -> None:
    lines = [b"b: 2", b"A:1", b"b:\t 3 \t", b"C:", b"d: \xe4:\xff", b"Set-Cookie: a=b"]
    fields = request(*lines)
    assert lines_of(fields.kept) == lines
    assert fields.host == b"a"
    assert (fields.content_length, fields.chunked, fields.close, fields.upgrade) == (None, False, False, b"")


def test_fields_of_one_hop_are_not_kept() -> None:
    fields = request(
        b"Connection: keep-alive", b"Keep-Alive: timeout=5", b"proxy-connection: x", b"TE: trailers",
        b"Upgrade: x", b"Transfer-Encoding: chunked", b"Proxy-Authorization: Basic x", b"HTTP2-Settings: x",
        b"Expect: 100-Continue", b"CDN-Loop: a", b"A: 1",
    )  # fmt: skip
    assert lines_of(fields.kept) == [b"A: 1"]
    assert fields.keep_alive
    assert fields.chunked
    assert fields.expects_continue
    assert fields.upgrade == b""  # Connection doesn't name it
    assert fields.values(b"cdn-loop") == [b"a"]


def test_fields_that_connection_names_are_not_kept() -> None:
    fields = request(b"X-Own: 1", b"Connection: close, X-OWN,,Other ", b"Connection: third", b"Third: 1", b"A: 1")
    assert fields.close
    assert not fields.keep_alive
    assert lines_of(fields.kept) == [b"A: 1"]


def test_connection_cannot_take_away_what_the_proxy_lives_by() -> None:
    fields = request(b"Connection: host, content-length, cdn-loop", b"Content-Length: 5", b"CDN-Loop: me")
    assert fields.host == b"a"
    assert fields.content_length == 5
    assert fields.values(b"cdn-loop") == [b"me"]


def test_upgrade_is_read_if_connection_names_it() -> None:
    assert request(b"upgrade: websocket", b"connection: Upgrade").upgrade == b"websocket"
    assert request(b"Upgrade: a", b"Connection: UPGRADE", b"Upgrade: b").upgrade == b"a, b"
    assert request(b"Connection: upgrade").upgrade == b""


@pytest.mark.parametrize(
    "name", [b"X_Forwarded_For", b"x-forwarded_host", b"X_REAL_IP", b"X_Forwarded_Anything",
    b"Content_Length",
             b"Transfer_Encoding", b"CDN_Loop", b"Proxy_Authorization"],
)  # fmt: skip
def test_look_alikes_of_the_proxys_own_fields_are_dropped(name: bytes) -> None:
    fields = request(name + b": 1", b"A_B: 1")
    assert lines_of(fields.kept) == [b"A_B: 1"]
    assert set(fields.special) == {b"host"}
    assert fields.content_length is None


def test_content_length_is_read_in_every_case_and_spacing() -> None:
    assert request(b"CONTENT-LENGTH:\t 0012 ").content_length == 12
    assert request(b"content-length: 999999999999999999").content_length == 10**18 - 1


def test_values_are_found_by_name() -> None:
    fields = request(b"ACCEPT:  a ", b"Accept: b", b"X-Forwarded-For: 1", b"x-forwarded-for: 2")
    assert fields.find(b"accept") == b"a"
    assert fields.find(b"accept-encoding") == b""
    assert fields.values(b"x-forwarded-for") == [b"1", b"2"]
    assert fields.first(b"x-forwarded-for", b"-") == b"1"
    assert fields.first(b"x-forwarded-proto", b"-") == b"-"
    assert fields.values(b"forwarded") == []


def test_the_same_names_again_do_not_bring_the_same_values_again() -> None:
    first = request(b"Content-Length: 5", b"A: 1")
    second = request(b"Content-Length: 6", b"A: 2")
    assert (first.content_length, lines_of(first.kept)) == (5, [b"A: 1"])
    assert (second.content_length, lines_of(second.kept)) == (6, [b"A: 2"])


def test_what_is_refused_once_is_refused_again() -> None:
    for _ in range(2):
        with pytest.raises(MessageError):
            request(b"A : b")
        with pytest.raises(MessageError):
            request(b"A: b", b"no colon")
        with pytest.raises(MessageError):
            request(b"no colon", b"A: b")


# --- responses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "status", "rest", "http10"),
    [
        (b"HTTP/1.1 200 OK", 200, b"200 OK", False),
        (b"HTTP/1.0 404 Not Found", 404, b"404 Not Found", True),
        (b"HTTP/1.1 204 ", 204, b"204 ", False),
        (b"HTTP/1.1 599 a\tb \xe4", 599, b"599 a\tb \xe4", False),
        (b"HTTP/1.1 100 Continue", 100, b"100 Continue", False),
    ],
)
def test_a_status_line_is_read(line: bytes, status: int, rest: bytes, http10: bool) -> None:
    assert parse_response(line, 64)[:3] == (status, rest, http10)


def test_the_space_in_front_of_a_missing_reason_is_put_back() -> None:
    assert parse_response(b"HTTP/1.1 200\r\nA: b", 64)[1] == b"200 "


@pytest.mark.parametrize(
    "line",
    [b"", b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1 20", b"HTTP/1.1 2000 x", b"HTTP/1.1 200x",
     b"HTTP/1.1  200 OK", b"HTTP/1.1 2x0 OK", b"HTTP/1.1 099 OK", b"HTTP/1.1 -20 OK", b"HTTP/1.1 200 a\0",
     b"HTTP/1.1 200 a\rb", b"HTTP/1.1 200 a\nb", b"HTTP/1.1\t200 OK", b"HTTP/1.2 200 OK", b"HTTP/2 200",
     b"http/1.1 200 OK", b"ICY 200 OK", b"GET / HTTP/1.1", "HTTP/1.1 ٢٠٠ OK".encode(),
     b"SSH-2.0-OpenSSH_9.2"],
)  # fmt: skip
def test_a_malformed_status_line_is_refused(line: bytes) -> None:
    with pytest.raises(MessageError):
        parse_response(line + b"\r\nA: b", 64)


def test_a_status_line_that_never_ends_is_refused() -> None:
    assert parse_response(b"HTTP/1.1 200 " + b"a" * 1000, 64)[0] == 200
    with pytest.raises(MessageError):
        parse_response(b"HTTP/1.1 200 " + b"a" * 1100, 64)


def test_a_response_keeps_its_own_fields_and_drops_those_of_one_hop() -> None:
    fields = response(
        b"Connection: close, x-own", b"Keep-Alive: a", b"Content-Length: 5", b"X-Own: 1", b"Set-Cookie: a",
        b"Host: b", b"Set-Cookie: b", b"X-Forwarded-For: c", b"X_Forwarded_For: d", b"Proxy-Status: e",
        b"CDN-Loop: f",
    )  # fmt: skip
    assert lines_of(fields.kept) == [
        b"Set-Cookie: a", b"Host: b", b"Set-Cookie: b", b"X-Forwarded-For: c", b"X_Forwarded_For: d",
        b"Proxy-Status: e", b"CDN-Loop: f",
    ]  # fmt: skip
    assert fields.close
    assert fields.content_length == 5


@pytest.mark.parametrize(
    "lines",
    [[b"Content-Length: 5", b"Content-Length: 5"], [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
     [b"Transfer-Encoding: gzip, chunked"], [b"Content-Length: +5"], [b"A : b"], [b"A: b\0"], [b"A: b",
      b" folded"]],
)  # fmt: skip
def test_a_response_with_doubtful_framing_or_fields_is_refused(lines: list[bytes]) -> None:
    with pytest.raises(MessageError):
        response(*lines)


def test_a_response_in_http_1_0_has_no_transfer_encoding() -> None:
    with pytest.raises(MessageError):
        parse_response(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", 64)


# --- trailers and bounds ------------------------------------------------------------------------------------


def test_trailers_are_read_like_fields() -> None:
    assert parse_trailers(b"\r\nA: b\r\nHost: c\r\nD:e", 64) == b"\r\nA: b\r\nD:e"


@pytest.mark.parametrize("line", [b"Content-Length: 5", b"transfer-encoding: chunked", b"A : b", b"A", b" A: b"])
def test_trailers_that_speak_of_framing_or_are_malformed_are_400(line: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        parse_trailers(b"\r\nA: b\r\n" + line, 64)
    assert caught.value.status == 400


def test_one_field_too_many_is_431() -> None:
    assert request(*[b"A: b"] * 9, max_fields=10).kept == b"\r\nA: b" * 9
    with pytest.raises(MessageError) as caught:
        request(*[b"A: b"] * 10, max_fields=10)
    assert caught.value.status == 431


def test_what_is_remembered_of_names_is_bounded() -> None:
    shapes = head._REQUEST_SHAPES
    for number in range(3 * shapes.max_entries):
        request(b"X-%d: 1" % number)
    assert 0 < len(shapes) <= shapes.max_entries
    request(b"X" * 100_000 + b": 1")
    assert max(map(len, shapes)) <= shapes.max_key_bytes


def test_lines_without_a_colon_cost_in_proportion_to_their_number() -> None:
    def seconds(lines: int) -> float:
        best = float("inf")
        for _ in range(3):
            begun = time.process_time()
            with pytest.raises(MessageError):
                request(*[b"a"] * lines, max_fields=lines + 1)
            best = min(best, time.process_time() - begun)
        return best

    assert seconds(32_000) < 40 * seconds(2_000)


# What is remembered of shapes

BLOCKS = st.lists(
    st.builds(
        lambda name, value: b"\r\n" + name + b":" + value,
        st.sampled_from((b"A", b"a-b", b"Host", b"CONNECTION", b"X-Forwarded-For", b"X_Forwarded_For", b"Via", b"TE")),
        st.sampled_from((b"", b" ", b" x", b"y\t", b" a:b, c", b"\xff")),
    ),
    max_size=8,
).map(b"".join)


@given(BLOCKS, BLOCKS)
def test_a_shape_reads_the_same_before_and_after_it_is_compiled(block: bytes, other: bytes) -> None:
    names = frozenset((b"host", b"connection", b"te"))
    rare, frequent = _Shapes(names, of_client=True), _Shapes(names, of_client=True)
    frequent.uses_to_compile = 0

    for piece in (block, other, block, block, other):  # another one in between must not be taken for it
        leftover = 2 * piece.count(b"\r\n")
        assert frequent.split(piece, leftover) == rare.split(piece, leftover)


def test_a_shape_is_compiled_only_when_it_is_frequent() -> None:
    shapes = _Shapes(frozenset((b"host",)), of_client=True)
    for _ in range(shapes.uses_to_compile):
        shapes.split(b"\r\nHost: a\r\nB: c", 4)
    assert all(shape.pattern is None for shape in shapes.values())
    shapes.split(b"\r\nHost: a\r\nB: c", 4)
    assert [shape.pattern is None for shape in shapes.values()] == [False]
