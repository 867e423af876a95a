"""A reader at their terminals, who types what a page says: commands in order, servers left running."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from child import Child, clean_environment
from docs.pages import ROOT, Block

DEADLINE_S = 60.0
_NOT_IN_A_CLONE = frozenset({".git", ".venv", "results"})

SERVERS = {
    "make demo": r"clock +http://\w+\.localhost:\d+/",
    "fingerpost serve": r"listening on http://",
    "python3 -m http.server": r"Serving HTTP on",
}
"""Commands that stay, by how they begin, and what they say when they are ready."""


class Terminal:
    """Runs blocks of a page in a home directory and a clone of their own.

    What a page says stays as it is, but for ports, which must be free ones where tests run, and for what
    ``instead`` replaces.

    Attributes:
        outputs: What each command wrote, by the command as the page has it.
    """

    def __init__(self, directory: Path, instead: Mapping[str, str]) -> None:
        self.outputs: dict[str, str] = {}
        self._ports = {"8080": free_port(), "8888": free_port()}
        self._instead = dict(instead)
        self._home = directory / "home"
        self._home.mkdir()
        self._clone = clone(directory / "fingerpost")
        self._servers: dict[str, Child] = {}
        self._environment = clean_environment() | {
            "HOME": str(self._home),
            "PATH": f"{self._clone / '.venv' / 'bin'}:{os.environ['PATH']}",
            "FINGERPOST_LISTEN": f"127.0.0.1:{self._ports['8080']}",
        }
        self._environment.pop("XDG_CONFIG_HOME", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for command in list(self._servers):
            self.stop(command)

    def type(self, block: Block) -> None:
        """Run a block: line by line if it is a shell's, as a whole if it is Python's.

        Raises:
            AssertionError: A command failed; the message has it, with all that it said.
        """
        if block.kind == "python":
            self._run(block.text, [sys.executable, "-c", self._here(block.text)])
            return
        for line in block.text.splitlines():
            if any(line.startswith(server) for server in SERVERS):
                self._start(line)
            else:
                self._run(line, ["bash", "-euo", "pipefail", "-c", self._here(line)])

    def stop(self, command: str) -> int:
        """End a server as Ctrl-C does: its whole process group gets the signal. Returns its exit status."""
        child = self._servers.pop(command)
        os.killpg(child.process.pid, signal.SIGTERM)
        return child.stop()

    def _here(self, text: str) -> str:
        for theirs, ours in {**self._ports, **self._instead}.items():
            text = text.replace(theirs, ours)
        return text

    def _run(self, command: str, words: list[str]) -> None:
        ended = subprocess.run(
            words,
            env=self._environment,
            cwd=self._clone,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert ended.returncode == 0, f"{command}\nended with {ended.returncode}:\n{ended.stdout}"
        self.outputs[command] = ended.stdout

    def _start(self, command: str) -> None:
        words = ["bash", "-c", f"exec {self._here(command)}"]
        child = Child(words, environment=self._environment, directory=self._clone)
        self._servers[command] = child
        ready = next(pattern for beginning, pattern in SERVERS.items() if command.startswith(beginning))
        child.wait_for_line(ready, DEADLINE_S)
        self.outputs[command] = child.output()


def clone(directory: Path) -> Path:
    """A working copy in which make finds the environment that these tests run in, instead of making one."""
    directory.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in _NOT_IN_A_CLONE and not entry.name.endswith("_cache"):
            (directory / entry.name).symlink_to(entry)
    environment = directory / ".venv"
    environment.mkdir()
    (environment / "bin").symlink_to(Path(sys.prefix) / "bin")
    (environment / ".ready").touch()
    return directory


def free_port() -> str:
    """A port on which nothing listens now, as text."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return str(listening.getsockname()[1])


def first_url(text: str) -> str:
    """The first URL of a sealed label in a text."""
    found = re.search(r"https?://[a-z2-7]{40,63}\.[^\s/]+", text)
    assert found, text
    return found[0]
