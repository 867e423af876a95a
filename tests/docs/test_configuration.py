"""docs/configuration.md is what the definition of the settings generates, and complete."""

import subprocess
import sys
from pathlib import Path

from fingerpost.config import Settings, catalogue
from fingerpost.config.reference import configuration_page

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_up_to_date() -> None:
    command = [sys.executable, "-m", "fingerpost.config"]
    assert PAGE.read_text() == subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_every_setting_has_a_row_with_flag_variable_default_and_meaning() -> None:
    rows = [line for line in configuration_page().splitlines() if line.startswith("| `")]
    assert len(rows) == len(Settings.model_fields)
    for row, name in zip(rows, Settings.model_fields, strict=True):
        setting = catalogue()[name]
        for part in (
            f"`{name}`",
            f"`{setting.flag} ",
            f"`{setting.environment}`",
            setting.default,
            setting.what,
        ):
            assert part.replace("|", "\\|") in row
        assert setting.why.endswith(".")
        assert setting.what.endswith(".")


def test_groups_stay_together() -> None:
    headings = [line for line in configuration_page().splitlines() if line.startswith("## ")]
    assert len(headings) == len(set(headings))


def test_the_default_key_file_is_shown_without_a_home_directory() -> None:
    assert str(Path.home()) not in configuration_page()
