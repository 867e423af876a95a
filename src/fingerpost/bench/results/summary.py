"""From samples to rows: medians with their range, what went wrong, and ratios taken within a round."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from fingerpost.bench.run import ALL, NOT_MEASURED, RELAY_FAILED, SOME_LOST, Asked, Run, Sample

US = "fingerpost"


def is_ours(peer: str) -> bool:
    """Whether a peer is fingerpost, with however many workers."""
    return peer == US or peer.startswith(f"{US}-")


_WORST_LAST = (NOT_MEASURED, ALL, SOME_LOST, RELAY_FAILED)


@dataclass(frozen=True, slots=True)
class Spread:
    """What several rounds say about one figure.

    Attributes:
        count: How many rounds it comes from. With one, lowest and highest say nothing about how far figures scatter.
    """

    median: float
    lowest: float
    highest: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread | None":
        """The spread of the values; None without any."""
        found = list(values)
        return cls(median(found), min(found), max(found), len(found)) if found else None

    @property
    def width(self) -> float:
        """From lowest to highest."""
        return self.highest - self.lowest


@dataclass(frozen=True)
class Row:
    """All samples of one peer at one point of one experiment; what it says of figures is of the sound ones only."""

    experiment: str
    point: str
    peer: str
    samples: tuple[Sample, ...]

    @cached_property
    def figures(self) -> dict[str, Spread]:
        """Median, lowest and highest over the sound rounds, by the figure's name."""
        names = dict.fromkeys(name for sample in self.samples if sample.sound for name in sample.figures)
        spreads = {name: Spread.of(self.by_round(name).values()) for name in names}
        return {name: spread for name, spread in spreads.items() if spread}

    def by_round(self, figure: str) -> dict[int, float]:
        """The figure of each sound round that has it."""
        return {s.round: s.figures[figure] for s in self.samples if s.sound and figure in s.figures}

    def median(self, figure: str) -> float | None:
        """The figure's median; None where no sound round has it."""
        spread = self.figures.get(figure)
        return spread.median if spread else None

    @property
    def rounds(self) -> int:
        """How many rounds were measured, or tried."""
        return len(self.samples)

    @property
    def sound_rounds(self) -> int:
        """How many of them say something."""
        return sum(sample.sound for sample in self.samples)

    @cached_property
    def faults(self) -> dict[str, int]:
        """What the clients found wrong, over all rounds together."""
        found: Counter[str] = Counter()
        for sample in self.samples:
            found.update(sample.faults)
        return dict(found)

    @property
    def failures(self) -> tuple[str, ...]:
        """Why rounds could not be measured, each reason once."""
        return tuple(dict.fromkeys(sample.failure for sample in self.samples if sample.failure))

    @property
    def said(self) -> tuple[str, ...]:
        """What the relay itself said where something went wrong, each text once."""
        return tuple(dict.fromkeys(text for sample in self.samples if (text := sample.said.strip())))

    @cached_property
    def verdicts(self) -> dict[str, int]:
        """How many rounds ended in which verdict; empty where the experiment gives none."""
        return dict(Counter(sample.verdict for sample in self.samples if sample.verdict))

    @property
    def verdict(self) -> str:
        """The worst of them."""
        return max(self.verdicts, key=_WORST_LAST.index, default="")

    @property
    def lost(self) -> int:
        """How much was lost in the worst round, in units of work."""
        return max((_lost(sample) for sample in self.samples), default=0)

    @property
    def sound(self) -> bool:
        """Whether nothing at all went wrong in it."""
        return not self.faults and not self.failures and self.verdict in ("", ALL)


def _lost(sample: Sample) -> int:
    """What the clients counted as lost; else what is missing of what was asked for; else the number of faults."""
    figures = sample.figures
    if "lost" in figures:
        return round(figures["lost"])
    if "expected" in figures and "done" in figures:
        return max(0, round(figures["expected"] - figures["done"]))
    return sum(sample.faults.values())


class Summary:
    """A run by experiment, point and peer.

    Args:
        run: The run; it may be interrupted, or empty.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        groups: dict[tuple[str, str, str], list[Sample]] = {}
        for sample in run.samples:
            groups.setdefault((sample.experiment, sample.point, sample.peer), []).append(sample)
        self._rows = {place: Row(*place, tuple(group)) for place, group in groups.items()}

    def rows(self, experiment: str | None = None) -> list[Row]:
        """All rows, or those of one experiment, in the order in which they were first measured."""
        return [row for row in self._rows.values() if experiment in (None, row.experiment)]

    def row(self, experiment: str, point: str, peer: str) -> Row | None:
        """One row; None if nothing was measured there."""
        return self._rows.get((experiment, point, peer))

    def peers(self, experiment: str) -> list[str]:
        """Who was measured in it: in the run's order, fingerpost first."""
        found = dict.fromkeys(row.peer for row in self.rows(experiment))
        order = list(peer_states(self.run)) + list(found)
        return sorted(found, key=lambda peer: (not is_ours(peer), order.index(peer)))

    def points(self, asked: Asked) -> list[str]:
        """The points that were asked for and have at least one sample, in their order."""
        reached = {row.point for row in self.rows(asked.name)}
        return [point for point in asked.points if point in reached]

    def ratio(self, experiment: str, point: str, peer: str, base: str, figure: str) -> Spread | None:
        """`ratio` of two peers at one point; None if either wasn't measured there."""
        ours, theirs = self.row(experiment, point, peer), self.row(experiment, point, base)
        return ratio(ours, theirs, figure) if ours and theirs else None


def ratio(row: Row, base: Row, figure: str) -> Spread | None:
    """The median, lowest and highest of the ratios within each round: what slowed a whole round down cancels out.

    Only rounds count in which both are sound and have the figure; None without any.
    """
    below = base.by_round(figure)
    return Spread.of(value / below[number] for number, value in row.by_round(figure).items() if below.get(number))


def peer_states(run: Run) -> dict[str, str]:
    """Each peer's version, or ``missing: why``; empty if the run's context has none."""
    states = run.context.get("peers")
    return {str(name): str(state) for name, state in states.items()} if isinstance(states, dict) else {}


def missing_peers(run: Run) -> dict[str, str]:
    """Why each missing peer is missing."""
    return {
        name: state.removeprefix("missing:").strip()
        for name, state in peer_states(run).items()
        if state.startswith("missing")
    }


def asked_by_name(run: Run) -> dict[str, Asked]:
    """The run's experiments by name."""
    return {asked.name: asked for asked in run.asked}
