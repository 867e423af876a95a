"""The command line: which commands there are, how they load, and how their errors look."""

import sys
from gettext import gettext
from importlib import import_module
from typing import IO, Any, NamedTuple, NoReturn

import click

from fingerpost import __version__
from fingerpost.errors import FingerpostError


class CommandSource(NamedTuple):
    """Where a command is written, and the line that ``fingerpost --help`` has for it."""

    module: str
    attribute: str
    help: str


COMMANDS = {
    "serve": CommandSource("fingerpost.cli.serve", "serve", "Run the proxy."),
    "keygen": CommandSource("fingerpost.cli.labels", "keygen", "Make a key file, or add a newest key to one."),
    "seal": CommandSource("fingerpost.cli.labels", "seal_command", "Print the URL of a target."),
    "open": CommandSource("fingerpost.cli.labels", "open_command", "Print what a label or URL says."),
    "check": CommandSource("fingerpost.cli.serve", "check", "Validate all that serve would use."),
    "status": CommandSource("fingerpost.cli.control", "status", "Show a running proxy and its workers."),
    "reload": CommandSource("fingerpost.cli.control", "reload_command", "Let a running proxy read its settings anew."),
    "upgrade": CommandSource(
        "fingerpost.cli.control", "upgrade", "Let the installed version take over from a running one."
    ),
    "stop": CommandSource("fingerpost.cli.control", "stop", "Let a running proxy finish and end."),
    "demo": CommandSource("fingerpost.cli.demo", "demo", "Try it: sample apps and a proxy, with links."),
    "bench": CommandSource("fingerpost.cli.bench", "bench", "Measure it, beside others."),
    "completion": CommandSource("fingerpost.cli.completion", "completion", "Print a shell completion script."),
}


class OneLineError(click.ClickException):
    """An error of ours as people see it: ``fingerpost: key: value: expected …``, without a traceback."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print one line for each problem."""
        for line in self.format_message().splitlines():
            click.echo(f"fingerpost: {line}", file=file or sys.stderr)


class LazyGroup(click.Group):
    """A group that imports a command when it is used, not when it is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        source = COMMANDS.get(cmd_name)
        if source is None:
            return None
        try:
            command = getattr(import_module(source.module), source.attribute)
        except ModuleNotFoundError as error:
            _explain_missing(cmd_name, error)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section(gettext("Commands")):
            formatter.write_dl([(name, source.help) for name, source in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Complete commands without importing them."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=source.help) for name, source in COMMANDS.items() if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 (as click's)
        """Run the command; errors that were raised on purpose become one line and exit status 2."""
        try:
            return super().invoke(ctx)
        except FingerpostError as error:
            raise OneLineError(str(error)) from error


def _explain_missing(command: str, error: ModuleNotFoundError) -> NoReturn:
    if (error.name or "").partition(".")[0] == "fingerpost":
        raise error
    raise OneLineError(
        f"{command}: {error.name} is not installed: expected all of pip install 'fingerpost[{command}]'"
    ) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """A reverse proxy in which the subdomain is the signpost.

    \b
    Start here:
      fingerpost demo                        see it work
      fingerpost keygen                      make a key
      fingerpost seal 127.0.0.1:8888         print the URL of an app
      fingerpost serve                       serve it
    """  # noqa: D301 (\b is for click)
