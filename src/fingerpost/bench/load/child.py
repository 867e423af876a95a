"""A load process, seen from both sides: how the benchmark talks to it, and how it answers.

It reads one JSON object a line from standard input (``{"command": …, "arguments": {…}}``) and answers each with
one line: an outcome, or an error. The end of standard input is its end.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from fingerpost.bench import process
from fingerpost.bench.errors import BenchError
from fingerpost.bench.load.outcome import Outcome

READY = "ready"

# The child keeps the deadline and says what it lost; this much later the parent stops waiting for the child.
_GRACE_S = 15.0
_END_S = 1.0
_PIPE_BYTES = 4096  # what a pipe that select() calls writable takes at once (pipe(7), PIPE_BUF)


class Site(NamedTuple):
    """One app as a client sees it: the Host it sends, and where it connects to (127.0.0.1)."""

    host: str
    port: int


def answer_commands(commands: Mapping[str, Callable[..., Outcome]]) -> None:
    """The main loop of a client process, which begins by saying that it is ready: to import takes a while."""
    print(READY, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            found = commands[request["command"]](**request["arguments"]).as_json()
        except Exception as error:  # whatever it is, it belongs into the table and not only into a log
            found = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(found), flush=True)


class LoadProcess:
    """A child that makes load.

    Args:
        module: The module of this package to run.
        cpus: The CPUs it may use; none given means any.
        log: The file for what it says on standard error.
        arguments: Of its command line.
    """

    def __init__(self, module: str, cpus: Iterable[int], log: Path, arguments: Iterable[str] = ()) -> None:
        self._name = module
        self._log = log
        self._unread = b""
        self._process = process.start(
            [sys.executable, "-m", f"{__package__}.{module}", *arguments],
            cpus=cpus,
            log=log,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def wait_until_ready(self, deadline_s: float) -> None:
        """Wait until it takes commands.

        Raises:
            BenchError: It doesn't.
        """
        if (said := self.read_line(deadline_s)) != READY.encode():
            raise BenchError(f"{self._name}, of the load, said {said!r} instead of being ready")

    def begin(self, command: str, arguments: Mapping[str, object]) -> None:
        """Have a command carried out; `outcome` waits for what comes of it.

        Raises:
            BenchError: It has ended, or doesn't read.
        """
        assert self._process.stdin is not None
        line = json.dumps({"command": command, "arguments": arguments}).encode() + b"\n"
        descriptor, ends_at = self._process.stdin.fileno(), time.monotonic() + _GRACE_S
        os.set_blocking(descriptor, False)
        try:
            while line:
                if not select.select([], [descriptor], [], max(0.0, ends_at - time.monotonic()))[1]:
                    raise BenchError(f"{self._name} takes no command: {process.tail(self._log)}")
                line = line[os.write(descriptor, line[:_PIPE_BYTES]) :]
        except BrokenPipeError as error:
            raise self._ended() from error

    def outcome(self, deadline_s: float) -> Outcome:
        """What came of the command that was begun.

        Args:
            deadline_s: What it was given; it gets a little more, to say what it did not finish.

        Raises:
            BenchError: It failed as a whole, ended, or did not answer.
        """
        found = json.loads(self.read_line(deadline_s + _GRACE_S))
        if "error" in found:
            raise BenchError(f"{self._name}: {found['error']}")
        return Outcome.from_json(found)

    def read_line(self, deadline_s: float) -> bytes:
        """The next line that it prints.

        Raises:
            BenchError: It ended, or there was none in time.
        """
        assert self._process.stdout is not None
        ends_at = time.monotonic() + deadline_s
        while b"\n" not in self._unread:
            left_s = ends_at - time.monotonic()
            if left_s <= 0 or not select.select([self._process.stdout], [], [], left_s)[0]:
                raise BenchError(f"{self._name} did not answer in {deadline_s:.0f} s")
            chunk = os.read(self._process.stdout.fileno(), 1 << 20)
            if not chunk:
                raise self._ended()
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def check(self) -> None:
        """Make sure that it still runs.

        Raises:
            BenchError: It has ended.
        """
        if process.wait_for_end(self._process, 0.0):
            raise self._ended()

    def stop(self) -> None:
        """End it."""
        process.stop(self._process)

    def _ended(self) -> BenchError:
        process.wait_for_end(self._process, _END_S)
        said = process.tail(self._log) or "it said nothing"
        return BenchError(f"{self._name}, of the load, has ended: {process.how_it_ended(self._process)}: {said}")
