"""How a run is shown: tables for people, one JSON object for programs."""

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fingerpost.bench.peers import Peer
from fingerpost.bench.rounds import Sample
from fingerpost.bench.summary import BASES, Limit, Row, Verdict, rows, verdicts
from fingerpost.bench.works import Conditions, Work

_MET = {
    True: Text("met", style="green"),
    False: Text("not met", style="bold red"),
    None: Text("not measured", style="dim"),
}


def context(peers: Sequence[Peer], conditions: Conditions, rounds: int) -> dict[str, object]:
    """Where and how the figures were made, without which they mean nothing."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "peers": {peer.name: _state(peer) for peer in peers},
        "rounds": rounds,
        "access_log": conditions.access_log,
        "pinned": asdict(conditions.cpus),
        "scale": asdict(conditions.scale),
    }


def as_json(about: dict[str, object], samples: Sequence[Sample]) -> dict[str, object]:
    """The whole run: context, every sample, and what they come to."""
    found = rows(samples)
    return {
        "context": about,
        "verdicts": [asdict(verdict) for verdict in verdicts(found)],
        "rows": [asdict(row) for row in found],
        "samples": [asdict(sample) for sample in samples],
    }


def print_run(console: Console, works: Sequence[Work], run: dict[str, object], samples: Sequence[Sample]) -> None:
    """Print where it ran, what each peer needed, what went wrong, and how fingerpost stands to its bars.

    Args:
        console: Where to.
        works: What was asked for.
        run: The `context`.
        samples: What was found.
    """
    found = rows(samples)
    about = {name: run[name] for name in ("date", "command", "cpu", "cores", "kernel", "rounds", "access_log")}
    peers = run["peers"]
    assert isinstance(peers, dict)
    for name, value in (about | peers).items():
        console.print(f"{name.replace('_', ' '):>11}: {value}", highlight=False, markup=False)
    console.print(_peer_table({work.name: work.unit for work in works}, found))
    for row in found:
        if not row.sound:
            console.print(f"{_name(row)}, {row.peer}: {_wrong(row)}", style="red", highlight=False, markup=False)
    if judged := verdicts(found):
        console.print(_bar_table({work.name: work.title for work in works}, judged))


def _peer_table(units: dict[str, str], found: Sequence[Row]) -> Table:
    table = Table(title="What each needed: median (lowest - highest) over the rounds")
    for name in ("work", "peer"):
        table.add_column(name)
    for name in ("needed", "unit", *(f"x {base}" for base in BASES), "per second"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("wrong", style="bold red")
    last = ""
    for row in found:
        if last and last != _name(row):
            table.add_section()
        table.add_row(
            "" if last == _name(row) else _name(row),
            row.peer,
            _spread(row),
            units[row.work] if row.median is not None else "",
            *(f"{row.ratios[base]:.2f}" if base in row.ratios else "" for base in BASES),
            _rate(row.per_s),
            "" if row.sound else "below",
        )
        last = _name(row)
    return table


def _bar_table(titles: dict[str, str], judged: Sequence[Verdict]) -> Table:
    table = Table(title="fingerpost against its bars")
    for name in ("work", "found", "bar", "", "aim", ""):
        table.add_column(name, justify="left" if name in ("work", "") else "right")
    for verdict in judged:
        bar = verdict.bar
        table.add_row(
            f"{titles[bar.work]} ({bar.variant})" if bar.variant else titles[bar.work],
            _found(bar.bar, verdict.found),
            _limit(bar.bar),
            _MET[verdict.met],
            _limit(bar.aim) if bar.aim else "spliced all the way",
            _MET[verdict.aim_met],
        )
    return table


def _name(row: Row) -> str:
    return f"{row.work}, {row.variant}" if row.variant else row.work


def _spread(row: Row) -> str:
    if row.median is None or row.lowest is None or row.highest is None:
        return ""
    return f"{row.median:.3g} ({row.lowest:.3g} - {row.highest:.3g})"


def _rate(per_s: float | None) -> str:
    if per_s is None:
        return ""
    return f"{per_s / 1e9:.2f} G" if per_s > 1e8 else f"{per_s:,.0f}"


def _wrong(row: Row) -> str:
    return "; ".join([f"{count:,} x {kind}" for kind, count in row.faults.items()] + list(row.failures))


def _limit(limit: Limit) -> str:
    return f"<= {limit.most:g} x {limit.over}" if limit.over else f"<= {limit.most:g}"


def _found(limit: Limit, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f} x {limit.over}" if limit.over else f"{value:.3g}"


def _state(peer: Peer) -> str:
    reason = peer.missing()
    return peer.version() if reason is None else f"missing: {reason}"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
