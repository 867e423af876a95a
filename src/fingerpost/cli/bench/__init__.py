"""``fingerpost bench``: the experiments, and what can be done with their results."""

import click

from fingerpost.cli.bench import experiments, results


@click.group(short_help="Measure it, beside others.")
def bench() -> None:
    """Measure fingerpost beside other relays, on this machine, in one run.

    Real WebSocket and HTTP servers and clients, in processes of their own, work through each relay in turn and compare
    every byte. Three experiments are those of a published comparison of a Go and a Node.js relay: capacity, servers and
    clients. Figures of different machines or runs can't be compared; ratios within one run can. A full run wants an
    otherwise idle machine with two cores or more.

    \b
    Start here:
      fingerpost bench quick                   does everything work here? (under two minutes)
      fingerpost bench peers                   which other relays are here, and why the others aren't
      fingerpost bench servers --peer go --peer node --peer fingerpost
      fingerpost bench all                     everything; takes hours
    """  # noqa: D301 (\b is for click)


for command in (*experiments.COMMANDS, *results.COMMANDS):
    bench.add_command(command)
