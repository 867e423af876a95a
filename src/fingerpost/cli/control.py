"""The commands `status`, `reload`, `upgrade` and `stop`: questions to a running proxy over its control socket."""

import json
import os
import socket
import sys
from typing import Any

import click

from fingerpost.cli.lookup import Lookup
from fingerpost.control.place import is_answered
from fingerpost.defaults import control_directories
from fingerpost.errors import ConfigError, FingerpostError

ANSWER_TIMEOUT_S = 90.0

_socket = click.option(
    "--control-socket", metavar="FILE", help="Where the proxy answers.  [FINGERPOST_CONTROL_SOCKET; the only one here]"
)
_config = click.option("--config", metavar="FILE", help="A TOML file with control_socket.  [FINGERPOST_CONFIG]")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@_socket
@_config
@_json
def status(control_socket: str | None, config: str | None, as_json: bool) -> None:
    """Show a running proxy: its workers, what they do, totals, restarts, memory.

    \b
    Examples:
      fingerpost status
      fingerpost status --json | jq .totals
      fingerpost status --control-socket /run/fingerpost/control.sock
    """  # noqa: D301 (\b is for click)
    report = ask(_find(control_socket, config), {"command": "status"})
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _print_report(report)


@click.command("reload")
@_socket
@_config
def reload_command(control_socket: str | None, config: str | None) -> None:
    """Let a running proxy read its settings anew; what can't be used changes nothing.

    Returns when workers with the new settings accept. It reads the file and the variables that it was started with.
    """
    answer = ask(_find(control_socket, config), {"command": "reload"})
    for warning in answer["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"reloaded: {answer['workers']} workers with the new settings")


@click.command()
@_socket
@_config
def upgrade(control_socket: str | None, config: str | None) -> None:
    """Let the version that is installed now take over from a running one, without a cut connection.

    Install it first. It starts as the running one was started, takes its listeners, tunnels and waiting clients, and
    gets a process id of its own. If it doesn't come up, the running one goes on.
    """
    answer = ask(_find(control_socket, config), {"command": "upgrade"})
    click.echo(f"upgraded: process {answer['pid']} has taken over")


@click.command()
@_socket
@_config
@click.option("--now", is_flag=True, help="Cut what runs instead of letting it finish.")
def stop(control_socket: str | None, config: str | None, now: bool) -> None:
    """Let a running proxy finish what runs and end, as SIGTERM does."""
    ask(_find(control_socket, config), {"command": "stop", "now": now})


def ask(path: str, question: dict[str, Any]) -> dict[str, Any]:
    """Ask a supervisor.

    Raises:
        ConfigError: Nobody answers there.
        FingerpostError: It can't do what was asked; one line for each reason.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_TIMEOUT_S)
            connection.connect(path)
            connection.sendall(json.dumps(question).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline() or b"{}")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError("control_socket", path, f"the socket of a running proxy ({reason})") from None
    if not answer.get("ok"):
        raise FingerpostError("\n".join(answer.get("problems", ["the proxy ended without an answer"])))
    assert isinstance(answer, dict)
    return answer


def _find(control_socket: str | None, config: str | None) -> str:
    """The socket that was named, or the only one that there is.

    Raises:
        ConfigError: There is none, or more than one beside each other.
    """
    named = control_socket or Lookup(config).control_socket
    if named:
        return named
    for directory in control_directories():
        found = _sockets(directory)
        if len(found) > 1:
            raise ConfigError("control_socket", ", ".join(found), "one running proxy; choose by --control-socket FILE")
        if found:
            return found[0]
    raise ConfigError("control_socket", "none", "a running proxy of this user, or --control-socket FILE")


def _sockets(directory: str) -> list[str]:
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return []
    paths = [os.path.join(directory, name) for name in names if name.endswith(".sock")]
    return [path for path in paths if is_answered(path)]


def _print_report(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(
        f"fingerpost {report['version']}, process {report['pid']}, up {_duration(report['age_s'])}, "
        f"{_mebibytes(report['memory_bytes'])}, on {', '.join(report['listen'])}",
        highlight=False,
    )
    table = Table(box=None, pad_edge=False)
    columns = ("worker", "pid", "state", "age", "connections", "exchanges", "tunnels", "memory", "restarts")
    for name in columns:
        table.add_column(name, justify="left" if name == "state" else "right")
    for row in report["workers"]:
        cells = [row["number"], row["pid"] or "-", row["state"], _duration(row.get("age_s", 0))]
        cells += [row.get(name, 0) for name in ("connections", "exchanges_running", "tunnels_running")]
        cells += [_mebibytes(row.get("memory_bytes", 0)), row.get("restarts", 0)]
        table.add_row(*map(str, cells))
    console.print(table)
    totals = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in report["totals"].items())
    console.print(
        f"since the start: {totals}, restarts {report['restarts']}, reloads {report['reloads']}", highlight=False
    )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s"


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
