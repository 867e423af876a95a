"""Programs from the distribution: where they are, and what version they call themselves."""

import re
import shutil
import subprocess

from fingerpost.bench.peers.peer import Peer

# Debian keeps servers where only root's PATH leads.
_ALSO = "/usr/local/sbin:/usr/sbin:/sbin"


def find_program(name: str) -> str | None:
    """The path of a program on the PATH, or where servers are installed."""
    return shutil.which(name) or shutil.which(name, path=_ALSO)


class Installed(Peer):
    """A program from the distribution, asked for its version by ``-v``."""

    program = ""

    def missing(self) -> str | None:
        """Whether it is installed."""
        if find_program(self.program):
            return None
        return f"no {self.program} on the PATH (Debian: apt install {self.program})"

    def version(self) -> str:
        """The first version number in what ``-v`` says."""
        command = [find_program(self.program) or self.program, "-v"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        found = re.search(r"\d+\.\d+[\w.+~-]*", said.stdout + said.stderr)
        return found[0] if found else "of unknown version"
