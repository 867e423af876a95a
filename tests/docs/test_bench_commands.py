"""docs/bench-commands.md is what the definitions of commands and figures generate, and complete."""

import subprocess
import sys
from pathlib import Path

import click

from fingerpost.bench.run import FIGURES
from fingerpost.cli.bench import bench
from fingerpost.cli.bench.reference import page

PAGE = Path(__file__).parents[2] / "docs" / "bench-commands.md"


def test_the_page_is_up_to_date() -> None:
    command = [sys.executable, "-m", "fingerpost.cli.bench"]
    assert PAGE.read_text() == subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_every_command_option_and_figure_is_on_it_and_explained() -> None:
    text = page()
    for name, command in bench.commands.items():
        assert f"\n## bench {name}" in text
        assert command.help
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, (name, option.name)
                assert f"`{option.opts[0]}" in text
    for figure in FIGURES.values():
        assert f"| `{figure.name}` | {figure.title} |" in text
