"""``fingerpost bench`` as a user meets it."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from child import until
from fingerpost.bench import procfs
from fingerpost.bench.experiments import suites
from fingerpost.bench.peers import known_peers
from fingerpost.bench.run import ALL, load
from fingerpost.cli.bench import bench
from fingerpost.cli.bench.options import Numbers

FAULTY = Path(__file__).with_name("faulty_relay.py")
TINY = ["--servers", "3", "--clients", "4", "--messages", "20", "--rounds", "2"]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(bench, [str(argument) for argument in arguments])


def message(result: Result) -> str:
    """What the user reads of an error, on one line."""
    return " ".join(f"{result.output} {result.exception}".split())


def test_a_small_run_prints_tables_and_writes_everything(tmp_path: Path) -> None:
    result = run("servers", *TINY, "--peer", "direct", "--peer", "fingerpost", "--output", tmp_path)
    assert result.exit_code == 0, result.output
    assert "servers: time (s)" in result.output
    found = load(tmp_path)
    places = [(sample.round, sample.peer) for sample in found.samples]
    assert places == [(1, "direct"), (1, "fingerpost"), (2, "fingerpost"), (2, "direct")]
    assert all(sample.sound and sample.figures["done"] == 3 * 4 * 20 for sample in found.samples)
    assert found.asked[0].parameters["clients"] == 4
    assert {"cpu", "cores", "kernel", "date", "command", "peers", "versions", "pinned"} <= set(found.context)
    with (tmp_path / "samples.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
    assert {"servers"} <= {path.stem.partition("-")[0] for path in (tmp_path / "plots").iterdir()}
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_results_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    result = run("seal", "--output", tmp_path)
    assert result.exit_code != 0
    assert "expected a folder that holds no run yet" in message(result)


def test_a_run_as_json_is_alone_on_standard_output(tmp_path: Path) -> None:
    result = run("seal", "--times", "1", "--rounds", "1", "--json", "--output", tmp_path)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["samples"][0]["experiment"] == "seal"


def test_a_missing_peer_is_reported_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("fingerpost.bench.peers.installed._ALSO", str(tmp_path))
    peers = ["--peer", "nginx", "--peer", "haproxy", "--peer", "direct"]
    result = run("servers", *TINY, *peers, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    for name in ("nginx", "haproxy"):
        assert f"{name} is missing: " in result.output
        assert "missing" in load(tmp_path / "out").context["peers"][name]
        assert name in (tmp_path / "out" / "report.html").read_text()


def test_any_other_relay_can_be_measured_by_its_command(tmp_path: Path) -> None:
    peer = f"mine={sys.executable} {FAULTY} {{port}} 13001 none"
    with socket.socket() as taken:  # so that the app is where this relay looks for it
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    peer = peer.replace("13001", str(port))
    result = run(
        *("capacity", "--servers", "1", "--clients", "10", "--rounds", "1", "--first-port", str(port)),
        *("--peer", peer, "--output", tmp_path),
    )
    assert result.exit_code == 0, result.output
    (sample,) = load(tmp_path).samples
    assert (sample.peer, sample.verdict) == ("mine", ALL)


def test_a_relay_that_will_not_start_is_shown_with_its_last_lines(tmp_path: Path) -> None:
    peer = f"broken={sys.executable} -c \"raise SystemExit('my port {{port}} is cursed')\""
    result = run("capacity", "--servers", "5", "--rounds", "1", "--peer", peer, "--output", tmp_path)
    (sample,) = load(tmp_path).samples
    assert sample.failure is not None
    assert "is cursed" in sample.failure
    assert "is cursed" in " ".join(result.output.split())


def test_the_exit_status_says_whether_fingerpost_did_something_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fingerpost.bench.peers.fingerpost.Fingerpost.labels", "legacy")  # which it won't open
    monkeypatch.setattr("fingerpost.bench.stage._READY_DEADLINE_S", 3.0)
    result = run("messages", "--messages", "200", "--peer", "fingerpost", "--rounds", "1", "--output", tmp_path)
    assert result.exit_code == 1, result.output


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_was_measured_and_ends_all_processes(
    ending: signal.Signals, tmp_path: Path
) -> None:
    code = "from fingerpost.cli.bench import bench; bench()"
    arguments = ["servers", *TINY[:-1], "100", "--peer", "direct", "--output", str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=pipe, stderr=subprocess.STDOUT) as running:
        until(lambda: (tmp_path / "run.json").exists(), "the first sample", deadline_s=60)
        until(lambda: len(procfs.descendants(running.pid)) >= 2, "apps and clients of the next")
        started = procfs.descendants(running.pid)
        running.send_signal(ending)
        output, _ = running.communicate(timeout=60)
    assert running.returncode == 130, output
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), "the end of apps and clients")
    found = load(tmp_path)
    assert found.interrupted
    assert found.samples[0].sound
    assert (tmp_path / "report.html").exists()


def test_runs_can_be_compared_and_shown_again(tmp_path: Path) -> None:
    old, new, again = tmp_path / "old", tmp_path / "new", tmp_path / "again"
    for folder in (old, new):
        assert run("servers", *TINY, "--peer", "direct", "--output", folder).exit_code == 0
    compared = run("compare", old, new)
    assert compared.exit_code == 0, compared.output
    assert "servers" in compared.output
    assert json.loads(run("compare", "--json", old, new).output)
    assert run("plot", old, "--output", again).exit_code == 0
    assert (again / "report.html").exists()
    assert "| " in run("plot", old, "--markdown", "servers").output
    unknown = run("plot", old, "--markdown", "nonsense")
    assert "expected one of this run's: servers" in message(unknown)


def test_what_is_no_run_is_said(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"format": 99}')
    assert "format 99" in message(run("compare", tmp_path, tmp_path))
    (tmp_path / "run.json").write_text("nonsense")
    assert "no run of `fingerpost bench` can be read" in message(run("plot", tmp_path))


def test_all_peers_are_listed_with_why_one_is_missing() -> None:
    listed = json.loads(run("peers", "--json").output)
    assert list(listed) == [peer.name for peer in known_peers()]
    assert listed["fingerpost"]["missing"] is None
    assert run("peers").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["servers", "--peer", "squid"], "no peer 'squid'"),
        (["servers", "--peer", "go", "--peer", "go"], "go is named twice"),
        (["servers", "--peer", "x=relay --listen 80"], "{port}"),
        (["servers", "--servers", "many"], "is not like 50,75,100 or 50-275/25"),
        (["servers", "--servers", "0"], "0 is not from 1"),
        (["servers", "--size", "4"], "4 is not in the range"),
        (["servers", "--servers", "50", "--clients", "100000"], "descriptors in one process"),
        (["capacity", "--servers", "50000"], "--first-port"),
        (["capacity", "--servers", "10", "--clients", "4000", "--rounds", "1"], "ip_local_port_range"),
        (["messages", "--messages", "5"], "--messages must be at least --tunnels"),
        (["requests", "--requests", "5"], "--requests must be at least --connections"),
        (["connects", "--connections", "5"], "--connections must be at least --at-once"),
        (["servers", "--relay-cpus", "4096"], "this process may use"),
        (["servers", "--relay-cpus", "zero"], "is not like 0 or 1,2,3 or 2-5"),
        (["servers", "--output", "/proc/here"], "expected a folder that can be made"),
        (["servers", "--deadline", "0"], "is not in the range"),
    ],
)
def test_what_cannot_be_measured_is_said_before_it_starts(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code != 0
    assert said in message(result)


def test_relay_and_load_cannot_share_a_cpu() -> None:
    cpu = str(min(os.sched_getaffinity(0)))
    result = run("servers", "--relay-cpus", cpu, "--load-cpus", cpu)
    assert result.exit_code == 2
    assert "must leave each other" in message(result)


def test_errors_of_the_benchmark_are_one_line_and_exit_status_2() -> None:
    command = [sys.executable, "-m", "fingerpost", "bench", "capacity", "--servers", "50000"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("fingerpost: capacity at 50000 servers: ")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("50-275/75", (50, 125, 200, 275)),
        ("7", (7,)),
        ("9,3, 3-5/1", (3, 4, 5, 9)),
        ("500-7000/3000", (500, 3500, 6500)),
    ],
)
def test_steps_are_numbers_or_spans(text: str, numbers: tuple[int, ...]) -> None:
    assert Numbers().convert(text, None, None) == numbers


def test_there_is_a_command_for_every_experiment_and_its_defaults_are_those_of_all() -> None:
    defaults = {
        name: {option.name: option.default for option in command.params if isinstance(option, click.Option)}
        for name, command in bench.commands.items()
    }
    for experiment in suites.full():
        asked = experiment.asked
        assert asked.name in defaults
        steps = [value for value in defaults[asked.name].values() if isinstance(value, str) and "/" in value]
        if asked.axis:
            assert Numbers().convert(steps[0], None, None) == tuple(map(int, asked.points))
        options = defaults[asked.name]
        for name in ("clients", "messages", "size", "tunnels", "connections", "requests", "at_once", "times"):
            if name in asked.parameters:
                assert options[name] == asked.parameters[name], (asked.name, name)


def test_the_small_suite_asks_all_that_the_full_one_asks() -> None:
    assert [one.name for one in suites.small()] == [one.name for one in suites.full()]
