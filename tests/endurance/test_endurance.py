"""Never down: under load, workers are killed, stopped, replaced and upgraded, and only what must break breaks."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from child import clean_environment, until
from dataplane.origins import origin
from dataplane.procfs import open_files, resident_mib
from endurance.lineage import Lineage, exists
from endurance.traffic import Traffic, echo_unrecorded
from relay import descendants
from upstreams import websocket_echo

RUN_S = 12.0
"""How long workers are killed; once a second."""

RELOADS = 50
UPGRADES = 10


@pytest.fixture(scope="module")
def apps() -> Iterator[tuple[str, str]]:
    """An HTTP and a WebSocket app."""
    with origin(echo_unrecorded) as http, websocket_echo() as websocket:
        yield http.target, websocket


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Lineage]]:
    started: list[Lineage] = []

    def start(*flags: str) -> Lineage:
        started.append(Lineage(tmp_path, "--access-log", str(tmp_path / "log"), *flags))
        return started[-1]

    yield start
    for lineage in started:
        lineage.stop()


def serving(lineage: Lineage) -> list[dict[str, Any]]:
    """The workers that accept."""
    return [worker for worker in lineage.status()["workers"] if worker["state"] == "serving"]


@pytest.mark.timeout(180)
def test_killing_a_worker_every_second_breaks_only_what_it_had(
    start: Callable[..., Lineage], apps: tuple[str, str]
) -> None:
    lineage = start("--workers", "4")
    supervisor = lineage.child.process.pid
    with Traffic(lineage.relay, *apps, clients=4) as traffic:
        until(lambda: min(traffic.done[kind] for kind in ("upload", "websocket")) > 0, "traffic")
        before, memory_mib = open_files(supervisor), resident_mib(supervisor)
        kills = []
        begin = time.monotonic()
        while time.monotonic() - begin < RUN_S:
            victim = random.choice(serving(lineage))
            os.kill(victim["pid"], signal.SIGKILL)
            kills.append(time.monotonic())
            until(lambda: len(serving(lineage)) == 4, "four workers again", 5.0)
        failures = list(traffic.failures)
    assert len(kills) >= 5
    assert not any(isinstance(failure.error, ConnectionRefusedError | TimeoutError) for failure in failures), failures
    # What breaks had been on the worker that was killed, and breaks with it.
    late = [failure for failure in failures if min(abs(failure.at - kill) for kill in kills) > 0.5]
    assert late == []
    assert len(failures) < 16 * len(kills)
    assert all(traffic.done[kind] > 20 for kind in ("new connection", "kept connection", "upload", "websocket"))
    until(lambda: open_files(supervisor) <= before, "no descriptor is left behind")
    assert resident_mib(supervisor) - memory_mib < 2.0


@pytest.mark.timeout(400)
def test_reloads_and_upgrades_in_a_row_cost_no_request_and_no_tunnel(
    start: Callable[..., Lineage], apps: tuple[str, str]
) -> None:
    lineage = start("--workers", "2")
    versions = [lineage.child.process.pid]
    with Traffic(lineage.relay, *apps, clients=3) as traffic:
        for number in range(RELOADS):
            ended = lineage.command("reload")
            assert ended.returncode == 0, ended.stderr
            if number % (RELOADS // UPGRADES) == 0:
                versions.append(lineage.upgrade())
        assert traffic.failures == []
        done = traffic.done.copy()
    assert traffic.failures == []
    assert all(count > 50 for count in done.values()), done
    until(lambda: not any(map(exists, versions[:-1])), "the old versions have gone", 30.0)
    until(lambda: len(descendants(versions[-1])) == 2, "two workers are left", 30.0)
    assert "could not be handed over" not in lineage.child.output()


@pytest.mark.timeout(180)
def test_a_stopped_worker_is_replaced_and_the_others_go_on_as_quickly(
    start: Callable[..., Lineage], apps: tuple[str, str]
) -> None:
    lineage = start("--workers", "2")
    with Traffic(lineage.relay, *apps, clients=2) as traffic:
        until(lambda: traffic.done["websocket"] > 0, "traffic")
        stopped = serving(lineage)[0]["pid"]
        os.kill(stopped, signal.SIGSTOP)
        until(lambda: not exists(stopped), "it is killed", 15.0)
        until(lambda: len(serving(lineage)) == 2, "two workers again")
        failed = len(traffic.failures)
        done = traffic.done.copy()
        until(lambda: all(traffic.done[kind] > done[kind] + 20 for kind in done), "all kinds of traffic go on")
        assert len(traffic.failures) == failed
    assert "was silent for 5 s and was killed" in lineage.child.output()


@pytest.mark.timeout(180)
def test_the_comparison_of_reloads_runs_and_shows_nothing_broken_here() -> None:
    words = [sys.executable, "-W", "ignore", "-m", "endurance.reloads", "--reloads", "2", "--tunnels", "10"]
    environment = clean_environment() | {"PYTHONPATH": str(Path(__file__).parents[1])}
    ended = subprocess.run(words, capture_output=True, text=True, timeout=150, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr
    rows = {line.split()[0]: line.split()[1:] for line in ended.stdout.splitlines()[1:]}
    assert set(rows) == {"fingerpost", "nginx", "haproxy"}
    failed, done, *broken = rows["fingerpost"][:5]
    assert (failed, broken) == ("0", ["0", "+", "0"])
    assert int(done) > 1000
