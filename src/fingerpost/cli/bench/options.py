"""The options that all experiments share, and what they say: who is measured, how often, where, and what is shown."""

import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from fingerpost.bench.stage import Conditions

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SPAN = re.compile(r"(\d+)-(\d+)/(\d+)")

DEFAULT_ROUNDS = 3


class Numbers(click.ParamType["tuple[int, ...]"]):
    """``50,75,100``, or ``50-275/25`` for every 25th from 50 to 275, or both."""

    name = "numbers"

    def __init__(self, lowest: int = 1, highest: int = 1_000_000) -> None:
        self._lowest, self._highest = lowest, highest

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """All the numbers, in order, each once."""
        if isinstance(value, tuple):
            return value
        found: list[int] = []
        for part in str(value).split(","):
            if span := _SPAN.fullmatch(part.strip()):
                first, last, step = map(int, span.groups())
                if not step or first > last:
                    self.fail(f"{part.strip()!r} leads nowhere", param, ctx)
                found += range(first, min(last, self._highest + 1) + 1, step)
            elif part.strip().isdecimal():
                found.append(int(part))
            else:
                self.fail(f"{value!r} is not like 50,75,100 or 50-275/25", param, ctx)
        if not found:
            self.fail(f"{value!r} holds no number", param, ctx)
        for number in found:
            if not self._lowest <= number <= self._highest:
                self.fail(f"{number} is not from {self._lowest} to {self._highest}", param, ctx)
        return tuple(sorted(set(found)))


class Number(click.FloatRange):
    """A number within bounds, which what is not a number is not."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """The number."""
        found = float(super().convert(value, param, ctx))
        if math.isnan(found):
            self.fail(f"{value!r} is not a number", param, ctx)
        return found


class CpuList(click.ParamType["tuple[int, ...]"]):
    """``0`` or ``1,2,3`` or ``2-5``: CPUs of this machine that this process may use."""

    name = "cpus"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The CPUs' numbers."""
        if isinstance(value, tuple):
            return value
        found: set[int] = set()
        for part in str(value).split(","):
            first, _, last = part.partition("-")
            if not first.isdecimal() or not (last or first).isdecimal():
                self.fail(f"{value!r} is not like 0 or 1,2,3 or 2-5", param, ctx)
            found |= set(range(int(first), int(last or first) + 1))
        usable = os.sched_getaffinity(0)
        if not found <= usable:
            self.fail(f"{value!r}: this process may use {','.join(map(str, sorted(usable)))}", param, ctx)
        return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the shared options say."""

    peers: tuple[str, ...]
    rounds: int
    access_log: bool
    workers: int
    pin: bool | None
    relay_cpus: tuple[int, ...]
    load_cpus: tuple[int, ...]
    load_processes: int | None
    first_port: int | None
    deadline: float
    late: float
    output: Path | None
    json: bool

    def conditions(self) -> "Conditions":
        """For the measurement.

        Raises:
            click.UsageError: Relay and load shall share a CPU.
        """
        from fingerpost.bench.needs import Ports
        from fingerpost.bench.stage import Conditions, Cpus

        cpus = None  # as each experiment has it
        if self.pin is not None:
            cpus = Cpus.split() if self.pin else Cpus()
        if self.relay_cpus or self.load_cpus:
            usable = os.sched_getaffinity(0)
            relay = set(self.relay_cpus) or usable - set(self.load_cpus)
            load = set(self.load_cpus) or usable - relay
            if not relay or not load or relay & load:
                raise click.UsageError("--relay-cpus and --load-cpus must leave each other at least one CPU")
            cpus = Cpus(tuple(sorted(relay)), tuple(sorted(load)))
        return Conditions(
            cpus=cpus,
            access_log=self.access_log,
            workers=self.workers,
            load_processes=self.load_processes or 0,
            ports=Ports() if self.first_port is None else Ports(self.first_port, exact=True),
            deadline_s=self.deadline,
            silence_s=min(15.0, self.deadline),
            late_s=self.late / 1000,
        )


_OPTIONS: Iterable[Callable[[_Command], _Command]] = (
    click.option(
        "--peer",
        "peers",
        multiple=True,
        metavar="NAME|NAME=COMMAND",
        help="Just this relay (repeatable); see fingerpost bench peers. NAME=COMMAND is any other one that speaks the "
        "legacy labels on a port; {port}, {key}, {key_file} and {folder} in it are filled in.  [default: all]",
    ),
    click.option(
        "--rounds",
        type=click.IntRange(1, 100),
        default=DEFAULT_ROUNDS,
        show_default=True,
        help="How often each peer has its turn at each point.",
    ),
    click.option("--access-log", is_flag=True, help="Access log on, for every peer that has one.  [default: off]"),
    click.option(
        "--workers",
        type=click.IntRange(1, 256),
        default=1,
        show_default=True,
        help="Workers or threads of nginx, HAProxy, Go and Node.js; fingerpost's are in its peers' names.",
    ),
    click.option(
        "--pin/--no-pin",
        default=None,
        help="Relay on the first CPU, load on the others.  [default: where that leaves enough of them for the load]",
    ),
    click.option("--relay-cpus", type=CpuList(), default=(), help="CPUs of the relay, instead of the first."),
    click.option("--load-cpus", type=CpuList(), default=(), help="CPUs of the load, instead of the others."),
    click.option(
        "--load-processes",
        type=click.IntRange(1, 256),
        help="Processes of clients, and as many of apps; more where descriptors need them.  "
        "[default: one for each of the load's CPUs]",
    ),
    click.option(
        "--first-port",
        type=click.IntRange(1024, 65535),
        help="The apps listen on just the ports from this one on.  [default: free ones from 13001 on]",
    ),
    click.option(
        "--deadline",
        type=Number(1, 3600),
        default=120,
        show_default=True,
        help="Seconds for each phase of a measurement; then what is missing counts as lost.",
    ),
    click.option(
        "--late",
        type=Number(0.01, 3_600_000),
        default=100,
        show_default=True,
        help="Milliseconds after which an answer counts as late, where each is timed.",
    ),
    click.option(
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder for the results; it must not hold any yet.  [default: results/DATE-NAME]",
    ),
    click.option("--json", is_flag=True, help="Print the whole run as JSON, and what is going on to standard error."),
)


def run_options(command: _Command) -> _Command:
    """Give a command the shared options."""
    for option in reversed(list(_OPTIONS)):
        command = option(command)
    return command
