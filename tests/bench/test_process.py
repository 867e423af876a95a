"""Nothing that the benchmark starts outlives it."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from child import until
from fingerpost.bench import process, procfs

_SPAWNS_A_CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'], stdin=0)"
_DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); input()"


@contextlib.contextmanager
def watched(pid: int) -> Iterator[int]:
    """A descriptor that becomes readable when that very process has ended, whoever gets its number then."""
    watch = os.pidfd_open(pid)
    try:
        yield watch
    finally:
        os.close(watch)


def ended(watch: int, deadline_s: float = 10.0) -> bool:
    return bool(select.select([watch], [], [], deadline_s)[0])


def start(tmp_path: Path, code: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", code]
    return process.start(command, cpus=(), log=tmp_path / "log", stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_stop_ends_the_children_of_a_child_too(tmp_path: Path) -> None:
    parent = start(tmp_path, _SPAWNS_A_CHILD)
    until(lambda: bool(procfs.descendants(parent.pid)), "the child's child")
    with watched(procfs.descendants(parent.pid)[0]) as grandchild:
        process.stop(parent)
        assert ended(grandchild)


def test_stop_ends_what_ignores_a_request_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_STOP_DEADLINE_S", 0.1)
    deaf = start(tmp_path, _DEAF)
    assert deaf.stdout is not None
    assert deaf.stdout.readline() == b"deaf\n"
    process.stop(deaf)
    assert deaf.returncode == -signal.SIGKILL


def test_a_leashed_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import pathlib, subprocess, sys; from fingerpost.bench import process;"
        "process.start([sys.executable, '-c', 'import sys; print(1, flush=True); sys.stdin.read()'], cpus=(),"
        " log=pathlib.Path(sys.argv[1]), stdin=subprocess.PIPE, stdout=sys.stdout.fileno()); input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "log")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"1\n"  # written by the leashed one, so it is leashed by now
        with watched(procfs.descendants(parent.pid)[0]) as leashed:
            parent.kill()
            assert ended(leashed)


def test_a_process_is_put_on_the_cpus_that_were_asked_for(tmp_path: Path) -> None:
    cpu = max(os.sched_getaffinity(0))
    command = [sys.executable, "-c", "import os; print(os.sched_getaffinity(0), flush=True); input()"]
    child = process.start(command, cpus=[cpu], log=tmp_path / "log", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline().decode() == f"{{{cpu}}}\n"
    finally:
        process.stop(child)


def test_cpu_time_counts_what_a_process_does(tmp_path: Path) -> None:
    code = "print(0, flush=True); input(); sum(range(5_000_000)); print(1, flush=True); input()"
    worker = start(tmp_path, code)
    try:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdout.readline()
        before = procfs.cpu_s([worker.pid])
        worker.stdin.write(b"\n")
        worker.stdin.flush()
        worker.stdout.readline()
        assert procfs.cpu_s([worker.pid]) - before > 0.01
    finally:
        process.stop(worker)


def test_memory_counts_what_a_process_holds(tmp_path: Path) -> None:
    code = "print(0, flush=True); input(); held = b'x' * 20_000_000; print(1, flush=True); input()"
    holder = start(tmp_path, code)
    try:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdout.readline()
        before = procfs.memory([holder.pid])
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        holder.stdout.readline()
        after = procfs.memory([holder.pid])
        assert 19_000_000 < after.private - before.private < 22_000_000
        assert after.peak_rss >= after.rss > before.rss
    finally:
        process.stop(holder)


def test_the_last_lines_of_a_log_are_whole_and_without_colours(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert process.tail(log) == ""
    log.write_bytes(
        b"early\n" * 5000 + b"\x1b[31merror\x1b[39m: too many open files\n\n" + b"x" * 1000 + b"\n\xff last\n"
    )
    lines = process.last_lines(log)
    assert set(lines[:-3]) == {"early"}
    assert lines[-3] == "error: too many open files"
    assert len(lines[-2]) < 300
    assert lines[-1] == "\ufffd last"
    assert process.tail(log) == " | ".join(lines[-4:])


def test_nothing_of_our_environment_configures_a_relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINGERPOST_MAX_HEAD_BYTES", "1")
    monkeypatch.setenv("NODE_OPTIONS", "--nonsense")
    command = [sys.executable, "-c", "import os; print(sorted(os.environ), flush=True); input()"]
    child = process.start(
        command,
        cpus=(),
        log=tmp_path / "log",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        environment={"GOMAXPROCS": "1"},
    )
    try:
        assert child.stdout is not None
        names = child.stdout.readline().decode()
    finally:
        process.stop(child)
    assert "GOMAXPROCS" in names
    assert "PATH" in names
    assert "FINGERPOST_MAX_HEAD_BYTES" not in names
    assert "NODE_OPTIONS" not in names
