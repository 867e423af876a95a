"""An exchange finds every wrong bit that a relay could put into what comes back, and says what it was."""

import socket
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from fingerpost.bench.load import frames
from fingerpost.bench.load.child import Site
from fingerpost.bench.load.exchange import Exchange
from fingerpost.bench.load.ledger import ALTERED, DUPLICATED
from fingerpost.bench.load.outcome import FaultError
from fingerpost.bench.load.payload import message
from fingerpost.bench.load.pingpong import PingPong
from fingerpost.bench.load.tunnel import READ, WRITE, Tunnel

COUNT, SIZE = 5, 20
CLOSE = frames.build((1000).to_bytes(2, "big"), masked=False, opcode=frames.CLOSE)
OTHER_CLOSE = frames.build((1001).to_bytes(2, "big"), masked=False, opcode=frames.CLOSE)
ECHO_BYTES = 2 + SIZE


def echoes(count: int = COUNT) -> bytes:
    return frames.Messages(SIZE).echoes(0, 0, count).tobytes()


class Pair:
    """A tunnel whose other end is in the test's hands."""

    def __init__(self) -> None:
        ours, self.app = socket.socketpair()
        self.app.settimeout(10)
        self.tunnel = Tunnel(0, Site("app.localhost", 1))
        self.tunnel.socket.close()
        self.tunnel.socket = ours
        ours.setblocking(False)

    def answer(self, data: bytes) -> None:
        self.app.sendall(data)


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.app.close()
    made.tunnel.socket.close()


def exchanged(pair: Pair, answer: bytes, *, then: bytes = CLOSE) -> tuple[int, Counter[str]]:
    """Let an exchange have this answer, then what follows its close; what was done, and what was wrong."""
    task = Exchange(pair.tunnel, frames.Messages(SIZE), COUNT, COUNT)
    task.step(WRITE)
    faults: Counter[str] = Counter()
    try:
        pair.answer(answer)
        assert not task.step(READ)
        pair.answer(then)
        assert not task.step(READ)
        pair.app.shutdown(socket.SHUT_WR)
        assert task.step(READ)
    except FaultError as error:
        faults[str(error)] += 1
    except BlockingIOError:
        faults["waits"] += 1
    return task.done, faults + task.faults()


def test_what_is_right_has_no_faults(pair: Pair) -> None:
    assert exchanged(pair, echoes()) == (COUNT, Counter())


@pytest.mark.parametrize("bit", range(ECHO_BYTES * 8))
@pytest.mark.parametrize("number", [0, COUNT - 1])
def test_no_flipped_bit_passes_unseen(pair: Pair, bit: int, number: int) -> None:
    spoilt = bytearray(echoes())
    spoilt[number * ECHO_BYTES + bit // 8] ^= 1 << bit % 8
    done, faults = exchanged(pair, bytes(spoilt))
    assert done < COUNT
    assert faults


def test_an_altered_last_message_settles_the_exchange_at_once(pair: Pair) -> None:
    spoilt = bytearray(echoes())
    spoilt[-1] ^= 1
    assert exchanged(pair, bytes(spoilt)) == (COUNT - 1, Counter({ALTERED: 1}))


@pytest.mark.parametrize(
    ("answer", "then", "fault"),
    [
        (echoes() + echoes(1), CLOSE, DUPLICATED),
        (echoes(), CLOSE + b"\x82", "a close that is not the answer to ours"),
        (echoes(), CLOSE + CLOSE, "a close that is not the answer to ours"),
        (echoes(3) + CLOSE, b"", "a close that is not the answer to ours"),
        (
            echoes(),
            frames.build(b"\x03\xe9", masked=False, opcode=frames.CLOSE),
            "a close that is not the answer to ours",
        ),
        (echoes() + frames.build(b"", masked=False, opcode=frames.PING), CLOSE, ALTERED),
    ],
)
def test_what_an_app_has_not_sent_is_found(pair: Pair, answer: bytes, then: bytes, fault: str) -> None:
    _, faults = exchanged(pair, answer, then=then)
    assert fault in faults


def test_a_byte_behind_the_close_is_found(pair: Pair) -> None:
    task = Exchange(pair.tunnel, frames.Messages(SIZE), COUNT, COUNT)
    task.step(WRITE)
    pair.answer(echoes())
    task.step(READ)
    pair.answer(CLOSE)
    task.step(READ)
    pair.answer(b"\0")
    with pytest.raises(FaultError, match="bytes that nobody sent"):
        task.step(READ)


def pinged(pair: Pair, answers: list[Callable[[bytes], list[bytes]]]) -> tuple[int, Counter[str]]:
    """A ping-pong whose answers are these functions of the right one, each a list of pieces."""
    task = PingPong(pair.tunnel, len(answers), SIZE)
    task.begin()
    for number, answer in enumerate(answers):
        for piece in answer(frames.build(message(0, number, SIZE), masked=False)):
            pair.answer(piece)
            task.step(READ)
    return task.done, task.faults()


def right(echo: bytes) -> list[bytes]:
    return [echo]


def in_pieces(echo: bytes) -> list[bytes]:
    return [echo[:3], echo[3:9], echo[9:]]


def twice(echo: bytes) -> list[bytes]:
    return [echo + echo]


def altered(echo: bytes) -> list[bytes]:
    return [echo[:-1] + b"\0"]


@pytest.mark.parametrize(
    ("answers", "done", "faults"),
    [
        ([right] * 4, 4, {}),
        ([in_pieces, right, in_pieces], 3, {}),
        ([right, twice, in_pieces, right], 4, {DUPLICATED: 1}),
        ([right, altered, in_pieces, right], 3, {ALTERED: 1}),
    ],
)
def test_a_ping_pong_counts_what_came_back_right(
    pair: Pair, answers: list[Callable[[bytes], list[bytes]]], done: int, faults: dict[str, int]
) -> None:
    assert pinged(pair, answers) == (done, Counter(faults))
