"""Upgrading: a new supervisor takes over listeners, tunnels and clients, or the old one goes on as before."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from child import until
from dataplane.origins import Origin, answering, echo, origin
from dataplane.tunnels import App, read_exactly, tunnel
from dataplane.wire import Wire, request
from endurance.lineage import Lineage, exists
from relay import FINGERPOST, Relay, descendants


@pytest.fixture(scope="module")
def app() -> Iterator[Origin]:
    with origin(answering(echo)) as running:
        yield running


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Lineage]]:
    started: list[Lineage] = []

    def start(*flags: str, program: tuple[str, ...] = FINGERPOST) -> Lineage:
        started.append(Lineage(tmp_path, *flags, program=program))
        return started[-1]

    yield start
    for lineage in started:
        lineage.stop()


def answer(relay: Relay, app: Origin) -> int:
    with Wire(relay.connection()) as wire:
        wire.send(request(relay.host(app.target)))
        return wire.read_response().status


def test_a_new_supervisor_takes_over_and_the_old_one_goes(start: Callable[..., Lineage], app: Origin) -> None:
    lineage = start()
    old = lineage.child.process.pid
    workers = descendants(old)
    with Wire(lineage.relay.connection()) as wire:
        wire.send(request(lineage.relay.host(app.target)))
        assert wire.read_response().status == 200
        new = lineage.upgrade()
        assert new != old
        assert lineage.status()["pid"] == new
        assert lineage.child.process.wait(20) == 0
        until(lambda: not any(map(exists, workers)), "the old workers have gone")
        wire.send(request(lineage.relay.host(app.target)))
        assert wire.read_response().status == 200
    assert answer(lineage.relay, app) == 200


def test_tunnels_live_on_through_many_versions(start: Callable[..., Lineage]) -> None:
    lineage = start()
    with App() as app, tunnel(lineage.relay, app) as (client, served):
        for number in range(4):
            client.sendall(b"to the app %d" % number)
            assert read_exactly(served, 12) == b"to the app %d" % number
            before = lineage.status()["pid"]
            lineage.upgrade()
            until(lambda: not exists(before), "the old version has gone")  # noqa: B023
            served.sendall(b"to the client %d" % number)
            assert read_exactly(client, 15) == b"to the client %d" % number


def test_user_signal_2_is_an_upgrade(start: Callable[..., Lineage], app: Origin) -> None:
    lineage = start()
    lineage.child.process.send_signal(signal.SIGUSR2)
    lineage.child.wait_for_line(r"process \d+ has taken over")
    assert lineage.child.process.wait(20) == 0
    assert answer(lineage.relay, app) == 200


def test_the_pid_file_and_the_socket_become_the_new_ones(start: Callable[..., Lineage], tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    lineage = start("--pid-file", str(pid_file))
    new = lineage.upgrade()
    assert lineage.child.process.wait(20) == 0
    assert pid_file.read_text() == f"{new}\n"
    assert lineage.socket.exists()
    assert lineage.socket.stat().st_mode & 0o777 == 0o600


VERSIONED = """
import pathlib, runpy, sys
broken = pathlib.Path({path!r})
if broken.exists():
    exec(broken.read_text())
sys.argv[0] = "fingerpost"
runpy.run_module("fingerpost", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("breakage", "said"),
    [
        ("raise SystemExit(7)", "it exited with status 7"),
        ("import os; os.kill(os.getpid(), 9)", "it was killed by signal 9"),
        ("sys.argv += ['--max-fields', '1']", "it exited with status 2"),
        ("import fingerpost.control.worker as w; w.worker_command = lambda: ['false']", "it exited with status 1"),
    ],
)
def test_a_version_that_does_not_come_up_changes_nothing(
    start: Callable[..., Lineage], tmp_path: Path, app: Origin, breakage: str, said: str
) -> None:
    program, broken = tmp_path / "program.py", tmp_path / "broken.py"
    program.write_text(VERSIONED.format(path=str(broken)))
    lineage = start(program=(sys.executable, str(program)))
    workers = descendants(lineage.child.process.pid)
    broken.write_text(breakage)
    with App() as tunnelled, tunnel(lineage.relay, tunnelled) as (client, served):
        ended = lineage.command("upgrade")
        assert ended.returncode == 2
        assert f"the new version did not come up: {said}" in ended.stderr
        client.sendall(b"still here")
        assert read_exactly(served, 10) == b"still here"
    assert lineage.status()["pid"] == lineage.child.process.pid
    assert descendants(lineage.child.process.pid) == workers
    assert answer(lineage.relay, app) == 200
    broken.unlink()
    assert lineage.upgrade() != lineage.child.process.pid
    assert lineage.child.process.wait(20) == 0


def test_a_version_that_can_not_be_started_changes_nothing(
    start: Callable[..., Lineage], tmp_path: Path, app: Origin
) -> None:
    interpreter, program = tmp_path / "python", tmp_path / "program.py"
    interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    interpreter.chmod(0o700)
    never = VERSIONED.format(path=str(tmp_path / "never"))
    program.write_text(f"import sys; sys.executable = {str(interpreter)!r}\n{never}")
    lineage = start(program=(str(interpreter), str(program)))
    interpreter.unlink()
    ended = lineage.command("upgrade")
    assert ended.returncode == 2
    assert "the new version can't be started: " in ended.stderr
    assert answer(lineage.relay, app) == 200


def test_the_end_of_the_new_version_is_the_end_of_what_the_old_one_still_finishes(
    start: Callable[..., Lineage],
) -> None:
    lineage = start("--drain-timeout-s", "1")
    with App() as app, lineage.relay.connection() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % lineage.relay.host(app.target).encode())
        with app.accept():
            new = lineage.upgrade()
            assert exists(lineage.child.process.pid)  # it has an exchange to finish
            os.kill(new, signal.SIGTERM)
            lineage.child.process.wait(20)
            until(lambda: not exists(new), "the new one has gone, too")
    lineage.stop = lambda: None  # type: ignore[method-assign]
    lineage.child.stop()
