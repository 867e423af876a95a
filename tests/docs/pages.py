"""The documentation as tests read it: pages, their fenced blocks, links, headings and table rows."""

import re
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
PAGES = [README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), *DECISIONS]

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^()\s]+)\)")


class Block(NamedTuple):
    """A fenced block: what kind it says it is (maybe nothing), and its text."""

    kind: str
    text: str


def blocks(page: Path, *kinds: str) -> list[Block]:
    """The fenced blocks of a page, in order; only those of ``kinds`` if any are given."""
    found = [Block(kind, dedent(text)) for _, kind, text in _FENCE.findall(page.read_text())]
    return [block for block in found if block.kind in kinds or not kinds]


def prose(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """Where the links of a page lead, as they are written."""
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings have where Markdown is rendered."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(page: Path, heading: str) -> list[list[str]]:
    """The table rows below a heading, split into cells; without the table's head."""
    section = re.split(rf"^#+ {re.escape(heading)}$", page.read_text(), maxsplit=1, flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", section, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def code(text: str) -> list[str]:
    """The words that a text has in backticks."""
    return re.findall(r"`([^`]+)`", text)
