"""One command for each experiment, with the published parameters or our own as defaults; and several at once."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from fingerpost.cli.bench.options import Numbers, RunOptions, run_options
from fingerpost.cli.bench.running import run

if TYPE_CHECKING:
    from fingerpost.bench.experiments.experiment import Experiment
    from fingerpost.bench.experiments.published import Traffic

_Command = TypeVar("_Command", bound=Callable[..., Any])

CAPACITY_SERVERS = "500-7000/500"
STEPS = "50-275/25"
_MAX_MESSAGE_BYTES = 65536
_MOST = 100_000_000


def _size(default: int) -> Callable[[_Command], _Command]:
    return click.option(
        "--size",
        type=click.IntRange(8, _MAX_MESSAGE_BYTES),
        default=default,
        show_default=True,
        help="Bytes of a message; 8 of them make it different from every other.",
    )


def _traffic_options(messages: int, size: int) -> Callable[[_Command], _Command]:
    """Options that say what each client does; the command gets them together, as ``traffic``."""
    options = (
        click.option(
            "--messages", type=click.IntRange(1, _MOST), default=messages, show_default=True, help="Of each client."
        ),
        _size(size),
        click.option(
            "--messages-per-write",
            type=click.IntRange(1, 256),
            help="The most messages that a client gives to the kernel at once.  [default: as many as 64 KiB hold]",
        ),
        click.option(
            "--open-at-once",
            type=click.IntRange(1, _MOST),
            help="The most connections being opened at a time.  [default: all]",
        ),
    )

    def decorate(command: _Command) -> _Command:
        @functools.wraps(command)
        def with_traffic(
            messages: int,
            size: int,
            messages_per_write: int | None,
            open_at_once: int | None,
            **others: Any,  # noqa: ANN401
        ) -> Any:  # noqa: ANN401
            from fingerpost.bench.experiments.published import Traffic

            return command(traffic=Traffic(messages, size, messages_per_write or 0, open_at_once or 0), **others)

        for option in reversed(options):
            with_traffic = option(with_traffic)
        return cast(_Command, with_traffic)

    return decorate


def _run(name: str, experiments: "list[Experiment]", shared: dict[str, Any]) -> None:
    run(name, experiments, RunOptions(**shared))


@click.command()
@click.option("--servers", type=Numbers(), default=CAPACITY_SERVERS, show_default=True, help="Steps.")
@click.option("--clients", type=click.IntRange(1, _MOST), default=1, show_default=True, help="For each server.")
@_traffic_options(messages=1, size=20)
@run_options
def capacity(servers: tuple[int, ...], clients: int, traffic: "Traffic", **shared: Any) -> None:  # noqa: ANN401
    """How many tunnels at once: all exchanged, some lost, or failed.

    A published experiment: more and more servers, one client for each, one message of 20 bytes.

    \b
    Examples:
      fingerpost bench capacity --peer fingerpost --peer go --rounds 1
      fingerpost bench capacity --servers 8000-18000/2000 --peer fingerpost-2
    """  # noqa: D301
    from fingerpost.bench.experiments import published

    _run("capacity", [published.capacity(servers, clients, traffic)], shared)


@click.command()
@click.option("--servers", type=Numbers(), default=STEPS, show_default=True, help="Steps.")
@click.option("--clients", type=click.IntRange(1, _MOST), default=10, show_default=True, help="For each server.")
@_traffic_options(messages=1000, size=1024)
@run_options
def servers(servers: tuple[int, ...], clients: int, traffic: "Traffic", **shared: Any) -> None:  # noqa: ANN401
    """Seconds for more and more servers, ten clients each.

    A published experiment: every client sends 1000 messages of 1024 bytes without waiting and reads as many echoes.
    """
    from fingerpost.bench.experiments import published

    _run("servers", [published.by_servers(servers, clients, traffic)], shared)


@click.command()
@click.option("--servers", type=click.IntRange(1, _MOST), default=10, show_default=True, help="How many.")
@click.option("--clients", type=Numbers(), default=STEPS, show_default=True, help="Steps: for each server.")
@_traffic_options(messages=1000, size=1024)
@run_options
def clients(servers: int, clients: tuple[int, ...], traffic: "Traffic", **shared: Any) -> None:  # noqa: ANN401
    """Seconds for more and more clients on ten servers.

    A published experiment: every client sends 1000 messages of 1024 bytes without waiting and reads as many echoes.
    """
    from fingerpost.bench.experiments import published

    _run("clients", [published.by_clients(servers, clients, traffic)], shared)


@click.command()
@click.option("--tunnels", type=click.IntRange(1, _MOST), default=100, show_default=True, help="Open at the same time.")
@click.option("--messages", type=click.IntRange(1, _MOST), default=100_000, show_default=True, help="In all.")
@_size(1024)
@run_options
def messages(tunnels: int, messages: int, size: int, **shared: Any) -> None:  # noqa: ANN401
    """Ping-pong: CPU and latency of a message and its echo."""
    from fingerpost.bench.experiments import websockets

    if messages < tunnels:
        raise click.UsageError("--messages must be at least --tunnels, so that each tunnel has one")
    _run("messages", [websockets.messages(tunnels, messages, size)], shared)


@click.command()
@click.option("--connections", type=click.IntRange(1, _MOST), default=10_000, show_default=True, help="In all.")
@click.option("--at-once", type=click.IntRange(1, _MOST), default=50, show_default=True, help="At the same time.")
@_size(1024)
@run_options
def connects(connections: int, at_once: int, size: int, **shared: Any) -> None:  # noqa: ANN401
    """Open a WebSocket, one echo, close: CPU, rate and latency."""
    from fingerpost.bench.experiments import websockets

    if connections < at_once:
        raise click.UsageError("--connections must be at least --at-once")
    _run("connects", [websockets.connects(connections, at_once, size)], shared)


@click.command()
@click.option("--tunnels", type=click.IntRange(1, _MOST), default=6000, show_default=True, help="How many.")
@run_options
def tunnels(tunnels: int, **shared: Any) -> None:  # noqa: ANN401
    """All tunnels opened at once: seconds, and whether any is lost."""
    from fingerpost.bench.experiments import websockets

    _run("tunnels", [websockets.tunnels(tunnels)], shared)


@click.command()
@click.option("--tunnels", type=click.IntRange(300, _MOST), default=6000, show_default=True, help="How many.")
@run_options
def memory(tunnels: int, **shared: Any) -> None:  # noqa: ANN401
    """What an idle tunnel holds in the relay."""
    from fingerpost.bench.experiments import websockets

    _run("memory", [websockets.memory(tunnels)], shared)


@click.command()
@click.option("--connections", type=click.IntRange(1, _MOST), default=100, show_default=True, help="Kept alive.")
@click.option("--requests", type=click.IntRange(1, _MOST), default=60_000, show_default=True, help="In all.")
@run_options
def requests(connections: int, requests: int, **shared: Any) -> None:  # noqa: ANN401
    """Keep-alive GETs with a browser's fields: CPU, rate and latency."""
    from fingerpost.bench.experiments import http

    if requests < connections:
        raise click.UsageError("--requests must be at least --connections")
    _run("requests", [http.requests(connections, requests)], shared)


