"""The demonstration's proxy: `fingerpost serve` as a child process, and what it says line by line."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fingerpost.errors import FingerpostError

DRAIN_GRACE_S = 1.0
STOP_TIMEOUT_S = 5.0
ANY_FREE_PORT = "127.0.0.1:0"

_ERROR = "fingerpost: "
_LISTENING = re.compile(r"listening on http://\S+:(?P<port>[0-9]+)")


class ProxyFailedError(FingerpostError):
    """The proxy ended by itself; the message is what it said about it."""


class ChildProxy:
    """A context in which `fingerpost serve` runs with an access log.

    Args:
        listen: ADDR:PORT, where port 0 is any free one.
        domain: The wildcard suffix it serves.
        key_file: Opens the labels.
    """

    def __init__(self, listen: str, domain: str, key_file: Path) -> None:
        serve = [sys.executable, "-P", "-m", "fingerpost", "serve", "--listen", listen, "--domain", domain]
        serve += ["--workers", "1"]  # it has few clients, and a start that takes no time
        self._command = [*serve, "--key-file", str(key_file), "--access-log", "-", "--log-level", "warning"]

    def __enter__(self) -> Self:
        # Settings from the environment are meant for a real proxy. A session of its own keeps the terminal's
        # Ctrl-C for the demonstration alone, which then stops the proxy in order.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("FINGERPOST_")}
        self._process = subprocess.Popen(
            self._command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ask for a drain, then for a stop at once: a clock's stream would hold the drain to its time-out."""
        for number, patience_s in ((signal.SIGTERM, DRAIN_GRACE_S), (signal.SIGTERM, STOP_TIMEOUT_S)):
            if self._process.poll() is None:
                self._process.send_signal(number)
            try:
                self._process.wait(patience_s)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def wait_until_ready(self) -> int:
        """Return the port on which it accepts connections.

        Raises:
            ProxyFailedError: It ended instead.
        """
        said = []
        for line in self._lines():
            if listening := _LISTENING.search(line):
                return int(listening["port"])
            said.append(line)
        reasons = [line.removeprefix(_ERROR) for line in said if line.startswith(_ERROR)] or said
        if any(line.startswith("listen") for line in reasons):
            reasons.append(f"to take any free port: fingerpost demo --listen {ANY_FREE_PORT}")
        raise ProxyFailedError("\n".join(reasons) or self._end())

    def news(self) -> Iterator[dict[str, Any] | str]:
        """What it writes from now on: access log records as dicts, anything else as text.

        Raises:
            ProxyFailedError: It ended.
        """
        for line in self._lines():
            yield _record(line) or line
        raise ProxyFailedError(self._end())

    def _end(self) -> str:
        return f"the proxy ended with status {self._process.wait()}"

    def _lines(self) -> Iterator[str]:
        assert self._process.stdout
        for line in self._process.stdout:
            yield line.rstrip("\n")


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
