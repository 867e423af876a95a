"""The commands `serve` and `check`: their flags come from the definition of the settings."""

import functools
import json
import logging
import os
import sys
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

import click

from fingerpost.config import Configuration, Settings, catalogue, load
from fingerpost.config.files import read_files
from fingerpost.config.settings import shown
from fingerpost.control.listeners import Listener, Listeners
from fingerpost.control.pidfile import PidFile
from fingerpost.control.place import default_path
from fingerpost.control.plan import Sources, room_for
from fingerpost.control.privileges import become, identity
from fingerpost.control.systemd import given_listeners
from fingerpost.defaults import PREDECESSOR_VARIABLE
from fingerpost.errors import ConfigError, ConfigProblemsError, FingerpostError

if TYPE_CHECKING:
    from fingerpost.control.commands import CommandSocket
    from fingerpost.control.upgrade import Predecessor

log = logging.getLogger("fingerpost")

_SOURCES = """\
Every setting can also stand in the environment, as FINGERPOST_ and its name in capitals
(FINGERPOST_MAX_HEAD_BYTES, lists separated by commas), and in the TOML file (max_head_bytes).
Flags go before the environment, that before the file."""

_SERVE_EXAMPLES = """\
\b
Examples:
  fingerpost keygen && fingerpost serve
  fingerpost serve --listen 0.0.0.0:8080 --domain apps.example.com
  fingerpost serve --config /etc/fingerpost.toml --access-log -
  fingerpost serve --allow 10.20.0.0/16:3000-9999 --trusted-proxies 10.0.0.5"""

_CHECK_EXAMPLES = """\
\b
Examples:
  fingerpost check --config /etc/fingerpost.toml
  fingerpost check --config /etc/fingerpost.toml --json
  FINGERPOST_MAX_CONNECTIONS=50000 fingerpost check"""


