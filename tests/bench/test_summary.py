"""Medians, ratios within a round, and verdicts."""

import pytest

from fingerpost.bench.rounds import Sample
from fingerpost.bench.summary import BARS, rows, verdicts
from fingerpost.bench.works import WORKS


def samples(peer: str, values: list[float], work: str = "messages", variant: str = "") -> list[Sample]:
    """One sound sample for each round."""
    return [Sample(work, variant, number, peer, value) for number, value in enumerate(values, 1)]


def test_a_ratio_is_the_median_of_the_ratios_within_each_round() -> None:
    ours, theirs, _ = rows(
        samples("fingerpost", [10, 30, 24])
        + samples("nginx", [10, 20, 20])
        + samples("direct", [])
        + samples("haproxy", [1, 1, 1])
    )
    assert ours.ratios["nginx"] == pytest.approx(1.2)  # of 1.0, 1.5, 1.2; the medians would give 24 / 20 too
    assert (ours.median, ours.lowest, ours.highest) == (24, 10, 30)
    assert "nginx" not in theirs.ratios


def test_pairs_come_from_the_same_round() -> None:
    ours, _ = rows(samples("fingerpost", [1, 10, 100]) + samples("nginx", [1, 10, 100])[::-1])
    assert ours.ratios["nginx"] == 1


def test_a_sample_with_faults_counts_for_no_figure_and_no_ratio() -> None:
    bad = Sample("messages", "", 3, "fingerpost", 1.0, faults={"altered": 2})
    ours, _ = rows([*samples("fingerpost", [10, 12]), bad, *samples("nginx", [10, 10, 10])])
    assert ours.lowest == 10
    assert ours.ratios["nginx"] == pytest.approx(1.1)
    assert ours.faults == {"altered": 2}


@pytest.mark.parametrize(("ours", "met", "aim_met"), [(9.0, True, True), (11.0, True, False), (12.0, False, False)])
def test_bar_and_aim_are_judged_by_the_ratio(ours: float, met: bool, aim_met: bool) -> None:
    (verdict,) = verdicts(rows(samples("fingerpost", [ours]) + samples("nginx", [10])))
    assert (verdict.met, verdict.aim_met) == (met, aim_met)


@pytest.mark.parametrize(("ours", "met", "aim_met"), [(2.9, True, True), (5.0, True, False), (7.0, False, False)])
def test_an_absolute_bar_needs_no_other_peer(ours: float, met: bool, aim_met: bool) -> None:
    (verdict,) = verdicts(rows(samples("fingerpost", [ours], "memory")))
    assert (verdict.met, verdict.aim_met) == (met, aim_met)


def test_a_bar_over_a_peer_without_a_sound_sample_is_not_judged() -> None:
    broken = Sample("messages", "", 1, "nginx", failure="it ended at once")
    (verdict,) = verdicts(rows([*samples("fingerpost", [10]), broken]))
    assert verdict.met is None


def test_a_peer_that_failed_shows_each_reason_once() -> None:
    failed = [Sample("messages", "", number, "nginx", failure="it ended at once") for number in (1, 2)]
    (row,) = rows(failed)
    assert row.failures == ("it ended at once",)
    assert row.median is None


def test_every_bar_is_about_a_work_that_exists() -> None:
    known = {(work.name, variant) for work in WORKS for variant in work.variants}
    assert {(bar.work, bar.variant) for bar in BARS} <= known
    assert {bar.work for bar in BARS} == {work.name for work in WORKS}
