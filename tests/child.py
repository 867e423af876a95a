"""A program run for a test: its output as it comes, a deadline on every wait, nothing left behind."""

import os
import re
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self


def until(condition: Callable[[], bool], what: str, deadline_s: float = 10.0) -> None:
    """Return as soon as ``condition()`` holds.

    Raises:
        AssertionError: It still doesn't after ``deadline_s``; the message is ``what``.
    """
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        select.select([], [], [], 0.005)


def accepts(port: int) -> bool:
    """Whether somebody accepts connections on a port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def clean_environment() -> dict[str, str]:
    """This process's environment without fingerpost's settings, and with Python's output unbuffered."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("FINGERPOST_")}
    return kept | {"PYTHONUNBUFFERED": "1"}


class Child:
    """A child process in a process group of its own, read by two threads.

    Attributes:
        process: The `subprocess.Popen`.
        stdout: Lines written to standard output so far, without line ends.
        stderr: The same for standard error.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.command = [str(word) for word in command]
        self.stdout: list[str] = []
        self.stderr: list[str] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment() if environment is None else dict(environment),
            cwd=directory,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in ((self.process.stdout, self.stdout), (self.process.stderr, self.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_for_line(self, pattern: str, deadline_s: float = 20.0) -> re.Match[str]:
        """Find the first line, on either stream, in which ``pattern`` occurs; wait for it if need be.

        Raises:
            AssertionError: The deadline is over or the process has ended without it; quotes all output.
        """
        found = self.wait_for(lambda: self._search(pattern), f"line matching {pattern!r}", deadline_s)
        assert isinstance(found, re.Match)
        return found

    def wait_for(self, probe: Callable[[], object], what: str, deadline_s: float = 20.0) -> object:
        """Call ``probe`` after each new line until it answers something true, and return that.

        Raises:
            AssertionError: The deadline is over or the process has ended without it; quotes all output.
        """
        end = time.monotonic() + deadline_s
        with self._news:
            while not (found := probe()):
                over = not any(reader.is_alive() for reader in self._readers)
                left_s = end - time.monotonic()
                assert not over, f"ended ({self.process.poll()}) without {what}\n{self.output()}"
                assert left_s > 0, f"not within {deadline_s} s: {what}\n{self.output()}"
                self._news.wait(min(left_s, 0.5))
        return found

    def output(self) -> str:
        """Everything written so far, for messages."""
        return "\n".join([*self.stdout, "--- standard error:", *self.stderr])

    def stop(self, number: int = signal.SIGTERM, deadline_s: float = 15.0) -> int:
        """Send a signal, wait for the end and return the exit status; kill the whole group at the deadline.

        Raises:
            AssertionError: It had to be killed.
        """
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"didn't end {deadline_s} s after signal {number}\n{self.output()}") from None
        finally:
            self._close()
        return status

    def _close(self) -> None:
        for reader, stream in zip(self._readers, (self.process.stdout, self.process.stderr), strict=True):
            reader.join(5.0)
            if stream is not None and not reader.is_alive():  # else an orphan has it, and closing would wait for that
                stream.close()

    def _read(self, stream: IO[str], lines: list[str]) -> None:
        for line in stream:
            with self._news:
                lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def _search(self, pattern: str) -> re.Match[str] | None:
        matches = (re.search(pattern, line) for line in [*self.stdout, *self.stderr])
        return next((match for match in matches if match), None)
