"""The command ``completion``: scripts that let a shell complete fingerpost's commands and flags."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that lets a shell complete commands and flags.

    \b
    bash:  fingerpost completion bash > ~/.local/share/bash-completion/completions/fingerpost
    zsh:   fingerpost completion zsh > ~/.zfunc/_fingerpost
           (with fpath+=~/.zfunc before compinit in ~/.zshrc)
    fish:  fingerpost completion fish > ~/.config/fish/completions/fingerpost.fish

    Then start a new shell.
    """  # noqa: D301 (\b is for click)
    group = ctx.find_root().command
    source = get_completion_class(shell)
    assert source is not None
    click.echo(source(group, {}, "fingerpost", "_FINGERPOST_COMPLETE").source())
