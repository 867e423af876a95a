"""How far a peer came, and why no further."""

import pytest

from fingerpost.bench.results.capacity import Band, reach
from fingerpost.bench.results.summary import Summary
from fingerpost.bench.run import ALL, NOT_MEASURED, RELAY_FAILED, SOME_LOST, Sample

from .runs import CAPACITY, run, step


def test_bands_join_steps_with_the_same_verdict() -> None:
    samples = [step("500", "go", ALL), step("1000", "go", ALL), step("1500", "go", SOME_LOST, lost=1)]
    found = reach(Summary(run([CAPACITY], samples)), CAPACITY, "go")
    assert found.bands == (Band(0, 1000, ALL), Band(1000, 1500, SOME_LOST))
    assert (found.all_to, found.some_lost, found.failed) == ("1000", "1500", None)


def test_a_step_that_went_well_again_after_a_bad_one_does_not_count() -> None:
    samples = [step("500", "go", ALL), step("1000", "go", SOME_LOST, lost=1), step("1500", "go", ALL)]
    found = reach(Summary(run([CAPACITY], samples)), CAPACITY, "go")
    assert (found.all_to, found.some_lost) == ("500", "1000")
    assert len(found.bands) == 3


def test_a_relay_that_could_not_even_be_started_failed() -> None:
    sample = Sample("capacity", "500", 1, "go", failure="not ready after 20 s", verdict=RELAY_FAILED)
    found = reach(Summary(run([CAPACITY], [sample])), CAPACITY, "go")
    assert (found.all_to, found.failed, found.why) == (None, "500", "not ready after 20 s")


def test_a_step_that_the_benchmark_could_not_take_says_nothing_of_the_relay() -> None:
    sample = Sample("capacity", "500", 1, "go", failure="origin has ended")
    found = reach(Summary(run([CAPACITY], [sample])), CAPACITY, "go")
    assert (found.all_to, found.failed, found.why) == (None, None, "origin has ended")
    assert [band.verdict for band in found.bands] == [NOT_MEASURED]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("listening\nError: connect EMFILE\n    at Socket\nNode.js v22", "Error: connect EMFILE"),
        ("started\nfatal error: out of memory\n\ngoroutine 1 [running]:\nmain.main()", "fatal error: out of memory"),
        ("one\nthe last one", "the last one"),
        ("   \n ", ""),
    ],
)
def test_the_reason_is_the_line_that_names_the_trouble(said: str, why: str) -> None:
    samples = [step("500", "go", RELAY_FAILED, said=said, lost=500)]
    assert reach(Summary(run([CAPACITY], samples)), CAPACITY, "go").why == why
