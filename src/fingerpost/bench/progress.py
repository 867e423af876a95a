"""A run on a terminal: what is being measured now, how long it may still take, and each figure as it comes."""

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fingerpost.bench.rounds import Step, take
from fingerpost.bench.run import FIGURES, Run, Sample
from fingerpost.bench.stage import Conditions


def measure(
    console: Console, steps: Sequence[Step], conditions: Conditions, run: Run, save: Callable[[Run], None]
) -> None:
    """Take all samples into the run, and save it after each; an interruption is written down in it.

    Args:
        console: Where to show how it goes.
        steps: What to take, in this order.
        conditions: For all of them.
        run: Gets the samples.
        save: Called after each, so that nothing that was measured can be lost.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console, transient=True, speed_estimate_period=600) as progress:
        task = progress.add_task("", total=len(steps))
        try:
            for step in steps:
                progress.update(task, description=_place(step))
                sample = take(step, conditions)
                run.samples.append(sample)
                save(run)
                progress.console.print(_line(step, sample), highlight=False, markup=False)
                progress.advance(task)
        except KeyboardInterrupt:
            run.interrupted = True
            save(run)


def _place(step: Step) -> str:
    asked = step.experiment.asked
    point = f"{asked.axis}={step.point}" if asked.axis else step.point
    return " ".join(filter(None, (f"round {step.round}", asked.name, point, step.peer.name)))


def _line(step: Step, sample: Sample) -> str:
    if not sample.sound:
        wrong = sample.failure or ", ".join(f"{count:,} x {kind}" for kind, count in sample.faults.items())
        return f"{_place(step)}: {sample.verdict or 'failed'}: {wrong}"
    names = dict.fromkeys((step.experiment.asked.main, "seconds", "cpu_us", "per_s", "p99_us"))
    shown = [f"{sample.figures[name]:,.4g} {FIGURES[name].unit}".strip() for name in names if name in sample.figures]
    return f"{_place(step)}: {', '.join(filter(None, (sample.verdict, *shown)))}"
