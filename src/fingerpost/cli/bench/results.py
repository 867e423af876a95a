"""What can be done beside measuring: compare two runs, show a saved one again, list the peers."""

import json
import sys
from pathlib import Path

import click

from fingerpost.cli.bench.running import require_extra
from fingerpost.errors import FingerpostError

_RUN = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("old", type=_RUN)
@click.argument("new", type=_RUN)
@click.option("--fail-on-worse", is_flag=True, help="Exit with 1 if fingerpost got worse beyond the spread.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def compare(old: Path, new: Path, fail_on_worse: bool, as_json: bool) -> None:
    """Hold two runs against each other: OLD and NEW are their folders.

    Absolute figures of two runs drift with the machine; so each is also divided by a peer that both have measured.
    """
    require_extra()
    from rich.console import Console

    from fingerpost.bench.results.compare import compare as compare_runs
    from fingerpost.bench.run import load

    found = compare_runs(load(old), load(new))
    if as_json:
        click.echo(json.dumps(found.as_json(), ensure_ascii=False, indent=1))
    else:
        found.print(Console())
    if fail_on_worse and found.worse:
        sys.exit(1)


@click.command()
@click.argument("results", type=_RUN)
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Folder.  [default: the run's]")
@click.option("--markdown", "experiment", metavar="EXPERIMENT", help="Print its tables for a page instead.")
def plot(results: Path, output: Path | None, experiment: str | None) -> None:
    """Make tables, plots and the report of a saved run anew.

    RESULTS is the folder of a run, or its run.json.
    """
    require_extra()
    from rich.console import Console

    from fingerpost.bench.results import files, markdown, tables
    from fingerpost.bench.run import load

    run = load(results)
    if experiment is not None:
        known = [asked.name for asked in run.asked]
        if experiment not in known:
            raise FingerpostError(f"--markdown: {experiment}: expected one of this run's: {', '.join(known)}")
        click.echo(markdown.experiment(run, experiment))
        return
    folder = output or (results if results.is_dir() else results.parent)
    folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    written = files.write(run, folder)
    tables.print_run(console, run)
    console.print(f"{len(written)} files in {folder}/", highlight=False, markup=False)


@click.command()
@click.option("--install", is_flag=True, help="Fetch configurable-http-proxy from npm, and build the relays.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def peers(install: bool, as_json: bool) -> None:
    """Which relays can be measured here, and why the others can't."""
    require_extra()
    from rich.console import Console
    from rich.table import Table

    from fingerpost.bench.errors import BenchError
    from fingerpost.bench.peers import CHP, default_cache, known_peers

    if install:
        console = Console(stderr=True)
        try:
            with console.status("getting configurable-http-proxy from npm"):
                CHP().install(default_cache())
            for peer in known_peers():
                if peer.missing() is None:
                    with console.status(f"preparing {peer.name}"):
                        peer.prepare(default_cache())
        except BenchError as error:
            raise FingerpostError(f"--install: {error}") from error
    states = {peer.name: (peer.missing(), peer) for peer in known_peers()}
    if as_json:
        found = {
            name: {"missing": why, "version": None if why else peer.version()} for name, (why, peer) in states.items()
        }
        click.echo(json.dumps(found, indent=1))
        return
    table = Table("peer", "here", "version, or why it is missing")
    for name, (why, peer) in states.items():
        table.add_row(name, "no" if why else "yes", why or peer.version())
    Console().print(table)


COMMANDS: tuple[click.Command, ...] = (compare, plot, peers)
