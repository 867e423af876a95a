"""Two runs against each other: figure by figure, and by their ratio to a peer that both have.

Absolute figures of two runs drift with the machine, so wherever both runs have a peer to hold fingerpost to, it is
the ratio to that peer that decides whether something got worse. What was measured under other conditions isn't
compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fingerpost.bench.results import wording
from fingerpost.bench.results.sheets import Cell, Sheet
from fingerpost.bench.results.summary import US, Row, Spread, Summary, asked_by_name, is_ours, peer_states
from fingerpost.bench.run import ALL, Asked, Run

if TYPE_CHECKING:
    from rich.console import Console

BASES = ("nginx", "haproxy", "direct", "go", "node")
"""To whom fingerpost is held, the first that both runs measured at the point."""

_CONDITIONS = ("cpu", "cores", "kernel", "virtualised", "governor", "access_log")
_OF_NO_MATTER = ("date", "command", "commit", "rounds", "peers", "pinned", "load_average", "tiny")

WITHIN, OUTSIDE, WORSE, BETTER, UNKNOWN = "within spread", "just outside", "worse", "better", "spread unknown"


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of one peer at one point, in both runs.

    Attributes:
        base: The peer to which both are ratios; empty for the figure itself.
        judged: Whether this is the change that decides about its figure.
    """

    experiment: str
    point: str
    peer: str
    figure: str
    base: str
    old: Spread
    new: Spread
    judged: bool

    @property
    def fraction(self) -> float | None:
        """The medians' change: 0.1 is a tenth more. None where the old one is 0."""
        return self.new.median / self.old.median - 1 if self.old.median else None

    @property
    def says(self) -> str:
        """What can be said of it.

        Two times three rounds of the very same thing fail to overlap once in ten, and a run has dozens of figures. So a
        change counts only where the gap between the ranges is wider than both ranges together: once in a hundred.
        """
        if self.old.count < 2 or self.new.count < 2:
            return UNKNOWN
        gap = max(self.old.lowest - self.new.highest, self.new.lowest - self.old.highest)
        if gap <= 0:
            return WITHIN
        if gap <= self.old.width + self.new.width:
            return OUTSIDE
        return WORSE if self.new.median > self.old.median else BETTER


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it.

    Attributes:
        differences: What is not the same in both runs' context, as sentences.
        not_compared: What was left out and why, as sentences.
        changes: In the new run's order.
        broken: What was sound in the old run and isn't in the new, of fingerpost, as sentences.
    """

    differences: tuple[str, ...]
    not_compared: tuple[str, ...]
    changes: tuple[Change, ...]
    broken: tuple[str, ...]

    @property
    def judged(self) -> list[Change]:
        """The changes of fingerpost that decide; with none of them and nothing broken, nothing can be said."""
        return [change for change in self.changes if change.judged and change.peer == US and change.says != UNKNOWN]

    @property
    def worse(self) -> bool:
        """Whether anything of fingerpost got worse beyond the spread, or broke."""
        return bool(self.broken) or any(change.says == WORSE for change in self.judged)

    def print(self, console: Console) -> None:
        """Print it as tables."""
        from rich.text import Text

        from fingerpost.bench.results.tables import print_sheet

        for sentence in self.differences:
            console.print(Text(sentence, style="yellow"))
        for sentence in self.not_compared:
            console.print(Text(f"Not compared: {sentence}", style="yellow"))
        for sheet in _sheets(self.changes):
            print_sheet(console, sheet)
        console.print()
        for sentence in self.broken:
            console.print(Text(sentence, style="bold red"))
        console.print(Text(self.verdict, style="bold red" if self.worse else "bold"))

    @property
    def verdict(self) -> str:
        """The whole in one sentence."""
        worse = [change for change in self.judged if change.says == WORSE]
        if worse:
            places = dict.fromkeys(wording.place(change.experiment, change.point) for change in worse)
            return f"{US} got worse beyond the spread: {wording.listed(list(places))}."
        if self.broken:
            return f"{US} got worse: what was sound no longer is."
        if not self.judged:
            return f"Nothing can be said about {US}: no figure that both runs have with two rounds or more."
        return f"{US} got no worse beyond the spread."

    def as_json(self) -> dict[str, Any]:
        """All of it as data."""
        changes = [asdict(change) | {"fraction": change.fraction, "says": change.says} for change in self.changes]
        return {
            "worse": self.worse,
            "verdict": self.verdict,
            "differences": list(self.differences),
            "not_compared": list(self.not_compared),
            "broken": list(self.broken),
            "changes": changes,
        }


def compare(old: Run, new: Run) -> Comparison:
    """Hold a new run against an old one."""
    before, after = Summary(old), Summary(new)
    alike = all(old.context.get(name) == new.context.get(name) for name in _CONDITIONS)
    changed = _other_versions(old, new)
    not_compared = [f"{peer}, which is {why}" for peer, why in changed.items()]
    if not alike:
        not_compared.append(
            "figures by themselves, since the machine or the conditions are others; ratios are shown and decide nothing"
        )
    changes: list[Change] = []
    broken: list[str] = []
    for name, asked in asked_by_name(new).items():
        was = asked_by_name(old).get(name)
        if was is None:
            not_compared.append(f"{name}, which only the new run has")
        elif _pinned(old, name) != _pinned(new, name):
            not_compared.append(
                f"{name}, since relay and load had other CPUs: {_pinned(old, name)} → {_pinned(new, name)}"
            )
        elif was.parameters != asked.parameters or was.main != asked.main:
            not_compared.append(f"{name}, since its parameters differ: {_difference(was.parameters, asked.parameters)}")
        else:
            gone = [point for point in was.points if point not in asked.points]
            gone += [point for point in asked.points if _only_old(before, after, name, point)]
            if gone:
                points = dict.fromkeys((*was.points, *asked.points))
                not_compared.append(f"{name} at {wording.stretches(gone, list(points))}, which only the old run has")
            changes += _changes(before, after, asked, set(changed), alike)
            broken += _broken(before, after, asked)
    not_compared += [
        f"{name}, which only the old run has" for name in asked_by_name(old) if name not in asked_by_name(new)
    ]
    return Comparison(tuple(_differences(old, new)), tuple(not_compared), tuple(changes), tuple(broken))


def _pinned(run: Run, experiment: str) -> str:
    pinned = run.context.get("pinned")
    return str(pinned.get(experiment, "any for all")) if isinstance(pinned, dict) else "unknown"


def _only_old(before: Summary, after: Summary, name: str, point: str) -> bool:
    """Whether only the old run has anything of ours there: the new one was interrupted before it."""
    return before.row(name, point, US) is not None and after.row(name, point, US) is None


def _changes(before: Summary, after: Summary, asked: Asked, changed: set[str], alike: bool) -> Iterator[Change]:
    figures = list(dict.fromkeys((asked.main, "cpu_us"))) if asked.main != "lost" else []
    for point in asked.points:
        for peer in after.peers(asked.name):
            old, new = before.row(asked.name, point, peer), after.row(asked.name, point, peer)
            if old is None or new is None or peer in changed:
                continue
            for figure in figures:
                yield from _change(before, after, old, new, figure, changed, alike)


def _change(
    before: Summary, after: Summary, old: Row, new: Row, figure: str, changed: set[str], alike: bool
) -> Iterator[Change]:
    place = (new.experiment, new.point, new.peer, figure)
    based = None
    for base in BASES:
        if base not in (new.peer, *changed):
            was = before.ratio(*place[:3], base, figure)
            now = after.ratio(*place[:3], base, figure)
            if was and now:
                based = Change(*place, base, was, now, judged=alike)
                break
    if alike and figure in old.figures and figure in new.figures:
        yield Change(*place, "", old.figures[figure], new.figures[figure], judged=based is None)
    if based:
        yield based


def _broken(before: Summary, after: Summary, asked: Asked) -> Iterator[str]:
    """Fingerpost's points that were sound in the old run and aren't in the new one."""
    for point in asked.points:
        old, new = before.row(asked.name, point, US), after.row(asked.name, point, US)
        if old and new and old.sound and not new.sound:
            was = f"{wording.place(asked.name, point)}: was sound"
            what = wording.wrong([new]) or (new.verdict if new.verdict != ALL else "")
            yield f"{was}, is now: {what}"


def _other_versions(old: Run, new: Run) -> dict[str, str]:
    """The other peers whose version changed: what they need is no yardstick. Fingerpost's is what one compares."""
    was, now = peer_states(old), peer_states(new)
    both = [peer for peer in now if peer in was and not is_ours(peer) and was[peer] != now[peer]]
    return {peer: f"{was[peer]} in the old run and {now[peer]} in the new" for peer in both}


