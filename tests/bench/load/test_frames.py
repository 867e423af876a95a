"""Frames: one by one as RFC 6455 has them, and many at a time with the same bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode

from fingerpost.bench.load import frames
from fingerpost.bench.load.frames import FrameError, Messages
from fingerpost.bench.load.payload import BODIES, message

SIZES = [8, 20, 125, 126, 1024, 1027, 65535, 65536]


def unmasked(payload: bytes) -> bytes:
    return frames.build(payload, masked=False)


@given(st.binary(max_size=70_000), st.booleans(), st.sampled_from([Opcode.BINARY, Opcode.TEXT]), st.booleans())
@settings(max_examples=60)
def test_what_is_built_is_what_websockets_builds(payload: bytes, masked: bool, opcode: Opcode, final: bool) -> None:
    ours = frames.build(payload, masked=masked, opcode=opcode, final=final)
    theirs = TheirFrame(opcode, payload, fin=final).serialize(mask=masked)
    key_at = len(ours) - len(payload) - 4
    if masked:  # the keys differ
        assert (ours[:key_at], len(ours)) == (theirs[:key_at], len(theirs))
    else:
        assert ours == theirs
    assert frames.read(theirs, 0, masked=masked, max_bytes=70_000) == (opcode, final, payload, len(theirs))


@given(st.binary(max_size=300), st.booleans(), st.data())
def test_a_frame_is_read_once_it_is_complete(payload: bytes, masked: bool, data: st.DataObject) -> None:
    whole = frames.build(payload, masked=masked)
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert frames.read(whole[:cut], 0, masked=masked, max_bytes=300) is None
    found = frames.read(b"xy" + whole + b"z", 2, masked=masked, max_bytes=300)
    assert found == (frames.BINARY, True, payload, len(whole))


@pytest.mark.parametrize(
    ("data", "masked"),
    [
        (b"\xc2\x00", False),  # a reserved bit
        (b"\x83\x00", False),  # an opcode that nobody has defined
        (b"\x82\x00", True),  # a client that doesn't mask
        (b"\x82\x80\0\0\0\0", False),  # a server that does
        (b"\x82\x7f\0\0\0\0\0\1\0\0", False),  # longer than allowed
        (b"\x88\x7e\1\0", False),  # a control frame of more than 125 bytes
        (b"\x08\x00", False),  # a fragment of one
        (b"\x82\x7e\0\x7d", False),  # a length in more bytes than it needs
        (b"\x82\x7f\0\0\0\0\0\0\xff\xff", False),
    ],
)
def test_what_cannot_be_a_frame_is_refused(data: bytes, masked: bool) -> None:
    with pytest.raises(FrameError):
        frames.read(data, 0, masked=masked, max_bytes=1000)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("tunnel", "index", "count"), [(0, 0, 1), (5, BODIES - 3, 60), (7, 3, frames.MAX_ROWS)])
def test_many_at_once_are_the_same_as_one_by_one(size: int, tunnel: int, index: int, count: int) -> None:
    messages = Messages(size)
    payloads = [message(tunnel, index + number, size) for number in range(count)]
    echoes = b"".join(map(unmasked, payloads))
    assert messages.echoes(tunnel, index, count).tobytes() == echoes
    sent = messages.frames(tunnel, index, count)
    assert len(sent) == count * frames.sent_bytes(size)
    at = 0
    for payload in payloads:
        frame = frames.read(sent, at, masked=True, max_bytes=size)
        assert frame is not None
        assert frame.payload == payload
        at += frame.size
    assert frames.echo_run(sent) == (echoes, len(sent))


@pytest.mark.parametrize("tunnel", range(0, 600, 7))
def test_as_many_as_are_built_at_once_can_begin_at_any_body(tunnel: int) -> None:
    count = frames.MAX_ROWS
    payloads = [message(tunnel, number, 20) for number in range(count)]
    assert Messages(20).echoes(tunnel, 0, count).tobytes() == b"".join(map(unmasked, payloads))


def test_every_message_is_masked_with_a_key_of_its_own() -> None:
    size = 20
    sent = Messages(size).frames(1, 0, 100)
    each = frames.sent_bytes(size)
    keys = {sent[at + 2 : at + 6] for at in range(0, len(sent), each)}
    assert len(keys) > 90


@given(st.lists(st.sampled_from([20, 21, 200]), max_size=12), st.integers(0, 40))
def test_a_run_ends_where_another_size_begins_or_a_frame_is_cut(sizes: list[int], cut: int) -> None:
    whole = [frames.build(message(1, number, size), masked=True) for number, size in enumerate(sizes)]
    data = b"".join(whole)
    data = data[: max(0, len(data) - cut)]
    answers = b""
    at = 0
    while True:
        answer, used = frames.echo_run(data[at:])
        if not used:
            break
        answers += answer
        at += used
    complete = 0
    while complete < len(whole) and sum(map(len, whole[: complete + 1])) <= len(data):
        complete += 1
    assert answers == b"".join(unmasked(message(1, number, size)) for number, size in enumerate(sizes[:complete]))


@pytest.mark.parametrize(
    "data", [b"", b"\x82", b"\x82\xfe\1", b"\x81\x82\0\0\0\0hi", b"\x82\x02hi", b"\x02\x80\0\0\0\0"]
)
def test_what_is_no_run_is_left_for_reading_frame_by_frame(data: bytes) -> None:
    assert frames.echo_run(data) == (b"", 0)
