"""Medians, ratios within a round, faults and verdicts of rows."""

import pytest

from fingerpost.bench.results.summary import Spread, Summary
from fingerpost.bench.run import ALL, RELAY_FAILED, SOME_LOST, Sample

from .runs import CAPACITY, MESSAGES, SERVERS, rounds, run, step


def test_a_row_has_median_lowest_and_highest_of_its_rounds() -> None:
    summary = Summary(run([MESSAGES], rounds(MESSAGES, "", "fingerpost", {"cpu_us": [10, 30, 24]})))
    (row,) = summary.rows()
    assert row.figures == {"cpu_us": Spread(24, 10, 30, 3)}
    assert row.sound


def test_a_ratio_is_the_median_of_the_ratios_within_each_round() -> None:
    ours = rounds(MESSAGES, "", "fingerpost", {"cpu_us": [10, 30, 22]})
    theirs = rounds(MESSAGES, "", "nginx", {"cpu_us": [10, 20, 40]})
    ratio = Summary(run([MESSAGES], ours + theirs)).ratio("messages", "", "fingerpost", "nginx", "cpu_us")
    # 1.0, 1.5 and 0.55; the medians would give 22 / 20.
    assert ratio == Spread(1.0, 0.55, 1.5, 3)


def test_pairs_come_from_the_same_round_and_the_same_point() -> None:
    ours = rounds(SERVERS, "50", "fingerpost", {"seconds": [1, 10, 100]})
    theirs = rounds(SERVERS, "50", "go", {"seconds": [1, 10, 100]})[::-1] + rounds(
        SERVERS, "75", "go", {"seconds": [7]}
    )
    ratio = Summary(run([SERVERS], ours + theirs)).ratio("servers", "50", "fingerpost", "go", "seconds")
    assert ratio == Spread(1, 1, 1, 3)


def test_a_sample_with_faults_counts_for_no_figure_and_no_ratio() -> None:
    bad = Sample("messages", "", 3, "fingerpost", {"cpu_us": 1.0}, {"altered": 2})
    samples = [*rounds(MESSAGES, "", "fingerpost", {"cpu_us": [10, 12]}), bad]
    samples += rounds(MESSAGES, "", "nginx", {"cpu_us": [10, 10, 10]})
    summary = Summary(run([MESSAGES], samples))
    row = summary.row("messages", "", "fingerpost")
    ratio = summary.ratio("messages", "", "fingerpost", "nginx", "cpu_us")
    assert row
    assert row.figures["cpu_us"] == Spread(11, 10, 12, 2)
    assert ratio == Spread(1.1, 1.0, 1.2, 2)
    assert row.faults == {"altered": 2}
    assert (row.rounds, row.sound_rounds, row.sound) == (3, 2, False)


def test_a_base_of_nothing_gives_no_ratio() -> None:
    samples = rounds(MESSAGES, "", "fingerpost", {"cpu_us": [1]}) + rounds(MESSAGES, "", "nginx", {"cpu_us": [0]})
    assert Summary(run([MESSAGES], samples)).ratio("messages", "", "fingerpost", "nginx", "cpu_us") is None


def test_faults_add_up_over_rounds_and_each_failure_is_told_once() -> None:
    samples = [
        Sample("messages", "", 1, "nginx", {}, {"lost": 2}),
        Sample("messages", "", 2, "nginx", {}, {"lost": 3, "altered": 1}),
        *(Sample("messages", "", number, "nginx", failure="it ended at once") for number in (3, 4)),
    ]
    (row,) = Summary(run([MESSAGES], samples)).rows()
    assert row.faults == {"lost": 5, "altered": 1}
    assert row.failures == ("it ended at once",)
    assert row.median("cpu_us") is None


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ((ALL, ALL), ALL),
        ((ALL, SOME_LOST), SOME_LOST),
        ((RELAY_FAILED, SOME_LOST), RELAY_FAILED),
        ((ALL, RELAY_FAILED), RELAY_FAILED),
    ],
)
def test_a_step_is_as_good_as_its_worst_round(verdicts: tuple[str, ...], worst: str) -> None:
    samples = [step("500", "go", verdict, number) for number, verdict in enumerate(verdicts, 1)]
    (row,) = Summary(run([CAPACITY], samples)).rows()
    assert row.verdict == worst
    assert sum(row.verdicts.values()) == 2
    assert row.sound == (worst == ALL)


def test_peers_are_in_the_order_of_the_run_with_fingerpost_first() -> None:
    samples = [Sample("messages", "", 1, peer) for peer in ("own", "direct", "nginx", "fingerpost-2", "fingerpost")]
    assert Summary(run([MESSAGES], samples)).peers("messages") == [
        "fingerpost",
        "fingerpost-2",
        "nginx",
        "direct",
        "own",
    ]
