"""Any other relay that opens legacy labels, by the command that runs it."""

import re
import shlex
import shutil
from pathlib import Path

from fingerpost.bench.peers.legacy import LegacyPeer, write_legacy_key
from fingerpost.bench.peers.peer import Plan

PLACEHOLDERS = ("port", "key", "key_file", "folder")
"""What a command may contain in braces: where to listen, the Blowfish key, a file with it, a folder of its own."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}", re.IGNORECASE | re.ASCII)
_PLACEHOLDER = re.compile(r"\{(\w+)\}", re.ASCII)  # other braces are the command's own


class Custom(LegacyPeer):
    """A relay that is started by a command of the user's.

    Args:
        name: For tables and files.
        words: The command, with placeholders.
    """

    def __init__(self, name: str, words: list[str]) -> None:
        self.name = name
        self._words = words

    @classmethod
    def parse(cls, text: str) -> "Custom":
        """Read ``NAME=COMMAND``, the command as a shell would split it into words (there is no shell).

        Raises:
            ValueError: It has another form; the message says which is wanted.
        """
        name, _, command = text.partition("=")
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a peer: up to 32 letters, digits, dots, dashes")
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise ValueError(f"{name}: {command!r} can't be read: {error}") from None
        if not words:
            raise ValueError(f"{name}: a command is wanted, as in '{name}=./relay --listen 127.0.0.1:{{port}}'")
        used = {field for word in words for field in _PLACEHOLDER.findall(word)}
        if unknown := sorted(used - set(PLACEHOLDERS)):
            known = " ".join(f"{{{placeholder}}}" for placeholder in PLACEHOLDERS)
            raise ValueError(f"{name}: {{{unknown[0]}}} is unknown; there are {known}")
        if "port" not in used:
            raise ValueError(f"{name}: the command must contain {{port}}, where the relay is to listen on 127.0.0.1")
        return cls(name, words)

    def missing(self) -> str | None:
        """Whether the program can be found."""
        program = self._words[0]
        if "{" in program or shutil.which(program):
            return None
        return f"no {program} on the PATH" if "/" not in program else f"no program {program}"

    def version(self) -> str:
        """Its program's name; how to ask for more isn't known."""
        return f"custom, {Path(self._words[0]).name}"

    def command(self, plan: Plan) -> list[str]:
        """With everything filled in."""
        values = {
            "port": str(plan.port),
            "key": plan.legacy_key.decode("latin-1"),
            "key_file": str(write_legacy_key(plan)),
            "folder": str(plan.folder),
        }
        return [_PLACEHOLDER.sub(lambda found: values[found[1]], word) for word in self._words]
