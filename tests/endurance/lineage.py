"""A proxy through its versions: started once, upgraded in place, reached by its address and its control socket."""

import json
import subprocess
from pathlib import Path
from typing import Any

from child import Child, until
from fingerpost import Keyring
from relay import DOMAIN, FINGERPOST, Relay, descendants


class Lineage:
    """A proxy through its versions.

    Attributes:
        relay: The address and the keys, which stay; its ``child`` is the first version's process.
    """

    def __init__(self, directory: Path, *flags: str, program: tuple[str, ...] = FINGERPOST) -> None:
        keyring = Keyring.generate()
        keys = directory / "keys"
        keys.touch(0o600)
        keys.write_text(keyring.dump())
        self.socket = directory / "control.sock"
        command = [*program, "serve", "--workers", "2", "--listen", "127.0.0.1:0", "--domain", DOMAIN]
        command += ["--key-file", str(keys), "--control-socket", str(self.socket), *flags]
        self.child = Child(command, directory=directory)
        port = int(self.child.wait_for_line(r"listening on http://\S+:(\d+)")[1])
        self.relay = Relay(self.child, port, keyring, directory)

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run one of fingerpost's commands on it."""
        whole = [*FINGERPOST, *words, "--control-socket", str(self.socket)]
        return subprocess.run(whole, capture_output=True, text=True, timeout=100, check=False)

    def status(self) -> dict[str, Any]:
        """The report of who is in charge."""
        report: dict[str, Any] = json.loads(self.command("status", "--json").stdout)
        return report

    def upgrade(self) -> int:
        """Upgrade; return who is in charge now."""
        ended = self.command("upgrade")
        assert ended.returncode == 0, ended.stderr + self.child.output()
        return int(ended.stdout.split()[2])

    def stop(self) -> None:
        """End whoever is in charge, and wait until everybody has gone."""
        pid = self.status()["pid"]
        workers = descendants(pid)
        self.command("stop", "--now")
        until(lambda: not any(map(exists, {pid, *workers})), "all have gone")
        assert self.child.stop() == 0
        assert "Traceback" not in self.child.output(), self.child.output()


def exists(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
