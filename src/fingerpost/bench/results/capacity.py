"""How far each peer came in the capacity experiment: bands of steps at which all, some or nothing was exchanged."""

import re
from dataclasses import dataclass

from fingerpost.bench.results.published import CAPACITY, TITLES, as_published
from fingerpost.bench.results.summary import Row, Summary
from fingerpost.bench.run import ALL, NOT_MEASURED, RELAY_FAILED, SOME_LOST, Asked

_TROUBLE = re.compile(
    r"too many|EMFILE|ENFILE|error|fatal|panic|out of|refused|cannot|can't|killed|fail", re.IGNORECASE
)
_MOST_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class Band:
    """Neighbouring steps with the same verdict.

    Attributes:
        above: Where it begins: the last step of the band before it, or 0.
        to: Its last step.
    """

    above: float
    to: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Reach:
    """How far one peer came.

    Attributes:
        all_to: The last step up to which every round of every step exchanged all; None if not even the first did.
        some_lost: The first step at which some was lost, None without one; ``failed`` likewise.
        why: What the first step that went wrong says.
    """

    peer: str
    bands: tuple[Band, ...]
    all_to: str | None
    some_lost: str | None
    failed: str | None
    why: str


def is_capacity(asked: Asked) -> bool:
    """Whether an experiment's steps end in verdicts."""
    return asked.name == "capacity"


def reach(summary: Summary, asked: Asked, peer: str) -> Reach:
    """How far the peer came, by the worst round of each step."""
    rows = [row for point in asked.points if (row := summary.row(asked.name, point, peer))]
    verdicts = [step_verdict(row) for row in rows]
    first = {verdict: row.point for row, verdict in reversed(list(zip(rows, verdicts, strict=True)))}
    bad = [row for row, verdict in zip(rows, verdicts, strict=True) if verdict != ALL]
    good = rows[: rows.index(bad[0])] if bad else rows
    return Reach(
        peer,
        tuple(_bands(rows, verdicts)),
        good[-1].point if good else None,
        first.get(SOME_LOST),
        first.get(RELAY_FAILED),
        reason(bad[0]) if bad else "",
    )


def published_reaches(asked: Asked) -> list[Reach]:
    """The published relays in the same form, as far as this run's steps go; none beside other parameters."""
    if not as_published(asked):
        return []
    most = max((float(point) for point in asked.points), default=0)
    found = []
    for relay, limits in CAPACITY.items():
        ends = ((ALL, limits.all_to), (SOME_LOST, limits.some_lost_to), (RELAY_FAILED, max(limits.failed_from, most)))
        bands = []
        above = 0.0
        for verdict, end in ends:
            if end > above:
                bands.append(Band(above, end, verdict))
                above = end
        lost = str(limits.some_lost_to) if limits.some_lost_to > limits.all_to else None
        found.append(Reach(TITLES[relay], tuple(bands), str(limits.all_to), lost, str(limits.failed_from), ""))
    return found


def reason(row: Row) -> str:
    """Why a step went wrong: what could not be measured, and what the relay said about it; empty if nobody said."""
    said = [_telling_line(text) for text in row.said]
    return "; ".join(dict.fromkeys([*row.failures, *said][:2]))


def _telling_line(said: str) -> str:
    """The line that names the trouble: the first that sounds like it, since stack traces follow; else the last."""
    lines = [line.strip() for line in said.splitlines()]
    return next((line for line in lines if _TROUBLE.search(line)), lines[-1])[:_MOST_CHARACTERS]


def step_verdict(row: Row) -> str:
    """The worst verdict of a step; one that could not be measured at all has none of its own."""
    if row.failures and not row.verdict:
        return NOT_MEASURED
    return row.verdict or (SOME_LOST if row.faults else ALL)


def _bands(rows: list[Row], verdicts: list[str]) -> list[Band]:
    bands: list[Band] = []
    above = 0.0
    for row, verdict in zip(rows, verdicts, strict=True):
        to = float(row.point)
        if bands and bands[-1].verdict == verdict:
            bands[-1] = Band(bands[-1].above, to, verdict)
        else:
            bands.append(Band(above, to, verdict))
        above = to
    return bands
