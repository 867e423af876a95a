"""The pages agree with the code: links resolve, words are explained, every answer and every log key is documented."""

import json
import re
from pathlib import Path

import pytest

import fingerpost
from docs.pages import DECISIONS, PAGES, ROOT, anchors, blocks, code, links, prose, rows
from fingerpost.cli import COMMANDS
from fingerpost.config import load
from fingerpost.http1 import answers
from fingerpost.http1.answers import Answer
from relay import Relay

DOCS = ROOT / "docs"
OPERATING = DOCS / "operating.md"
PLACEHOLDER = "FIGURE-TO-FILL-IN"

ids = [str(page.relative_to(ROOT)) for page in PAGES]
every_page = pytest.mark.parametrize("page", PAGES, ids=ids)


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith(("https://", "http://")):
            continue
        path, _, fragment = link.partition("#")
        leads_to = (page.parent / path).resolve() if path else page
        assert leads_to.exists(), link
        if fragment:
            assert fragment in anchors(leads_to), link


@every_page
def test_nothing_is_left_to_fill_in(page: Path) -> None:
    assert PLACEHOLDER not in page.read_text()


@every_page
def test_commands_exist(page: Path) -> None:
    text = "\n".join([*code(prose(page)), *(block.text for block in blocks(page))])
    named = set(re.findall(r"^[$ ]*fingerpost ([a-z]+)", text, re.MULTILINE))
    assert named <= set(COMMANDS)


def test_every_page_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        found = [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if "://" not in link]
        for path in found:
            waiting += path.glob("*.md") if path.is_dir() else [path] * (path.suffix == ".md")
    assert set(PAGES) <= seen


def test_the_lexicon_has_every_word() -> None:
    assert fingerpost.__doc__
    words = re.search(r"^Words\n(.*?)\n\n", fingerpost.__doc__, re.MULTILINE | re.DOTALL)
    assert words
    expected = {word for names in re.findall(r"^    (\S.*?)  ", words[1], re.MULTILINE) for word in names.split(", ")}
    explained = {
        word for cell, _ in rows(DOCS / "lexicon.md", "Lexicon") for word in re.findall(r"\*\*(.+?)\*\*", cell)
    }
    assert len(expected) >= 15
    assert expected | {"named route"} <= explained


def test_the_life_of_a_request_goes_the_way_that_the_package_tells() -> None:
    assert fingerpost.__doc__
    way = re.findall(r"^    (\w+/\w+) ", fingerpost.__doc__, re.MULTILINE)
    assert len(way) >= 8
    text = (DOCS / "life-of-a-request.md").read_text()
    headings = "\n".join(re.findall(r"^## .*$", text, re.MULTILINE))
    for path in way:
        assert f"`{path}`" in headings
    places = [headings.index(f"`{path}`") for path in way]
    assert places == sorted(places)
    for path in re.findall(r"`((?:\w+)/\w+)`", text):
        assert (ROOT / "src" / "fingerpost" / f"{path}.py").exists(), path


def test_decisions_have_a_number_each_and_the_same_form() -> None:
    assert len({page.name[:4] for page in DECISIONS}) == len(DECISIONS)
    for page in DECISIONS:
        text = page.read_text()
        assert text.startswith(f"# {int(page.name[:4])}. ")
        assert "**Question.**" in text
        assert "**Decision.**" in text
        assert "**What follows.**" in text


def test_every_answer_is_documented() -> None:
    known = {(str(a.status), a.error) for a in vars(answers).values() if isinstance(a, Answer)}
    documented = [(status, *code(error)) for status, error, _ in rows(OPERATING, "Statuses")]
    assert len(documented) == len(set(documented))
    assert set(documented) == known


def test_every_key_of_the_access_log_is_documented(relay: Relay) -> None:
    assert relay.http().get(relay.url("127.0.0.1:1")).status_code == 502
    record = relay.wait_for_record(lambda record: record["status"] == 502)
    documented = [name for key, _ in rows(OPERATING, "Access log") for name in code(key)]
    assert documented == list(record)


def test_the_example_file_is_accepted(tmp_path: Path) -> None:
    (block,) = blocks(OPERATING, "toml")
    file = tmp_path / "fingerpost.toml"
    file.write_text(block.text)
    settings = load({}, {}, str(file)).settings
    assert settings.domain == ("apps.example.com",)
    assert json.loads(settings.model_dump_json())["access_log"] == "/var/log/fingerpost/access.log"
