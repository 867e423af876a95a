"""A run on a terminal: what is being measured now, how long it may still take, and each figure as it comes."""

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fingerpost.bench.rounds import Step, take
from fingerpost.bench.run import Run, Sample
from fingerpost.bench.stage import Conditions

_SHOWN = {
    "seconds": "{:.3g} s",
    "cpu_us": "CPU {:.3g} µs/{unit}",
    "cpu_s_per_gb": "CPU {:.3g} s/GB",
    "kib_per_tunnel": "{:.3g} KiB/tunnel",
    "per_s": "{:,.0f} {unit}s/s",
    "p99_us": "p99 {:,.0f} µs",
}


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
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=True),
        BarColumn(bar_width=12),
        TextColumn("{task.description}"),
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
    return " ".join(filter(None, (f"#{step.round}", asked.name, step.point, step.peer.name)))


def _line(step: Step, sample: Sample) -> str:
    if not sample.sound:
        wrong = sample.failure or ", ".join(f"{count:,} x {kind}" for kind, count in sample.faults.items())
        return f"{_place(step)}: {sample.verdict or 'failed'}: {wrong}"
    shown = [sample.verdict]
    for name, wanted in _SHOWN.items():
        if name in sample.figures:
            shown.append(wanted.format(sample.figures[name], unit=step.experiment.asked.unit_of_work))
    return f"{_place(step)}: {', '.join(filter(None, shown))}"