class SettingsCommand(click.Command):
    """A command that takes every setting as a flag and shows them by group."""

    def __init__(self, *args: object, **attributes: object) -> None:
        super().__init__(*args, **attributes)  # type: ignore[arg-type]
        config = click.Option(["--config"], metavar="FILE", help="Read settings from this TOML file.")
        flags = [
            click.Option([s.flag, s.name], metavar=s.metavar, multiple=s.is_list, help=s.what)
            for s in catalogue().values()
        ]
        self.params = [config, *flags, *self.params]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, then a section for each group of settings."""
        settings = catalogue()
        own = [record for p in self.get_params(ctx) if p.name not in settings and (record := p.get_help_record(ctx))]
        with formatter.section("Options"):
            formatter.write_dl(own)
        for group, members in groupby(settings.values(), key=lambda setting: setting.group):
            with formatter.section(group):
                rows = [
                    (f"{s.flag} {s.metavar}", f"{s.what}  [{s.default}{'; repeatable' if s.is_list else ''}]")
                    for s in members
                ]
                formatter.write_dl(rows)


@click.command(cls=SettingsCommand, epilog=f"{_SOURCES}\n\n{_SERVE_EXAMPLES}")
def serve(config: str | None, **flags: object) -> None:
    """Run the proxy until SIGTERM or Ctrl-C, which let what runs finish; a second one stops at once.

    Prints one line for each listener when it accepts connections.
    """
    given = given_listeners(os.environ)
    predecessor = _find_predecessor()
    sources = Sources(flags, os.environ, config)
    plan = sources.read()
    settings = plan.settings
    _log_to_stderr(settings.log_level)
    for warning in plan.warnings:
        log.warning(warning)
    pid_file = PidFile(settings.pid_file) if settings.pid_file else None
    if pid_file and predecessor is None:
        pid_file.refuse_if_held()
    listeners = plan.listeners(given if predecessor is None else predecessor.listeners)

    if settings.user and become(identity(settings.user), settings.user):
        plan = sources.read()  # whether that user can read and write what it must shows now, and not at a reload
    if predecessor is not None:
        for unwanted in predecessor.listeners.without(listeners):
            unwanted.close()

    # Only now: asyncio is the larger part of the start, and a mistake in a setting should show at once.
    import asyncio

    from fingerpost.control.supervisor import Supervisor

    def on_ready(added: Iterable[Listener]) -> None:
        if pid_file and not pid_file.is_written:
            pid_file.write()
        for listener in added:
            click.echo(_announcement(listener, settings))

    commands = functools.partial(_open_commands, settings, take_over=predecessor is not None)
    try:
        status = asyncio.run(Supervisor(plan, sources.read, listeners, on_ready, commands, predecessor).run())
    finally:
        if pid_file:
            pid_file.remove()
    sys.exit(status)


def _find_predecessor() -> "Predecessor | None":
    """The version to take over from; asked only where there is one, for what it needs takes a while to import."""
    if PREDECESSOR_VARIABLE not in os.environ:
        return None
    from fingerpost.control.upgrade import Predecessor

    return Predecessor.find(os.environ.pop(PREDECESSOR_VARIABLE))


def _open_commands(settings: Settings, *, take_over: bool) -> "CommandSocket | None":
    from fingerpost.control.commands import CommandSocket

    path = settings.control_socket or default_path()
    if path is None:
        log.warning(
            "control_socket: there is no safe place for it, so fingerpost status, reload and stop can't be used"
        )
        return None
    return CommandSocket(path, take_over=take_over)


@click.command(cls=SettingsCommand, epilog=f"{_SOURCES}\n\n{_CHECK_EXAMPLES}")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def check(config: str | None, as_json: bool, **flags: object) -> None:
    """Validate everything that serve would use, and say what was understood and where it came from.

    Exits with 0, or with 2 after one line for each problem. Warnings don't change that.
    """
    warnings: list[str] = []
    try:
        configuration = load(flags, os.environ, config)
        warnings += read_files(configuration).warnings
        if configuration.settings.pid_file:
            PidFile(configuration.settings.pid_file).refuse_if_held()
        room_for(configuration.settings, warnings)
    except FingerpostError as error:
        if as_json:
            click.echo(json.dumps({"ok": False, "problems": _problems(error)}, indent=2))
            sys.exit(2)
        raise
    for address in configuration.settings.listen:
        try:
            Listeners([address], 1).close()
        except ConfigError as error:
            warnings.append(str(error))
    if as_json:
        click.echo(json.dumps({"ok": True, "settings": _as_json(configuration), "warnings": warnings}, indent=2))
    else:
        _print_table(configuration)
        for warning in warnings:
            click.echo(f"warning: {warning}", err=True)


def _announcement(listener: Listener, settings: Settings) -> str:
    served = ", ".join(f"*.{domain}" for domain in settings.domain)
    return f"fingerpost: listening on http://{listener.address} for {served}"


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s fingerpost %(levelname)s: %(message)s"
    )


def _problems(error: FingerpostError) -> list[dict[str, object]]:
    errors = error.errors if isinstance(error, ConfigProblemsError) else (error,)
    return [
        {"key": e.key, "value": str(e.value), "expected": e.accepted, "from": e.origin}
        if isinstance(e, ConfigError)
        else {"message": str(e)}
        for e in errors
    ]


def _as_json(configuration: Configuration) -> dict[str, object]:
    values = configuration.settings.model_dump(mode="json")
    return {
        name: {"value": values[name], "from": origin.kind, "place": origin.place}
        for name, origin in configuration.origins.items()
    }


def _print_table(configuration: Configuration) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title="fingerpost understood", title_justify="left")
    for heading in ("setting", "value", "from"):
        table.add_column(heading, overflow="fold")
    for name, origin in configuration.origins.items():
        style = "dim" if origin.kind == "default" else "bold"
        value = shown(getattr(configuration.settings, name))
        table.add_row(name, Text(value), Text(str(origin)), style=style)
    Console().print(table)
