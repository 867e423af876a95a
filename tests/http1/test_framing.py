"""Where a body ends: each framing fed whole, byte by byte, cut at every place, with something behind it."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerpost.errors import MessageError
from fingerpost.http1.framing import (
    ChunkedFraming,
    CloseFraming,
    Framing,
    LengthFraming,
    encode_chunk,
    encode_last_chunk,
    request_framing,
)
from fingerpost.http1.head import RequestFields

from . import messages
from .reading import byte_by_byte, feedings

NEXT = b"GET /next HTTP/1.1\r\n"


def chunked(max_trailer_bytes: int = 4096, max_fields: int = 64) -> ChunkedFraming:
    return ChunkedFraming(max_trailer_bytes, max_fields)


def feed(framing: Framing, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """The body, and what lies behind it in all pieces together."""
    body = b""
    for at, piece in enumerate(pieces):
        body += framing.decode(piece)
        if framing.done:
            return body, framing.surplus + b"".join(pieces[at + 1 :])
    return body, b""


# --- a length -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behind", [b"", NEXT])
def test_a_length_ends_the_body_there(behind: bytes) -> None:
    for pieces in feedings(b"hello" + behind):
        framing = LengthFraming(5)
        assert feed(framing, pieces) == (b"hello", behind)
        assert framing.done


def test_a_body_that_is_short_of_its_length_is_not_done() -> None:
    framing = LengthFraming(6)
    assert feed(framing, [b"hel", b"lo"]) == (b"hello", b"")
    assert not framing.done
    assert framing.remaining == 1


def test_a_length_of_nothing_is_done_at_once() -> None:
    assert LengthFraming(0).done


def test_without_a_framing_the_body_lasts_until_the_end() -> None:
    framing = CloseFraming()
    assert feed(framing, [b"hel", b"lo"]) == (b"hello", b"")
    assert not framing.done


# --- chunks -------------------------------------------------------------------------------------------------

GOOD = {
    "nothing": (b"0\r\n\r\n", b""),
    "one chunk": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "two chunks": (b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
    "hexadecimal in both cases": (
        b"a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n",
        b"01234567890123456789a",
    ),
    "leading zeros": (b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
    "fifteen digits": (b"000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
    "extensions": (b'2;a\r\nhe\r\n3;a=b;c="d;\t,\xff"\r\nllo\r\n0;e=""\r\n\r\n', b"hello"),
    "data that looks like a chunk": (b"a\r\n0\r\n\r\n5\r\nab\r\n0\r\n\r\n", b"0\r\n\r\n5\r\nab"),
    "data of CR and LF": (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
    "trailers": (b"1\r\na\r\n0\r\nA: b\r\nC:d\r\n\r\n", b"a"),
}


@pytest.mark.parametrize("behind", [b"", NEXT, b"\r\n", b"0\r\n\r\n"])
@pytest.mark.parametrize(("wire", "body"), [pytest.param(*case, id=name) for name, case in GOOD.items()])
def test_chunks_are_joined_however_they_are_cut(wire: bytes, body: bytes, behind: bytes) -> None:
    for pieces in feedings(wire + behind):
        framing = chunked()
        assert feed(framing, pieces) == (body, behind)
        assert framing.done


@pytest.mark.parametrize(("wire", "_body"), [pytest.param(*case, id=name) for name, case in GOOD.items()])
def test_chunks_without_their_end_are_not_done(wire: bytes, _body: bytes) -> None:
    for size in range(len(wire)):
        for pieces in ([wire[:size]], [wire[:size], b""], [wire[at : at + 1] for at in range(size)]):
            framing = chunked()
            feed(framing, pieces)
            assert not framing.done


def test_empty_reads_change_nothing() -> None:
    wire, body = GOOD["trailers"]
    pieces = [piece for at in range(len(wire)) for piece in (b"", wire[at : at + 1], b"")]
    assert feed(chunked(), pieces[:-1]) == (body, b"")


def test_trailers_are_kept_and_those_about_routing_dropped() -> None:
    wire = (
        b"0\r\nX-Sum: 1\r\nHost: other\r\nX-Forwarded-For: ::1\r\nX_Forwarded_For: ::1\r\nTrailer: a\r\n"
        b"Connection: close\r\nUpgrade: h2c\r\nTE: a\r\nx-more:2\r\n\r\n"
    )
    for pieces in feedings(wire):
        framing = chunked()
        feed(framing, pieces)
        assert framing.trailers == b"\r\nX-Sum: 1\r\nx-more:2"


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=4), st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_encoded_is_decoded(parts: list[bytes], draws: st.DataObject) -> None:
    trailers = draws.draw(st.sampled_from((b"", b"\r\nA: b", b"\r\nA: b\r\nC:d")))
    wire = b"".join(map(encode_chunk, parts)) + encode_last_chunk(trailers)
    at = draws.draw(st.integers(0, len(wire)))
    for pieces in ([wire + NEXT], [wire[:at], wire[at:] + NEXT]):
        framing = chunked()
        assert feed(framing, pieces) == (b"".join(parts), NEXT)
        assert framing.trailers == trailers


@given(messages.chunked() | messages.chunked(odd=True))
@settings(max_examples=200, deadline=None)
def test_chunks_mean_the_same_at_every_cut(wire: bytes) -> None:
    outcomes: set[tuple[bytes, bytes, int]] = set()
    for pieces in feedings(wire + NEXT):
        framing = chunked()
        try:
            outcomes.add((*feed(framing, pieces), framing.done))
        except MessageError as error:
            outcomes.add((b"", b"", error.status))
    assert len(outcomes) == 1


# --- which framing a request has ----------------------------------------------------------------------------


def framing_of(*lines: bytes, http10: bool = False) -> Framing | None:
    block = b"".join(b"\r\n" + line for line in (b"Host: a", *lines))
    return request_framing(RequestFields(block, 64), http10, 4096, 64)


def test_a_request_has_the_framing_that_its_fields_say() -> None:
    assert framing_of() is None
    assert framing_of(b"Content-Length: 0") is None
    assert isinstance(framing_of(b"Content-Length: 5"), LengthFraming)
    assert isinstance(framing_of(b"Content-Length: 5", http10=True), LengthFraming)
    assert isinstance(framing_of(b"Transfer-Encoding: chunked"), ChunkedFraming)


def test_http_1_0_has_no_transfer_encoding() -> None:
    with pytest.raises(MessageError) as caught:
        framing_of(b"Transfer-Encoding: chunked", http10=True)
    assert caught.value.status == 400


# --- bounds -------------------------------------------------------------------------------------------------


def test_a_chunk_line_has_a_longest_form() -> None:
    longest = b"1;" + b"a" * (1024 - len(b"1;\r\n")) + b"\r\n"
    rest = b"x\r\n0\r\n\r\n"
    for pieces in ([longest + rest], [longest[:-1], longest[-1:] + rest], [*byte_by_byte(longest), rest]):
        assert feed(chunked(), pieces) == (b"x", b"")
    longer = longest.replace(b"\r\n", b"a\r\n")
    for pieces in ([longer + rest], [longer[:-1], longer[-1:] + rest], [*byte_by_byte(longer), rest]):
        with pytest.raises(MessageError) as caught:
            feed(chunked(), pieces)
        assert caught.value.status == 400


def test_a_chunk_line_that_never_ends_is_refused_before_it_is_held() -> None:
    framing = chunked()
    for _ in range(1023):
        framing.decode(b"0")
    with pytest.raises(MessageError):
        framing.decode(b"0")


def test_trailers_have_a_largest_form() -> None:
    largest = b"A: " + b"b" * (100 - len(b"A: \r\n\r\n")) + b"\r\n\r\n"
    for pieces in feedings(b"0\r\n" + largest + NEXT):
        assert feed(chunked(max_trailer_bytes=100), pieces) == (b"", NEXT)
    for pieces in feedings(b"0\r\n" + largest.replace(b"A", b"AA") + NEXT):
        with pytest.raises(MessageError) as caught:
            feed(chunked(max_trailer_bytes=100), pieces)
        assert caught.value.status == 431


def test_trailers_that_never_end_are_refused_before_they_are_held() -> None:
    framing = chunked(max_trailer_bytes=4096)
    framing.decode(b"0\r\n")
    for _ in range(4095):
        framing.decode(b"b")
    with pytest.raises(MessageError) as caught:
        framing.decode(b"b")
    assert caught.value.status == 431


def test_too_many_trailers_are_refused() -> None:
    with pytest.raises(MessageError) as caught:
        feed(chunked(max_fields=2), [b"0\r\nA: b\r\nC: d\r\nE: f\r\n\r\n"])
    assert caught.value.status == 431


@pytest.mark.parametrize("framing", [LengthFraming(1 << 50), chunked(), CloseFraming()])
def test_body_bytes_are_handed_on_at_once_and_not_held(framing: Framing) -> None:
    framing.decode(b"%x\r\n" % (1 << 50) if isinstance(framing, ChunkedFraming) else b"")
    piece = b"x" * 65536
    for _ in range(32):
        assert len(framing.decode(piece)) == len(piece)


def seconds_per_byte(size: int) -> float:
    """Processor time for each byte of a trailer section that comes byte by byte."""
    best = float("inf")
    for _ in range(2):
        framing = chunked(max_trailer_bytes=2 * size)
        framing.decode(b"0\r\nA: ")
        begun = time.process_time()
        for _ in range(size):
            framing.decode(b"b")
        best = min(best, time.process_time() - begun)
    return best / size


def test_trailers_byte_by_byte_cost_in_proportion_to_their_size() -> None:
    assert seconds_per_byte(512 * 1024) < 3 * seconds_per_byte(32 * 1024)
