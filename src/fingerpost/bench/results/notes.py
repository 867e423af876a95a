"""The sentences under a table: who is missing, what went wrong, and where the load was the bottleneck."""

import re
from dataclasses import dataclass

from fingerpost.bench.results import capacity, wording
from fingerpost.bench.results.summary import Row, Summary, missing_peers
from fingerpost.bench.run import Asked, Run

_BUSY = 0.9
"""From this share on, more than nothing is left only by chance."""

_PRESSED_S = 0.1
"""So long without memory for TCP can be seen in the time of a sample."""

_PINNED = re.compile(r"([\d,]+) for the relay")


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence.

    Attributes:
        tone: ``bad`` for what went wrong, ``warn`` for what a reader must know, ``dim`` for what was left out.
        said: The relay's own last words about it, as it wrote them; may be empty.
    """

    text: str
    tone: str
    said: str = ""


def of(summary: Summary, asked: Asked) -> list[Note]:
    """What belongs under the tables of an experiment."""
    return [
        *_wrong(summary, asked),
        *_bottlenecks(summary, asked),
        *_pressed(summary, asked),
        *_unfinished(summary, asked),
    ]


def missing(run: Run) -> list[Note]:
    """The peers that could not be measured here."""
    return [Note(f"{name} is missing: {why}", "warn") for name, why in missing_peers(run).items()]


@dataclass(frozen=True, slots=True)
class Places:
    """Which CPUs there were for relay and load in one experiment.

    Attributes:
        relay: How many the relay could use.
        shared: Of how many in all, if the load could use the same ones; 0 if each had its own.
    """

    relay: int = 1
    shared: int = 0


def places(run: Run, experiment: str) -> Places:
    """As the run's context has it: ``0 for the relay, 1 for the load``, or anything else where nothing was pinned."""
    pinned = run.context.get("pinned")
    told = pinned.get(experiment) if isinstance(pinned, dict) else None
    own = _PINNED.match(str(told))
    # Unpinned, a relay could use them all, but most of those here have one thread.
    return Places(len(own[1].split(","))) if own else Places(1, int(run.context.get("cores", 1)))


def load_bound(row: Row, where: Places) -> bool:
    """Whether the load had no more to give while the relay had: then time says little about the relay."""
    load, relay = row.median("load_busy"), row.median("relay_busy")
    if load is None or relay is None or relay >= _BUSY * where.relay:
        return False
    return load + relay / where.shared >= _BUSY if where.shared else load >= _BUSY


def _wrong(summary: Summary, asked: Asked) -> list[Note]:
    """One note for each peer and kind of trouble, over all points at which it had that trouble."""
    troubled = [row for row in summary.rows(asked.name) if not row.sound]
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in troubled:
        groups.setdefault((row.peer, row.verdict, tuple(sorted(row.faults)), row.failures), []).append(row)
    notes = []
    for rows in groups.values():
        at = wording.stretches([row.point for row in rows], asked.points)
        what = ": ".join(filter(None, (rows[0].verdict, wording.wrong(rows))))
        said = next((text for row in rows for text in row.said), "")
        notes.append(Note(f"{rows[0].peer}{f' at {at}' if at else ''}: {what}", "bad", said))
    return notes


def _bottlenecks(summary: Summary, asked: Asked) -> list[Note]:
    where = places(summary.run, asked.name)
    by_peer: dict[str, list[str]] = {}
    for row in summary.rows(asked.name):
        if load_bound(row, where):
            by_peer.setdefault(row.peer, []).append(row.point)
    if not by_peer or capacity.is_capacity(asked):
        return []
    everywhere = set(summary.points(asked))
    parts = []
    for peer, points in by_peer.items():
        at = "" if set(points) == everywhere else wording.stretches(points, asked.points)
        parts.append(f"{peer} (at {at})" if at else peer)
    figure = wording.title("cpu_s_per_gb" if asked.main == "cpu_s_per_gb" else "cpu_us", asked)
    cpus = "the CPUs that it shares with the relay" if where.shared else "its CPUs"
    text = (
        f"The load was the bottleneck for {wording.listed(parts)}: it kept {cpus} busy while the relay had time left."
    )
    return [Note(f"{text} There {figure} is the figure to read, not the time.", "warn")]


def _pressed(summary: Summary, asked: Asked) -> list[Note]:
    """Where the kernel had no more memory for what nobody had read yet."""
    by_peer: dict[str, list[Row]] = {}
    for row in summary.rows(asked.name):
        if (row.median("tcp_pressure_s") or 0.0) >= _PRESSED_S:
            by_peer.setdefault(row.peer, []).append(row)
    parts = []
    for peer, rows in by_peer.items():
        longest = max(row.median("tcp_pressure_s") or 0.0 for row in rows)
        at = wording.stretches([row.point for row in rows], asked.points)
        parts.append(f"{peer} ({longest:.1f} s{f' at {at}' if at else ''})")
    if not parts:
        return []
    text = (
        f"The kernel was short of memory for TCP (net.ipv4.tcp_mem) with {wording.listed(parts)}. What it drops then "
        "is sent again after time-outs, for which all wait: it tells how much unread a relay leaves with the kernel."
    )
    return [Note(text, "warn")]


def _unfinished(summary: Summary, asked: Asked) -> list[Note]:
    if not summary.run.interrupted:
        return []
    left = [point for point in asked.points if point not in summary.points(asked)]
    if not summary.rows(asked.name):
        return [Note(f"The run was interrupted before {asked.name} began.", "warn")]
    at = f": nothing was measured at {wording.stretches(left, asked.points)}" if left else ""
    return [Note(f"The run was interrupted{at}.", "warn")]
