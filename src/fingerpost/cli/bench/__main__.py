"""Prints the commands' page: ``python -m fingerpost.cli.bench > docs/bench-commands.md``."""

import sys

from fingerpost.cli.bench.reference import page

sys.stdout.write(page())
