"""``fingerpost bench`` as a user meets it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from child import until
from fingerpost.bench import procfs
from fingerpost.bench.peers import known_peers
from fingerpost.bench.works import WORKS
from fingerpost.cli.bench import _PEER_NAMES, _WORK_NAMES, bench


def test_the_names_that_it_offers_are_those_that_exist() -> None:
    assert tuple(work.name for work in WORKS) == _WORK_NAMES
    assert tuple(peer.name for peer in known_peers()) == _PEER_NAMES


def test_a_small_run_prints_tables_and_writes_the_whole_run(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    arguments = ["--quick", "--only", "tunnels", "--peer", "direct", "--peer", "nginx", "--rounds", "2"]
    result = CliRunner().invoke(bench, [*arguments, "--tunnels", "300", "--json", str(file)])
    assert result.exit_code == 0, result.output
    assert "What each needed" in result.output
    run = json.loads(file.read_text())
    places = [(sample["round"], sample["peer"]) for sample in run["samples"] if sample["peer"] == "direct"]
    assert places == [(1, "direct"), (2, "direct")]
    assert {"cpu", "cores", "kernel", "date", "command", "peers"} <= set(run["context"])
    assert run["context"]["scale"]["tunnels"] == 300


def test_a_missing_peer_is_reported_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    peers = ["--peer", "nginx", "--peer", "haproxy", "--peer", "direct"]
    result = CliRunner().invoke(bench, ["--quick", "--only", "messages", *peers])
    assert result.exit_code == 0, result.output
    assert "missing: no nginx on the PATH" in result.output
    assert "missing: no haproxy on the PATH" in result.output
    assert "direct" in result.output


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_all_its_processes_and_says_so(ending: signal.Signals) -> None:
    code = "from fingerpost.cli.bench import bench; bench()"
    command = [sys.executable, "-c", code, "--only", "messages", "--peer", "direct", "--rounds", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        until(lambda: len(procfs.descendants(run.pid)) >= 2, "origin and client")
        started = procfs.descendants(run.pid)
        run.send_signal(ending)
        output, _ = run.communicate(timeout=30)
    assert run.returncode == 130, output
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), "the end of origin and client")
