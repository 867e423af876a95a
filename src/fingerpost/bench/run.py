"""A run as data: what was asked, where it ran, every sample; written to and read from ``run.json``.

Everything that is printed, plotted or compared is made from this, so saved runs can be shown again.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fingerpost.bench.errors import BenchError

FORMAT = 1
FILE_NAME = "run.json"


@dataclass(frozen=True, slots=True)
class Figure:
    """A kind of number that a sample may hold.

    Attributes:
        name: Its key, with the unit at the end (``exchange_s``); the part after the last ``_`` is that unit.
        title: For people, without the unit.
        unit: For people.
    """

    name: str
    title: str
    unit: str


FIGURES = {
    figure.name: figure
    for figure in (
        Figure("seconds", "time in all", "s"),
        Figure("open_s", "time to open all", "s"),
        Figure("exchange_s", "time to exchange all", "s"),
        Figure("longest_wait_s", "longest time that a client waited for its next byte", "s"),
        Figure("tcp_pressure_s", "time that the kernel was short of memory for TCP", "s"),
        Figure("done", "units done and checked", ""),
        Figure("expected", "units asked for", ""),
        Figure("per_s", "rate", "/s"),
        Figure("cpu_us", "relay's CPU per unit", "µs"),
        Figure("cpu_s_per_gb", "relay's CPU per GB", "s/GB"),
        Figure("relay_cpu_s", "relay's CPU, all its processes", "s"),
        Figure("relay_busy", "relay's CPU per second of the run", "cores"),
        Figure("supervisor_cpu_s", "of which in its first process, if that has others", "s"),
        Figure("load_cpu_s", "load's CPU", "s"),
        Figure("load_busy", "load's CPU, of the CPUs that it may use", "share"),
        Figure("peak_rss_mib", "relay's peak memory, all its processes", "MiB"),
        Figure("p50_us", "latency, median", "µs"),
        Figure("p90_us", "latency, 90th percentile", "µs"),
        Figure("p99_us", "latency, 99th percentile", "µs"),
        Figure("max_us", "latency, longest", "µs"),
        Figure("late", "answers later than the bound", ""),
        Figure("lost", "units lost", ""),
        Figure("kib_per_tunnel", "private memory per idle tunnel", "KiB"),
    )
}
"""All figures by name."""

ALL, SOME_LOST, RELAY_FAILED = "all exchanged", "some lost", "relay failed"
"""What became of a step of the capacity experiment."""

NOT_MEASURED = "not measured"
"""A step that the benchmark could not take, which says nothing of the relay."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One experiment as it was asked for.

    Attributes:
        name: ``servers``, ``requests``, ….
        title: For people.
        unit_of_work: What is counted as done: ``message``, ``request``, ``tunnel``, ``byte``, ….
        main: The figure that decides; a name in `FIGURES`. Less is better.
        axis: What the points' numbers are (``servers``, ``clients per server``); empty if points are variants.
        points: Their names in order: ``50``, ``75``, … on an axis, else ``varied``, ``identical``, …
        parameters: What holds for all points.
    """

    name: str
    title: str
    unit_of_work: str
    main: str
    axis: str
    points: tuple[str, ...]
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one peer yielded at one point in one round.

    Attributes:
        figures: By name; a sample with faults has them too, but they say nothing.
        faults: What the clients found wrong, how often, by kind: ``lost``, ``altered``, ….
        failure: Why it could not be measured at all, or None.
        verdict: In ``capacity``: `ALL`, `SOME_LOST` or `RELAY_FAILED`. Empty elsewhere.
        said: The last lines of what the relay itself said, where something went wrong.
    """

    experiment: str
    point: str
    round: int
    peer: str
    figures: dict[str, float] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    failure: str | None = None
    verdict: str = ""
    said: str = ""

    @property
    def sound(self) -> bool:
        """Whether its figures may be used: it could be measured, and every byte was right."""
        return self.failure is None and not self.faults


@dataclass(slots=True)
class Run:
    """A run, whole or as far as it came.

    Attributes:
        context: Where, when and how: date, command, commit, cpu, cores, kernel, versions, peers (name to version, or
            ``missing: why``), rounds, pinning. Values are strings, numbers, or dicts of them.
        asked: The experiments.
        samples: In the order in which they were taken.
        interrupted: Whether it was ended before the last.
    """

    context: dict[str, Any]
    asked: list[Asked]
    samples: list[Sample] = field(default_factory=list)
    interrupted: bool = False

    def of(self, experiment: str) -> list[Sample]:
        """The samples of one experiment."""
        return [sample for sample in self.samples if sample.experiment == experiment]

    def save(self, folder: Path) -> None:
        """Write ``run.json``; a reader sees the old one or the new one, never half of one."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False) + "\n"
        unfinished = folder / f".{FILE_NAME}.new"
        unfinished.write_text(text)
        unfinished.replace(folder / FILE_NAME)


def load(place: Path) -> Run:
    """Read a run back.

    Args:
        place: The folder of results, or the file.

    Raises:
        BenchError: There is none, or it is of another format.
    """
    file = place / FILE_NAME if place.is_dir() else place
    try:
        data = json.loads(file.read_text())
        if data["format"] != FORMAT:
            raise BenchError(f"{file}: format {data['format']!r} where {FORMAT} is known; measure again")
        return Run(
            data["context"],
            [Asked(**{**asked, "points": tuple(asked["points"])}) for asked in data["asked"]],
            [Sample(**sample) for sample in data["samples"]],
            data["interrupted"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(f"{file}: no run of `fingerpost bench` can be read from it: {error}") from error
