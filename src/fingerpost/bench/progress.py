"""A run on a terminal: what is being measured now, and each figure as it comes."""

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fingerpost.bench.peers import Peer
from fingerpost.bench.rounds import Sample, Step, all_steps, take
from fingerpost.bench.works import Conditions, Work


def run(
    console: Console, works: Sequence[Work], peers: Sequence[Peer], conditions: Conditions, rounds: int
) -> tuple[list[Sample], bool]:
    """Take all samples; return them, and whether the run was interrupted before the last."""
    steps = all_steps(works, peers, rounds)
    samples: list[Sample] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(steps))
        try:
            for step in steps:
                progress.update(task, description=_place(step))
                sample = take(step, conditions)
                samples.append(sample)
                progress.console.print(_line(step, sample), highlight=False, markup=False)
                progress.advance(task)
        except KeyboardInterrupt:
            return samples, True
    return samples, False


def _place(step: Step) -> str:
    return " ".join(filter(None, (f"{step.round:2d}", step.work.name, step.variant, step.peer.name)))


def _line(step: Step, sample: Sample) -> str:
    if not sample.sound:
        return f"{_place(step)}: failed: {sample.failure or sample.faults}"
    value = "" if sample.value is None else f"{sample.value:.3g} {step.work.unit}"
    rate = f"{sample.details['per_s']:,.0f}/s" if "per_s" in sample.details else ""
    return f"{_place(step)}: {', '.join(filter(None, (value, rate)))}"
