"""``fingerpost bench``: the experiments beside nginx and HAProxy; prints tables, writes JSON."""

import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import FrameType

import click

_WORK_NAMES = ("messages", "requests", "tunnels", "memory", "bulk", "seal")
_PEER_NAMES = ("fingerpost", "nginx", "haproxy", "haproxy-plain", "direct")
_DEFAULT_ROUNDS = 5


def _ended(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


@click.command(short_help="Measure fingerpost beside nginx and HAProxy.")
@click.option(
    "--only",
    "work_names",
    multiple=True,
    metavar="WORK",
    type=click.Choice(_WORK_NAMES),
    help=f"Just this work (repeatable): {', '.join(_WORK_NAMES)}.",
)
@click.option(
    "--peer",
    "peer_names",
    multiple=True,
    metavar="PEER",
    type=click.Choice(_PEER_NAMES),
    help=f"Just this peer (repeatable): {', '.join(_PEER_NAMES)}.",
)
@click.option("--rounds", type=click.IntRange(1, 100), help="How often each peer has its turn.  [default: 5]")
@click.option("--quick", is_flag=True, help="A small load and one round: whether it works, not how fast it is.")
@click.option("--bulk-bytes", type=click.IntRange(min=1_000_000), help="How much the bulk work moves.")
@click.option("--tunnels", type=click.IntRange(min=300), help="How many tunnels are opened.  [default: 6000]")
@click.option("--access-log", is_flag=True, help="Access log on, for every peer.  [default: off for every peer]")
@click.option(
    "--pin/--no-pin",
    default=True,
    show_default=True,
    help="Relay on the first CPU, load on the others (where there are two or more).",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the whole run here.")
def bench(
    work_names: tuple[str, ...],
    peer_names: tuple[str, ...],
    rounds: int | None,
    quick: bool,
    bulk_bytes: int | None,
    tunnels: int | None,
    access_log: bool,
    pin: bool,
    json_file: Path | None,
) -> None:
    """Measure the relay's own CPU, time and memory, beside nginx and HAProxy, one worker each.

    Everything runs on this machine, in this run: a Python origin, the relays in turn, and clients that
    compare every byte. nginx and HAProxy are those on the PATH; one that isn't there is reported as missing.
    Figures of different machines or runs can't be compared, ratios within one run can. A full run takes ten to
    twenty minutes and wants an otherwise idle machine.

    The exit status is 1 if fingerpost lost or altered a byte or could not be measured, and 0 whether or not
    it met its bars.

    \b
    Examples:
      fingerpost bench --quick                      does everything work here?
      fingerpost bench --json run.json              the full run
      fingerpost bench --only requests --access-log
      fingerpost bench --only bulk --peer haproxy --rounds 3
    """  # noqa: D301 (\b is for click)
    # Here and not above: the other commands answer faster without.
    from rich.console import Console

    from fingerpost.bench import progress, report
    from fingerpost.bench.peers import known_peers
    from fingerpost.bench.stage import Cpus
    from fingerpost.bench.works import QUICK, WORKS, Conditions, Scale

    scale = QUICK if quick else Scale()
    scale = replace(scale, bulk_bytes=bulk_bytes or scale.bulk_bytes, tunnels=tunnels or scale.tunnels)
    conditions = Conditions(scale, Cpus.split() if pin else Cpus(), access_log)
    rounds = rounds or (1 if quick else _DEFAULT_ROUNDS)
    works = [work for work in WORKS if not work_names or work.name in work_names]
    peers = [peer for peer in known_peers() if not peer_names or peer.name in peer_names]
    console = Console()
    handled_before = signal.signal(signal.SIGTERM, _ended)
    about = report.context(peers, conditions, rounds)
    try:
        samples, interrupted = progress.run(console, works, peers, conditions, rounds)
    finally:
        signal.signal(signal.SIGTERM, handled_before)
    report.print_run(console, works, about, samples)
    if json_file:
        json_file.write_text(json.dumps(report.as_json(about, samples), indent=1, ensure_ascii=False) + "\n")
    if interrupted:
        sys.exit(130)
    if any(sample.peer == "fingerpost" and not sample.sound for sample in samples):
        sys.exit(1)
