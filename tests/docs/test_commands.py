"""The commands of the other pages work as well, in order, for a reader who starts anew with each page."""

import re
from pathlib import Path

import pytest

from docs.pages import ROOT, blocks
from docs.terminal import Terminal
from fingerpost.label.legacy import open_legacy
from fingerpost.label.sealed import MAX_NAME_CHARS, MIN_LABEL_CHARS

DOCS = ROOT / "docs"


def test_labels(tmp_path: Path) -> None:
    with Terminal(tmp_path, {}) as terminal:
        for block in blocks(DOCS / "labels.md", "sh", "python"):
            terminal.type(block)
        text = (DOCS / "labels.md").read_text()

        rotated = next(output for command, output in terminal.outputs.items() if "--rotate" in command)
        assert "k1 is the newest key" in rotated
        python = next(output for command, output in terminal.outputs.items() if command.startswith("import"))
        assert re.fullmatch(r"https://[a-z2-7]{44}\.apps\.example\.com:8443 tcp://10\.0\.3\.17:7000 \d+ 0\n", python)
    assert f"at least {MIN_LABEL_CHARS} characters" in text
    assert f"up to {MAX_NAME_CHARS} characters" in text


def test_security(tmp_path: Path) -> None:
    with Terminal(tmp_path, {}) as terminal:
        for block in [*blocks(DOCS / "labels.md", "sh")[:1], *blocks(DOCS / "security.md", "sh")]:
            terminal.type(block)
        checked = next(output for command, output in terminal.outputs.items() if command.startswith("fingerpost check"))
    assert "10.20.0.0/16:3000-9999" in checked


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_blocks_say_what_they_are(page: Path) -> None:
    ours = {"sh", "python", "toml", "text", "nginx", "haproxy"}
    foreign = {"console"} if page.name in ("benchmarks.md", "bench-commands.md") else set()
    assert {block.kind for block in blocks(page)} <= ours | foreign


def test_the_legacy_label_is_what_it_says() -> None:
    text = (DOCS / "labels.md").read_text()
    found = re.search(r"key\s+`(\w+)`,\s+`([0-9a-f]+)`\s+is\s+`([0-9.:]+)`", text)
    assert found
    key, label, target = found.groups()
    assert str(open_legacy(label, key.encode())) == f"http://{target}"
