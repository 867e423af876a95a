"""Start and stop the benchmark's own processes, each on a leash and in a process group of its own."""

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

_STOP_DEADLINE_S = 5.0
_TAIL_BYTES = 16384
_LAST_LINES = 40
_LINES_IN_A_MESSAGE = 4
_MAX_LINE_CHARS = 240
_PASSED_ON = frozenset({"PATH", "HOME", "LANG", "TMPDIR", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "XDG_CACHE_HOME"})
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def start(
    command: list[str],
    *,
    cpus: Iterable[int],
    log: Path,
    stdin: int | None = None,
    stdout: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command on a leash.

    Args:
        command: What to run.
        cpus: The CPUs it may use; none given means any.
        log: The file that what it says is added to.
        stdin: As `subprocess.Popen` has it; nothing to read by default.
        stdout: As `subprocess.Popen` has it; to the log by default.
        environment: What its environment has beside ours.
    """
    listed = ",".join(str(cpu) for cpu in sorted(cpus)) or "any"
    leash = [sys.executable, "-m", "fingerpost.bench.leash", str(os.getpid()), listed]
    with log.open("ab") as said:
        return subprocess.Popen(
            leash + command,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=said if stdout is None else stdout,
            stderr=said,
            env=_clean_environment() | dict(environment or {}),
            start_new_session=True,  # Ctrl-C is for the benchmark, which then stops its children in order
        )


def _clean_environment() -> dict[str, str]:
    """What of our environment a child gets: what it may need to run, and nothing that would configure a relay."""
    return {name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith("LC_")}


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, wait a little, then end it and all that it left in its process group."""
    if process.returncode is None:
        os.kill(process.pid, signal.SIGTERM)  # and not terminate(), which reaps one that has ended
        wait_for_end(process, _STOP_DEADLINE_S)
        # Before the leader is reaped its number can't be taken by anybody else, so this hits our own only.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
    for pipe in (process.stdin, process.stdout):
        _close(pipe)


def wait_for_end(process: subprocess.Popen[bytes], deadline_s: float) -> bool:
    """Wait until a process has ended, without reaping it; whether it did in time."""
    try:
        watch = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watch], [], [], deadline_s)[0])
    finally:
        os.close(watch)


def how_it_ended(process: subprocess.Popen[bytes]) -> str | None:
    """Its exit status or the signal that killed it, or None while it runs. It isn't reaped, so `stop` still works."""
    ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return None
    if ended.si_code == os.CLD_EXITED:
        return f"exit status {ended.si_status}"
    return f"killed by {signal.Signals(ended.si_status).name}"


def last_lines(log: Path) -> list[str]:
    """The last lines of what a process said, without colours and the like."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = [line.strip()[:_MAX_LINE_CHARS] for line in _ESCAPES.sub("", text).splitlines()]
    return list(filter(None, lines))[-_LAST_LINES:]


def tail(log: Path) -> str:
    """The very last of them on one line, for an error message."""
    return " | ".join(last_lines(log)[-_LINES_IN_A_MESSAGE:])


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        try:
            pipe.close()
        except BrokenPipeError:  # what we still had to say to it is of no interest now
            pass
