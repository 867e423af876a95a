"""What the README says is so: a reader who types it gets what it promises."""

import re
from pathlib import Path

import pytest

from docs.pages import README, blocks, code, rows
from docs.terminal import Terminal, first_url
from fingerpost.config import catalogue
from fingerpost.label.sealed import MAX_NAME_CHARS

MAX_LINES = 199

CANT_BE_RUN_AS_IT_IS = {
    # It would take the port 8080, which may be in use here.
    "make demo": 'make demo ARGS="--listen 127.0.0.1:0"',
    # It would run this test, which would run it, and so on.
    "make test": 'make test ARGS="tests/label/test_expiry.py --quiet"',
}
"""Commands that are run in another form, each with the reason; there are none that aren't run at all."""


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path, CANT_BE_RUN_AS_IT_IS)


@pytest.mark.timeout(300)
def test_every_command_does_what_it_says(terminal: Terminal) -> None:
    with terminal:
        for block in blocks(README):
            terminal.type(block)
        said = terminal.outputs

        assert "page" in said["make demo"]
        assert re.search(r"^k0$", said["fingerpost keygen"], re.MULTILINE)
        own_app = said['curl "$(fingerpost seal 127.0.0.1:8888)"']
        assert "Directory listing" in own_app
        for command, output in said.items():
            if command.startswith("fingerpost seal") and "--label-only" not in command:
                assert first_url(output)
            if command.startswith("fingerpost open"):
                assert "target   http://127.0.0.1:" in output
            if command.startswith("curl -H"):
                assert "Directory listing" in output
            if command.startswith("curl -i"):
                assert output.count("404 Not Found") == 2
                assert "Proxy-Status: fingerpost; error=destination_not_found" in output
        assert ".apps.example.com" in first_url(next(text for line, text in said.items() if "import" in line))
        assert " passed" in said["make test"]

        assert terminal.stop("fingerpost serve") == 0


def test_it_shows_the_way_from_the_demo_to_a_request() -> None:
    text = "".join(block.text for block in blocks(README))
    steps = [
        "make demo",
        "fingerpost keygen",
        "fingerpost serve",
        "fingerpost seal 127.0.0.1:8888",
        "curl ",
        "make test",
    ]
    places = [text.index(step) for step in steps]
    assert places == sorted(places)


def test_every_block_is_one_that_is_run() -> None:
    assert {block.kind for block in blocks(README)} == {"sh", "python"}


def test_it_is_short() -> None:
    assert len(README.read_text().splitlines()) <= MAX_LINES


def test_its_limits_are_the_defaults() -> None:
    limits = rows(README, "Limits")
    settings = [(default, code(name)) for _, default, name in limits if code(name)]
    assert len(settings) >= 6
    for default, (name,) in settings:
        assert default.replace(",", "") == catalogue()[name].default, name
    assert any(default.startswith(f"{MAX_NAME_CHARS} characters") for _, default, _ in limits)
