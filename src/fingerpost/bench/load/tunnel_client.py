"""The client of all WebSocket works, a process of its own.

Its commands: ``open`` (more tunnels, all at once), ``exchange`` (many messages in each without waiting, then close),
``ping`` (one message under way in each), ``visit`` (open, one echo, close, over and over) and ``close``.
"""

import time
from collections import Counter
from collections.abc import Iterator

from fingerpost.bench.load import driver, frames
from fingerpost.bench.load.child import Site, answer_commands
from fingerpost.bench.load.exchange import Exchange
from fingerpost.bench.load.outcome import FaultError, Outcome, fault_kind, time_units
from fingerpost.bench.load.pingpong import PingPong
from fingerpost.bench.load.tunnel import Opening, Task, Tunnel
from fingerpost.bench.load.visit import Visit

_open: list[Tunnel] = []


def open_tunnels(
    sites: list[tuple[str, int]], count: int, first: int, at_once: int, silence_s: float, deadline_s: float
) -> Outcome:
    """Open ``count`` more, numbered from ``first``, in turn over the sites, ``at_once`` of them at a time."""
    began = time.monotonic()
    faults: Counter[str] = Counter()
    tunnels = (Tunnel(first + n, Site(*sites[n % len(sites)])) for n in range(count))
    openings = _begun((Opening(tunnel) for tunnel in tunnels), faults)
    first_ones = [task for _, task in zip(range(at_once), openings, strict=False)]
    opened = driver.run(first_ones, began + deadline_s, silence_s, faults, lambda: next(openings, None), keep=True)
    _count_not_begun(tunnels, faults)
    found = Outcome.since(began, len(opened), faults)
    _open.extend(task.tunnel for task in opened)
    return found


def exchange(messages: int, size: int, rows: int, silence_s: float, deadline_s: float) -> Outcome:
    """Send ``messages`` of ``size`` bytes through each without waiting, up to ``rows`` in a write; close.

    It ends with the last echo: the closing that follows isn't timed.
    """
    faults: Counter[str] = Counter()
    frames_of_size = frames.Messages(size)
    tasks = [Exchange(tunnel, frames_of_size, messages, rows) for tunnel in _open]
    began = time.monotonic()
    driver.run(tasks, began + deadline_s, silence_s, faults, keep=False)
    _open.clear()
    found = Outcome.since(began, sum(task.done for task in tasks), faults)
    if not faults:
        found.ended_s = max((task.echoed_at for task in tasks), default=found.ended_s)
    found.longest_s = max((task.longest_wait_s for task in tasks), default=0.0)
    return found


def ping(messages: int, size: int, late_s: float, silence_s: float, deadline_s: float) -> Outcome:
    """Send ``messages`` of ``size`` bytes through each open tunnel, each when the last is back."""
    faults: Counter[str] = Counter()
    tasks = [PingPong(tunnel, messages, size) for tunnel in _open]
    began = time.monotonic()
    finished = driver.run(_begun(iter(tasks), faults), began + deadline_s, silence_s, faults, keep=True)
    found = Outcome.since(began, sum(task.done for task in tasks), faults)
    durations = [duration for task in tasks for duration in task.latencies_s]
    _open[:] = [task.tunnel for task in finished]
    return time_units(found, durations, late_s)


def visit(
    sites: list[tuple[str, int]],
    count: int,
    first: int,
    at_once: int,
    size: int,
    late_s: float,
    silence_s: float,
    deadline_s: float,
) -> Outcome:
    """Open a tunnel, exchange one message, close it; ``count`` times, ``at_once`` of them at a time."""
    faults: Counter[str] = Counter()
    message = frames.Messages(size)
    began = time.monotonic()
    tunnels = (Tunnel(first + n, Site(*sites[n % len(sites)])) for n in range(count))
    visits = _begun((Visit(tunnel, message) for tunnel in tunnels), faults)
    first_ones = [task for _, task in zip(range(at_once), visits, strict=False)]
    finished = driver.run(first_ones, began + deadline_s, silence_s, faults, lambda: next(visits, None), keep=False)
    _count_not_begun(tunnels, faults)
    found = Outcome.since(began, len(finished), faults)
    return time_units(found, [task.duration_s for task in finished if isinstance(task, Visit)], late_s)


def close_tunnels(deadline_s: float) -> Outcome:
    """Close all that are open. It takes no time worth a deadline; every command gets one."""
    began = time.monotonic()
    for tunnel in _open:
        tunnel.socket.close()
    closed = len(_open)
    _open.clear()
    return Outcome.since(began, closed, Counter())


def _count_not_begun(left: Iterator[Tunnel], faults: Counter[str]) -> None:
    """Those that had no turn before all was given up are wrong too."""
    for tunnel in left:
        tunnel.socket.close()
        faults["not begun"] += 1


def _begun(tasks: Iterator[Opening | PingPong | Visit], faults: Counter[str]) -> Iterator[Task]:
    """The tasks that could begin, each begun when it is asked for; the others are counted."""
    for task in tasks:
        try:
            task.begin()
        except (OSError, FaultError) as error:
            faults[fault_kind(error)] += 1
            faults.update(task.faults())
            task.tunnel.socket.close()
        else:
            yield task


if __name__ == "__main__":
    answer_commands({"open": open_tunnels, "exchange": exchange, "ping": ping, "visit": visit, "close": close_tunnels})