@click.command()
@click.option(
    "--bytes",
    "amount",
    type=click.IntRange(1_000_000, 10**15),
    default=6_000_000_000,
    show_default=True,
    help="To be moved.",
)
@run_options
def bulk(amount: int, **shared: Any) -> None:  # noqa: ANN401
    """One connection, as fast as it goes: CPU per GB."""
    from fingerpost.bench.experiments import http

    _run("bulk", [http.bulk(amount)], shared)


@click.command()
@click.option("--times", type=click.IntRange(1, 100), default=5, show_default=True, help="The best of so many.")
@run_options
def seal(times: int, **shared: Any) -> None:  # noqa: ANN401
    """How long `fingerpost seal` takes."""
    from fingerpost.bench.experiments import command_line

    _run("seal", [command_line.seal(times)], shared)


@click.command("all")
@run_options
def all_experiments(**shared: Any) -> None:  # noqa: ANN401
    """All experiments, with their defaults. Takes hours."""
    from fingerpost.bench.experiments.suites import full

    _run("all", full(), shared)


@click.command()
@run_options
def quick(**shared: Any) -> None:  # noqa: ANN401
    """All experiments, tiny, one round: does everything work here? Under two minutes.

    Its figures say nothing about speed.
    """
    from fingerpost.bench.experiments.suites import small

    context = click.get_current_context()
    if context.get_parameter_source("rounds") == click.core.ParameterSource.DEFAULT:
        shared["rounds"] = 1
    _run("quick", small(), shared)


COMMANDS: tuple[click.Command, ...] = (
    capacity,
    servers,
    clients,
    messages,
    connects,
    tunnels,
    memory,
    requests,
    bulk,
    seal,
    all_experiments,
    quick,
)
