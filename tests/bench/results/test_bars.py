"""Whether fingerpost meets its bars."""

from dataclasses import replace

import pytest

from fingerpost.bench.results.bars import BARS, EVERY_POINT, Verdict, verdicts
from fingerpost.bench.results.summary import Summary
from fingerpost.bench.run import ALL, FIGURES, SOME_LOST, Asked, Run, Sample

from .runs import CAPACITY, MESSAGES, SERVERS, rounds, run, step, whole

MEMORY = Asked("memory", "", "tunnel", "kib_per_tunnel", "", ("",))


def judged(of: Run, figure: str, over: str | None = None) -> Verdict:
    (found,) = [
        v for v in verdicts(Summary(of)) if v.bar.figure == figure and (v.bar.bar is None or v.bar.bar.over == over)
    ]
    return found


@pytest.mark.parametrize(("ours", "met", "aim_met"), [(9.0, True, True), (11.0, True, False), (12.0, False, False)])
def test_bar_and_aim_are_judged_by_the_ratio(ours: float, met: bool, aim_met: bool) -> None:
    samples = rounds(MESSAGES, "", "fingerpost", {"cpu_us": [ours]}) + rounds(MESSAGES, "", "nginx", {"cpu_us": [10]})
    found = judged(run([MESSAGES], samples), "cpu_us", "nginx")
    assert (found.met, found.aim_met) == (met, aim_met)


@pytest.mark.parametrize(("ours", "met", "aim_met"), [(2.9, True, True), (5.0, True, False), (7.0, False, False)])
def test_an_absolute_bar_needs_no_other_peer(ours: float, met: bool, aim_met: bool) -> None:
    found = judged(run([MEMORY], rounds(MEMORY, "", "fingerpost", {"kib_per_tunnel": [ours]})), "kib_per_tunnel")
    assert (found.met, found.aim_met) == (met, aim_met)


def test_a_bar_over_a_peer_without_a_sound_sample_is_not_judged() -> None:
    broken = Sample("messages", "", 1, "nginx", failure="it ended at once")
    found = judged(run([MESSAGES], [*rounds(MESSAGES, "", "fingerpost", {"cpu_us": [10]}), broken]), "cpu_us", "nginx")
    assert (found.met, found.found) == (None, None)


def test_one_fault_of_ours_is_enough_to_miss_a_bar() -> None:
    samples = rounds(MESSAGES, "", "fingerpost", {"cpu_us": [1, 1]}) + rounds(
        MESSAGES, "", "nginx", {"cpu_us": [10, 10]}
    )
    bad = Sample("messages", "", 3, "fingerpost", {"cpu_us": 1}, {"lost": 1})
    assert judged(run([MESSAGES], samples), "cpu_us", "nginx").met is True
    assert judged(run([MESSAGES], [*samples, bad]), "cpu_us", "nginx").met is False


def servers(ours: list[float], go: list[float], cpu: tuple[float, float] = (4, 6)) -> Run:
    """One round at each of the points 50 and 75."""
    samples = []
    for point, mine, theirs in zip(SERVERS.points, ours, go, strict=False):
        samples += rounds(SERVERS, point, "fingerpost", {"seconds": [mine], "cpu_us": [cpu[0]]})
        samples += rounds(SERVERS, point, "go", {"seconds": [theirs], "cpu_us": [cpu[1]]})
    return run([SERVERS], samples)


def test_no_point_may_be_slower_than_the_go_relay() -> None:
    assert judged(servers([1.0, 2.0], [1.1, 2.0]), "seconds", "go").met is True
    missed = judged(servers([1.0, 2.1], [1.1, 2.0]), "seconds", "go")
    assert (missed.met, missed.at) == (False, "75")
    assert missed.found == pytest.approx(1.05)


def test_a_point_that_was_not_reached_leaves_the_bar_open() -> None:
    assert judged(servers([1.0], [1.1]), "seconds", "go").met is None
    assert judged(servers([1.2], [1.1]), "seconds", "go").met is False


def test_cpu_per_message_must_be_below_and_not_the_same() -> None:
    assert judged(servers([1, 1], [1, 1], (5.9, 6)), "cpu_us", "go").met is True
    assert judged(servers([1, 1], [1, 1], (6, 6)), "cpu_us", "go").met is False


def test_a_relay_that_was_not_measured_is_not_beaten() -> None:
    assert judged(servers([1, 1], [2, 2]), "seconds", "node").met is None


def test_capacity_is_met_only_if_every_step_of_every_round_exchanged_all() -> None:
    every = [step(point, "fingerpost", ALL, number) for point in CAPACITY.points for number in (1, 2)]
    assert judged(run([CAPACITY], every), "").met is True
    assert judged(run([CAPACITY], every[:-2]), "").met is None
    missed = judged(run([CAPACITY], [*every, step("1000", "fingerpost", SOME_LOST, 3, lost=1)]), "")
    assert (missed.met, missed.at) == (False, "1000")


def test_what_is_lost_beyond_the_published_steps_is_no_missed_bar() -> None:
    further = replace(CAPACITY, points=("7000", "9000"))
    samples = [step("7000", "fingerpost", ALL, 1), step("9000", "fingerpost", SOME_LOST, 1, lost=5)]
    assert judged(run([further], samples), "").met is True


def test_only_the_experiments_that_were_asked_for_are_judged() -> None:
    assert {verdict.bar.experiment for verdict in verdicts(Summary(whole()))} == {
        "capacity",
        "servers",
        "messages",
        "requests",
    }
    assert verdicts(Summary(run([replace(MESSAGES, name="another")], []))) == []


def test_every_bar_is_about_a_figure_that_exists() -> None:
    assert {bar.figure for bar in BARS} <= {"", *FIGURES}
    assert all(bar.bar or bar.point == EVERY_POINT for bar in BARS)
