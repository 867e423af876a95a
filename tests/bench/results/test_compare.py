"""Two runs against each other."""

# ruff: noqa: RUF001 - these signs are in what is printed

import io
import json
from dataclasses import replace

from rich.console import Console

from fingerpost.bench.results.compare import Comparison, compare
from fingerpost.bench.run import ALL, SOME_LOST, Run, Sample

from .runs import CAPACITY, CONTEXT, MESSAGES, SERVERS, degenerate, rounds, run, step, whole


def messages(ours: list[float], nginx: list[float] | None = None, **context: object) -> Run:
    samples = rounds(MESSAGES, "", "fingerpost", {"cpu_us": ours})
    return run([MESSAGES], samples + (rounds(MESSAGES, "", "nginx", {"cpu_us": nginx}) if nginx else []), **context)


def says(found: Comparison, base: str = "", peer: str = "fingerpost") -> str:
    (change,) = [c for c in found.changes if (c.base, c.peer) == (base, peer)]
    return change.says


def test_ranges_that_overlap_are_within_the_spread() -> None:
    found = compare(messages([10, 11, 12]), messages([11.5, 12.5, 13.5]))
    assert (says(found), found.worse) == ("within spread", False)
    assert found.changes[0].fraction == 12.5 / 11 - 1
    assert found.verdict == "fingerpost got no worse beyond the spread."


def test_a_gap_that_is_no_wider_than_the_ranges_is_not_yet_worse() -> None:
    found = compare(messages([10, 11, 12]), messages([13, 14, 15]))
    assert (says(found), found.worse) == ("just outside", False)


def test_a_gap_that_is_wider_is_worse_and_the_other_way_better() -> None:
    assert compare(messages([10, 10.1, 10.2]), messages([11, 11.1, 11.2])).worse
    better = compare(messages([11, 11.1, 11.2]), messages([10, 10.1, 10.2]))
    assert (says(better), better.worse) == ("better", False)


def test_one_round_has_no_spread_so_nothing_is_judged_by_it() -> None:
    found = compare(messages([10]), messages([20]))
    assert (says(found), found.worse, found.judged) == ("spread unknown", False, [])
    assert found.verdict.startswith("Nothing can be said")


def test_what_slowed_the_whole_machine_down_is_not_held_against_us() -> None:
    old = messages([10, 10.1, 10.2], [10, 10.1, 10.2])
    slower = messages([20, 20.2, 20.4], [20, 20.2, 20.4])
    found = compare(old, slower)
    assert (says(found), says(found, "nginx")) == ("worse", "within spread")
    assert not found.worse


def test_a_fast_machine_does_not_hide_that_we_got_worse() -> None:
    found = compare(messages([10, 10.1, 10.2], [10, 10.1, 10.2]), messages([10, 10.1, 10.2], [5, 5.05, 5.1]))
    assert (says(found), says(found, "nginx")) == ("within spread", "worse")
    assert found.worse
    assert found.verdict == "fingerpost got worse beyond the spread: messages."


def test_another_machine_is_said_and_decides_nothing() -> None:
    found = compare(messages([1, 1, 1], [1, 1, 1]), messages([9, 9, 9], [1, 1, 1], cpu="another"))
    assert "Other cpu: a processor → another" in found.differences
    assert [change.base for change in found.changes if change.peer == "fingerpost"] == ["nginx"]
    assert (found.worse, found.judged) == (False, [])


def test_a_peer_of_another_version_is_no_yardstick() -> None:
    old = messages([10, 10, 10], [10, 10, 10])
    new = messages([20, 20, 20], [20, 20, 20], peers=CONTEXT["peers"] | {"nginx": "1.27"})
    found = compare(old, new)
    assert "nginx, which is 1.22 in the old run and 1.27 in the new" in found.not_compared
    assert {(change.peer, change.base) for change in found.changes} == {("fingerpost", "")}
    assert found.worse


def test_our_own_version_is_what_one_compares() -> None:
    found = compare(messages([10, 10]), messages([20, 20], peers=CONTEXT["peers"] | {"fingerpost": "2"}))
    assert found.worse
    assert "Other fingerpost: 1 → 2" in found.differences


def test_other_parameters_are_not_compared() -> None:
    old = run([SERVERS], rounds(SERVERS, "50", "fingerpost", {"seconds": [1, 1]}))
    other = replace(SERVERS, parameters={"clients": 10, "messages": 5})
    found = compare(old, run([other], rounds(SERVERS, "50", "fingerpost", {"seconds": [9, 9]})))
    assert found.changes == ()
    assert found.not_compared == ("servers, since its parameters differ: messages 1000 → 5",)


def test_experiments_on_other_cpus_are_not_compared() -> None:
    found = compare(messages([1, 1]), messages([9, 9], pinned={"messages": "any for all"}))
    assert found.changes == ()
    assert found.not_compared[0].startswith("messages, since relay and load had other CPUs: 0 for the relay")


def test_points_of_one_run_alone_are_said() -> None:
    old = run([SERVERS], [s for p in SERVERS.points for s in rounds(SERVERS, p, "fingerpost", {"seconds": [1, 1]})])
    new = run([SERVERS], rounds(SERVERS, "50", "fingerpost", {"seconds": [1, 1]}))
    assert compare(old, new).not_compared == ("servers at 75, which only the old run has",)
    assert compare(messages([1]), new).not_compared == (
        "servers, which only the new run has",
        "messages, which only the old run has",
    )


def test_what_was_sound_and_no_longer_is_is_worse_whatever_the_figures() -> None:
    bad = Sample("messages", "", 3, "fingerpost", {"cpu_us": 1.0}, {"lost": 1})
    new = messages([1, 1])
    new.samples.append(bad)
    found = compare(messages([10, 10]), new)
    assert found.worse
    assert found.broken == ("messages: was sound, is now: 1 × lost; in 1 of 3 samples",)


def test_a_step_that_no_longer_exchanges_all_is_worse() -> None:
    old = run([CAPACITY], [step("500", "fingerpost", ALL)])
    assert compare(old, run([CAPACITY], [step("500", "fingerpost", SOME_LOST, lost=3)])).worse
    assert not compare(old, old).worse


def test_a_comparison_prints_and_is_json() -> None:
    out = io.StringIO()
    found = compare(whole(), whole())
    found.print(Console(file=out, width=100))
    assert "2.20 (2.00–2.60)" in out.getvalue()
    assert "÷ nginx" in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= 100
    data = json.loads(json.dumps(found.as_json()))
    assert data["worse"] is False
    assert {change["says"] for change in data["changes"]} <= {"within spread", "spread unknown"}
    assert len(data["changes"]) > 10


def test_runs_that_came_to_little_can_be_compared() -> None:
    for old in degenerate().values():
        for new in (*degenerate().values(), whole()):
            found = compare(old, new)
            found.print(Console(file=io.StringIO(), width=80))
            assert found.verdict
