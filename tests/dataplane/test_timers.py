"""Timers: against a model that looks at every deadline at every step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerpost.dataplane.timers import NEVER, TICK_S, Timers

START = 1000.0
OBJECTS = 5
# What may be noticed late; the last digits of sums of tenths aside.
LATE_S = 2 * TICK_S + 1e-6


class Probe:
    """Something with a deadline."""

    def __init__(self) -> None:
        self.deadline = self.wake = NEVER

    def on_deadline(self) -> None:
        raise NotImplementedError

    def on_bug(self) -> None:
        raise NotImplementedError


seconds = st.one_of(st.sampled_from([0.0, 0.05, 0.1, 0.3, 1.0, 7.7]), st.floats(-1, 20))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("arm"), st.integers(0, OBJECTS - 1), seconds),
        st.tuples(st.just("move"), st.integers(0, OBJECTS - 1), st.floats(0, 20)),
        st.tuples(st.just("forget"), st.integers(0, OBJECTS - 1), st.just(0.0)),
        st.tuples(st.just("pass"), st.just(0), st.floats(0, 30)),
    ),
    max_size=60,
)


@given(steps)
def test_every_deadline_is_met_once_and_in_time_and_none_that_was_moved_or_forgotten(
    steps: list[tuple[str, int, float]],
) -> None:
    now = START
    timers = Timers(now)
    probes = [Probe() for _ in range(OBJECTS)]
    model: dict[Probe, tuple[float, float]] = {}  # the deadline, and since when it is one
    for what, number, value in [*steps, ("pass", 0, 100.0)]:
        probe = probes[number]
        if what == "arm":
            timers.arm(probe, now + value)
            model[probe] = (now + value, now)
        elif what == "move" and probe in model:  # later, as `Connection.arm` does it: without a call
            probe.deadline = model[probe][0] + value
            model[probe] = (probe.deadline, model[probe][1])
        elif what == "forget":
            timers.forget(probe)
            model.pop(probe, None)
        elif what == "pass":
            now += value
            due = timers.due(now)
            assert len(due) == len(set(due))
            for fired in due:
                assert isinstance(fired, Probe)
                assert model.pop(fired)[0] <= now
                assert fired.deadline == fired.wake == NEVER
            assert all(max(times) > now - LATE_S for times in model.values())
    assert model == {}


@given(steps)
def test_nothing_is_kept_of_what_is_over(steps: list[tuple[str, int, float]]) -> None:
    timers = Timers(START)
    probes = [Probe() for _ in range(OBJECTS)]
    for what, number, value in steps:
        if what == "arm":
            timers.arm(probes[number], START + value)
        elif what == "forget":
            timers.forget(probes[number])
    for probe in probes:
        timers.forget(probe)
        timers.forget(probe)  # harmless
    assert timers._slots == {}


@given(st.floats(0, 1e8), st.floats(0, 100))
def test_the_clock_may_start_anywhere(start: float, delay: float) -> None:
    timers = Timers(start)
    probe = Probe()
    timers.arm(probe, start + delay)
    if delay > LATE_S:
        assert timers.due(start + delay - LATE_S) == []
    assert timers.due(start + delay + LATE_S) == [probe]


def test_moving_a_deadline_later_does_not_touch_the_wheel() -> None:
    timers = Timers(START)
    probe = Probe()
    timers.arm(probe, START + 1)
    before = probe.wake
    timers.arm(probe, START + 5)
    assert probe.wake == before
    assert timers.due(START + 2) == []
    assert timers.due(START + 4.9) == []
    assert timers.due(START + 5.2) == [probe]


def test_a_deadline_in_the_past_is_due_at_the_next_tick() -> None:
    timers = Timers(START)
    probe = Probe()
    timers.arm(probe, START - 50)
    assert timers.due(START + LATE_S) == [probe]


@pytest.mark.parametrize("hours", [1, 100])
def test_a_process_that_was_stopped_for_long_catches_up(hours: int) -> None:
    timers = Timers(START)
    probes = [Probe() for _ in range(3)]
    for number, probe in enumerate(probes):
        timers.arm(probe, START + number)
    assert set(timers.due(START + hours * 3600.0)) == set(probes)
