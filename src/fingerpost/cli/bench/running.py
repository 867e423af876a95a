"""How a run goes, from what was asked to results on the disk and on the terminal."""

import importlib.util
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from fingerpost.cli.bench.options import RunOptions
from fingerpost.errors import FingerpostError

if TYPE_CHECKING:
    from rich.console import Console

    from fingerpost.bench.experiments.experiment import Experiment
    from fingerpost.bench.peers import Peer
    from fingerpost.bench.run import Run

INTERRUPTED = 130
_CUSTOM_PEER = re.compile(r"^((?:--peer=)?[\w.-]+=)(?=.*\{port\}).*", re.DOTALL)


def require_extra() -> None:
    """Say what to install, before anything of it is imported.

    Raises:
        FingerpostError: Something that the benchmark needs isn't installed.
    """
    for module in ("numpy", "matplotlib"):
        if importlib.util.find_spec(module) is None:
            raise FingerpostError(f"bench: {module} is not installed: expected all of pip install 'fingerpost[bench]'")


def run(name: str, experiments: "Sequence[Experiment]", options: RunOptions) -> None:
    """Measure, save, show; exits with 1 if fingerpost did something wrong and with 130 if it was interrupted.

    Raises:
        BenchError: It can't be measured on this machine, or the folder is taken.
        click.UsageError: An option says what can't be.
    """
    require_extra()
    from rich.console import Console

    from fingerpost.bench import progress, rounds
    from fingerpost.bench.context import context
    from fingerpost.bench.results import files, tables
    from fingerpost.bench.run import Run

    console = Console(stderr=options.json)
    conditions = options.conditions()
    pinned = {one.name: str(conditions.cpus_for(one.shape(one.asked.points[0]))) for one in experiments}
    peers = _chosen(options.peers, experiments)
    rounds.check_all(experiments, conditions)
    folder = _folder(options.output, name)
    with _interruptible():
        states, present = _prepare(console, peers)
        about = context(
            states,
            rounds=options.rounds,
            pinned=pinned,
            command=_command_line(),
        )
        found = Run(
            about | {"access_log": options.access_log, "tiny": name == "quick"},
            [experiment.asked for experiment in experiments],
        )
        steps = rounds.all_steps(experiments, present, options.rounds)
        if not steps:
            said = "; ".join(f"{name}: {state}" for name, state in states.items())
            raise FingerpostError(f"bench: nothing to measure: expected a peer that is here and suits ({said})")
        try:
            progress.measure(console, steps, conditions, found, lambda now: now.save(folder))
        except OSError as error:  # that of a relay or the load costs a sample only
            console.print(f"Nothing more can be saved: {error}", style="red", highlight=False, markup=False)
    tables.print_run(console, found)
    if options.json:
        click.echo(json.dumps(asdict(found), ensure_ascii=False))
    try:
        files.write(found, folder)
    except OSError as error:
        raise FingerpostError(f"--output: {folder}: expected a folder that can be written to ({error})") from error
    console.print(f"Results: {folder}/ (report.html, run.json, *.csv, plots/)", highlight=False, markup=False)
    sys.exit(_status(found))


def _chosen(named: Sequence[str], experiments: "Sequence[Experiment]") -> "list[Peer]":
    """The peers that were named, or all.

    Raises:
        click.BadParameter: There is no such peer.
    """
    from fingerpost.bench.peers import known_peers, peer_named

    if not named:
        known = known_peers()
        return [peer for peer in known if any(peer in experiment.peers(known) for experiment in experiments)]
    try:
        peers = [peer_named(text) for text in named]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--peer") from error
    names = [peer.name for peer in peers]
    for peer_name in names:
        if names.count(peer_name) > 1:
            raise click.BadParameter(f"{peer_name} is named twice", param_hint="--peer")
    return peers


def _prepare(console: "Console", peers: "Sequence[Peer]") -> "tuple[dict[str, str], list[Peer]]":
    """Build what has to be built; return each peer's version or why it is missing, and those that are there."""
    from fingerpost.bench.errors import BenchError
    from fingerpost.bench.peers import default_cache

    states: dict[str, str] = {}
    present = []
    for peer in peers:
        reason = peer.missing()
        if reason is None:
            try:
                with console.status(f"preparing {peer.name}"):
                    peer.prepare(default_cache())
                    states[peer.name] = peer.version()
            except (BenchError, OSError, subprocess.SubprocessError) as error:
                reason = str(error)
        if reason is None:
            present.append(peer)
        else:
            states[peer.name] = f"missing: {reason}"
            console.print(f"{peer.name} is missing: {reason}", highlight=False, markup=False)
    return states, present


def _folder(wanted: Path | None, name: str) -> Path:
    """Make the folder for the results.

    Raises:
        FingerpostError: It can't be made, or holds a run already.
    """
    folder = wanted or Path("results") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{name}"
    if (folder / "run.json").exists():
        raise FingerpostError(f"--output: {folder}: expected a folder that holds no run yet; choose another")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FingerpostError(f"--output: {folder}: expected a folder that can be made ({error.strerror})") from error
    return folder


def _status(found: "Run") -> int:
    if found.interrupted:
        return INTERRUPTED
    if not any(sample.sound or sample.verdict for sample in found.samples):
        return 1
    from fingerpost.bench.results.summary import is_ours

    # What is lost at the limits of capacity is that experiment's result, not a mistake.
    ours = [sample for sample in found.samples if is_ours(sample.peer) and sample.experiment != "capacity"]
    return 0 if all(sample.sound for sample in ours) else 1


def _command_line() -> list[str]:
    """How the run was asked for. Of another relay's command only the name: the rest may be nobody's business."""
    return [Path(sys.argv[0]).name, *(_CUSTOM_PEER.sub(r"\1…", part) for part in sys.argv[1:])]


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does: what was measured is kept and shown."""

    def ended(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    handled_before = signal.signal(signal.SIGTERM, ended)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handled_before)
