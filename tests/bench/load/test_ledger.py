"""What became of each message, by what came back."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerpost.bench.load.ledger import ALTERED, DUPLICATED, FOREIGN, LOST, NOT_SENT, REORDERED, Ledger
from fingerpost.bench.load.payload import message

SIZE = 20


def faults(came: list[bytes], expected: int = 10, sent: int = 10, arrived: int = 0) -> dict[str, int]:
    ledger = Ledger(3, SIZE, 0, expected, arrived)
    for payload in came:
        ledger.note(payload)
    return dict(ledger.faults(sent))


def own(*indices: int) -> list[bytes]:
    return [message(3, index, SIZE) for index in indices]


def test_all_in_order_is_no_fault() -> None:
    assert faults(own(*range(10))) == {}
    assert faults(own(*range(4, 10)), arrived=4) == {}


def test_one_that_is_missing_is_lost() -> None:
    assert faults(own(0, 1, 2, 4, 5, 6, 7, 8, 9)) == {LOST: 1}


def test_one_that_comes_twice_is_duplicated() -> None:
    assert faults(own(0, 1, 1, *range(2, 10))) == {DUPLICATED: 1}
    assert faults(own(2, *range(4, 10)), arrived=4) == {DUPLICATED: 1}


def test_one_that_comes_behind_a_later_one_is_reordered() -> None:
    assert faults(own(0, 2, 1, *range(3, 10))) == {REORDERED: 1}


def test_one_with_another_bit_is_altered_and_not_also_lost() -> None:
    changed = bytearray(message(3, 5, SIZE))
    changed[-1] ^= 1
    assert faults([*own(*range(5)), bytes(changed), *own(*range(6, 10))]) == {ALTERED: 1}


def test_one_with_an_altered_stamp_is_altered() -> None:
    changed = b"\xff" + message(3, 5, SIZE)[1:]
    assert faults([*own(*range(5)), changed, *own(*range(6, 10))]) == {ALTERED: 1}


def test_one_that_is_too_short_is_altered() -> None:
    assert faults([*own(*range(9)), b"short"]) == {ALTERED: 1}


def test_one_of_another_tunnel_is_said_to_be_one() -> None:
    assert faults([*own(*range(10)), message(4, 2, SIZE)]) == {FOREIGN: 1}


def test_what_was_not_sent_is_not_lost() -> None:
    assert faults(own(0, 1, 2), sent=4) == {LOST: 1, NOT_SENT: 6}


@given(st.sets(st.integers(0, 49)), st.sets(st.integers(0, 49)), st.randoms())
def test_lost_and_duplicated_are_counted_exactly_in_any_order(
    lost: set[int], twice: set[int], order: random.Random
) -> None:
    twice -= lost
    indices = [index for index in range(50) if index not in lost] + list(twice)
    order.shuffle(indices)
    found = faults(own(*indices), expected=50, sent=50)
    assert found.get(LOST, 0) == len(lost)
    assert found.get(DUPLICATED, 0) == len(twice)
    assert found.get(REORDERED, 0) == reordered(indices)
    assert found.get(ALTERED, 0) == 0


def reordered(indices: list[int]) -> int:
    seen: set[int] = set()
    count = 0
    for index in indices:
        if index not in seen:
            count += any(index < other for other in seen)
            seen.add(index)
    return count


@pytest.mark.parametrize("size", [8, 20, 1024])
def test_no_two_messages_are_the_same(size: int) -> None:
    made = {message(tunnel, index, size) for tunnel in range(20) for index in range(300)}
    assert len(made) == 6000
