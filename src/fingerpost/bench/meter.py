"""Reads off what a phase of a measurement cost: the relay's CPU and memory, the load's CPU."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from fingerpost.bench import procfs
from fingerpost.bench.load.latencies import percentile_us
from fingerpost.bench.load.outcome import Outcome
from fingerpost.bench.stage import Stage

_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of one phase, by who used them.

    Attributes:
        wall_s: How long it was on the clock: a little longer than its work.
        tcp_pressure_s: How long the kernel was short of memory for TCP.
    """

    wall_s: float
    relay_s: float
    supervisor_s: float
    load_s: float
    tcp_pressure_s: float


def metered(stage: Stage, phase: Callable[[], Outcome]) -> tuple[Outcome, Cost]:
    """Do one phase and see what it cost.

    Raises:
        BenchError: The phase failed as a whole, or a process of the load or a worker of the relay ended in it.
    """
    before = _read(stage)
    found = phase()
    stage.check_load(closely=bool(found.faults))
    if stage.why_dead(_PATIENCE_S if found.faults else 0.0) is not None:
        # Its clock is gone with it; what the clients found tells more.
        return found, Cost(time.monotonic() - before.wall_s, 0.0, 0.0, _load_s(stage) - before.load_s, 0.0)
    after = _read(stage)
    return found, Cost(
        after.wall_s - before.wall_s,
        after.relay_s - before.relay_s,
        after.supervisor_s - before.supervisor_s,
        after.load_s - before.load_s,
        after.tcp_pressure_s - before.tcp_pressure_s,
    )


def figures(stage: Stage, found: Outcome, cost: Cost, expected: int) -> dict[str, float]:
    """What one phase yielded, by the names of `fingerpost.bench.run.FIGURES`.

    Args:
        stage: Where.
        found: What the clients did.
        cost: What it cost.
        expected: The units that were asked for.
    """
    seconds = max(found.seconds, 1e-9)
    read: dict[str, float] = {
        "done": found.done,
        "expected": expected,
        "seconds": seconds,
        "per_s": found.done / seconds,
        "load_cpu_s": cost.load_s,
        "load_busy": cost.load_s / cost.wall_s / stage.cpus.load_count,
    }
    if cost.tcp_pressure_s:
        read["tcp_pressure_s"] = cost.tcp_pressure_s
    if stage.relay is not None and stage.why_dead() is None:
        read["relay_cpu_s"] = cost.relay_s
        read["relay_busy"] = cost.relay_s / cost.wall_s
        read["supervisor_cpu_s"] = cost.supervisor_s
        read["peak_rss_mib"] = procfs.memory(stage.relaying).peak_rss / 2**20
        if found.done:
            read["cpu_us"] = cost.relay_s / found.done * 1e6
    return read


def latencies(found: Outcome) -> dict[str, float]:
    """The latencies' percentiles and how many were late, if units were timed."""
    if not found.latencies:
        return {}
    named = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99}
    longest_us = found.longest_s * 1e6
    read = {name: min(percentile_us(found.latencies, share), longest_us) for name, share in named.items()}
    return read | {"max_us": longest_us, "late": found.late}


def _read(stage: Stage) -> Cost:
    relaying = stage.relaying
    supervisor_s = procfs.cpu_s(relaying[:1]) if len(relaying) > 1 else 0.0
    return Cost(time.monotonic(), procfs.cpu_s(relaying), supervisor_s, _load_s(stage), procfs.tcp_pressure_s())


def _load_s(stage: Stage) -> float:
    return procfs.cpu_s(member.pid for member in stage.load)
