"""Prints the configuration page: ``python -m fingerpost.config > docs/configuration.md``."""

import sys

from fingerpost.config.reference import configuration_page

sys.stdout.write(configuration_page())