def _differences(old: Run, new: Run) -> Iterator[str]:
    names = dict.fromkeys((*old.context, *new.context))
    for name in names:
        was, now = old.context.get(name), new.context.get(name)
        if name not in _OF_NO_MATTER and was != now:
            yield f"Other {name.replace('_', ' ')}: {_difference(was, now)}"
    ours = [state.get(US) for state in (peer_states(old), peer_states(new))]
    if ours[0] != ours[1]:
        yield f"Other {US}: {ours[0]} → {ours[1]}"


def _difference(was: object, now: object) -> str:
    if isinstance(was, dict) and isinstance(now, dict):
        names = [name for name in dict.fromkeys((*was, *now)) if was.get(name) != now.get(name)]
        return ", ".join(f"{name} {was.get(name)} → {now.get(name)}" for name in names)
    return f"{was} → {now}"


def _sheets(changes: tuple[Change, ...]) -> Iterator[Sheet]:
    """One for each experiment. The other peers' ratios are left to `Comparison.as_json`: here they would bury ours."""
    tones = {WORSE: "bad", BETTER: "good", OUTSIDE: "warn", WITHIN: "dim", UNKNOWN: "dim"}
    for experiment in dict.fromkeys(change.experiment for change in changes):
        rows = []
        last = ("", "")
        for change in changes:
            if change.experiment == experiment and (change.peer == US or not change.base):
                where = (change.point, change.peer)
                point = "" if where[0] == last[0] else where[0]
                cells = [Cell(point), Cell("" if where == last else change.peer)]
                cells += [Cell(f"{wording.OVER} {change.base}" if change.base else wording.title(change.figure))]
                cells += [Cell(_told(spread)) for spread in (change.old, change.new)]
                cells += [Cell("" if change.fraction is None else f"{change.fraction:+.1%}")]
                rows.append((*cells, Cell(change.says, tone=tones[change.says])))
                last = where
        if rows:
            columns = ("point", "peer", "figure", "old", "new", "change", "says")
            yield Sheet(experiment, columns, rows, labels=3)


def _told(spread: Spread) -> str:
    return " ".join(
        filter(None, (wording.number(spread.median), f"({wording.span(spread)})" if spread.count > 1 else ""))
    )
