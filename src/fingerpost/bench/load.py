"""The load runs in processes of its own: how the benchmark talks to them, and how they answer.

A client process reads one JSON object a line from standard input (``{"command": …, "arguments": {…}}``) and
answers each with one line: an outcome, or an error. The end of standard input is its end.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from fingerpost.bench import process
from fingerpost.bench.errors import BenchError

# The child keeps the deadline and says what it lost; this much later the parent stops waiting for the child.
_GRACE_S = 5.0


class Site(NamedTuple):
    """One app as a client sees it: the Host it sends, and where it connects to (127.0.0.1)."""

    host: str
    port: int


@dataclass(slots=True)
class Outcome:
    """What a client did and what it found.

    Attributes:
        done: Units completed and checked: tunnels, messages, requests or bytes.
        seconds: From the start of the first to the end of the last.
        faults: How often what went wrong, by kind; empty when every byte was right.
    """

    done: int = 0
    seconds: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)


class FaultError(Exception):
    """Something a relay should not have done to one connection; the message is its kind, for counting."""


def fault_kind(error: OSError | FaultError) -> str:
    """The name under which an error is counted."""
    if isinstance(error, FaultError):
        return str(error)
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__


def outcome(done: int, started: float, faults: Counter[str]) -> Outcome:
    """What came of the work that began at ``started`` (`time.perf_counter`) and ends now."""
    return Outcome(done, time.perf_counter() - started, dict(faults))


def answer_commands(commands: Mapping[str, Callable[..., Outcome]]) -> None:
    """The main loop of a client process."""
    for line in sys.stdin:
        request = json.loads(line)
        try:
            found = asdict(commands[request["command"]](**request["arguments"]))
        except Exception as error:  # whatever it is, it belongs into the table and not only into a log
            found = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(found), flush=True)


class LoadProcess:
    """A child that makes load.

    Args:
        module: The module of this package to run.
        cpus: The CPUs it may use; none given means any.
        folder: Where its log goes.
    """

    def __init__(self, module: str, cpus: Iterable[int], folder: Path) -> None:
        self._name = module
        self._log = folder / f"{module}.log"
        self._unread = b""
        self._process = process.start(
            [sys.executable, "-m", f"{__package__}.{module}"],
            cpus=cpus,
            log=self._log,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def call(self, command: str, *, deadline_s: float, **arguments: object) -> Outcome:
        """Have a command carried out and wait for what came of it.

        Raises:
            BenchError: It failed as a whole, ended, or did not answer.
        """
        assert self._process.stdin is not None
        request = {"command": command, "arguments": {**arguments, "deadline_s": deadline_s}}
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise BenchError(f"{self._name} has ended: {process.tail(self._log)}") from error
        found = json.loads(self.read_line(deadline_s + _GRACE_S))
        if "error" in found:
            raise BenchError(f"{self._name}: {found['error']}")
        return Outcome(**found)

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
            chunk = os.read(self._process.stdout.fileno(), 65536)
            if not chunk:
                raise BenchError(f"{self._name} has ended: {process.tail(self._log)}")
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def stop(self) -> None:
        """End it."""
        process.stop(self._process)
