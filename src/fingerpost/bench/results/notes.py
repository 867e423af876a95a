"""The sentences under a table: who is missing, what went wrong, and where the load was the bottleneck."""

from dataclasses import dataclass

from fingerpost.bench.results import capacity, wording
from fingerpost.bench.results.summary import Row, Summary, missing_peers
from fingerpost.bench.run import Asked, Run

_BUSY = 0.9
"""From this share on, more than nothing is left only by chance."""


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
    return [*_wrong(summary, asked), *_bottlenecks(summary, asked), *_unfinished(summary, asked)]


def missing(run: Run) -> list[Note]:
    """The peers that could not be measured here."""
    return [Note(f"{name} is missing: {why}", "warn") for name, why in missing_peers(run).items()]


def load_bound(row: Row, relay_cores: int) -> bool:
    """Whether the load had no more to give while the relay had: then time says little about the relay."""
    load, relay = row.median("load_busy"), row.median("relay_busy")
    return load is not None and relay is not None and load >= _BUSY and relay < _BUSY * relay_cores


def relay_cores(run: Run) -> int:
    """How many CPUs the relay was pinned to; 1 where it wasn't, since most relays here have one thread."""
    pinned = run.context.get("pinned")
    cpus = pinned.get("relay") if isinstance(pinned, dict) else None
    if isinstance(cpus, str):
        return len(cpus.split(","))
    return max(1, len(cpus)) if isinstance(cpus, (list, tuple)) else 1


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
    cores = relay_cores(summary.run)
    by_peer: dict[str, list[str]] = {}
    for row in summary.rows(asked.name):
        if load_bound(row, cores):
            by_peer.setdefault(row.peer, []).append(row.point)
    if not by_peer or capacity.is_capacity(asked):
        return []
    everywhere = set(summary.points(asked))
    parts = []
    for peer, points in by_peer.items():
        at = "" if set(points) == everywhere else wording.stretches(points, asked.points)
        parts.append(f"{peer} (at {at})" if at else peer)
    figure = f"CPU per {asked.unit_of_work}"
    text = f"The load was the bottleneck for {wording.listed(parts)}: it was busy while the relay still had time left."
    return [Note(f"{text} There {figure} is the figure to read, not the time.", "warn")]


def _unfinished(summary: Summary, asked: Asked) -> list[Note]:
    if not summary.run.interrupted:
        return []
    left = [point for point in asked.points if point not in summary.points(asked)]
    if not summary.rows(asked.name):
        return [Note(f"The run was interrupted before {asked.name} began.", "warn")]
    at = f": nothing was measured at {wording.stretches(left, asked.points)}" if left else ""
    return [Note(f"The run was interrupted{at}.", "warn")]
