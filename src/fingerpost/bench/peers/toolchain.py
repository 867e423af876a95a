"""Build once, keep in a cache: where it is, how its content is named, and how a tool is run."""

import hashlib
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from fingerpost.bench.errors import BenchError

RELAYS = Path(__file__).parent.parent / "relays"
"""The sources of the relays that are written here. Not written to: an installed package may be read-only."""

_LAST_LINES = 15


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/fingerpost/bench``, or the same below ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # A relative one is to be ignored, says the XDG Base Directory Specification.
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "fingerpost" / "bench"


def content_hash(files: Iterable[Path], *others: str) -> str:
    """A short name for exactly these contents and these other facts, such as a compiler's version."""
    digest = hashlib.sha256()
    for part in [*(file.read_bytes() for file in sorted(files)), *(other.encode() for other in others)]:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]


def run_tool(
    command: list[str], *, deadline_s: float, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Run a compiler or the like; what it wrote to standard output.

    Raises:
        BenchError: It could not be started, failed, or took too long; with the last lines of what it said.
    """
    name = Path(command[0]).name
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline_s,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            check=False,
        )
    except OSError as error:
        raise BenchError(f"{name} does not start: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{name} took longer than {deadline_s:.0f} s") from error
    if ended.returncode:
        said = (ended.stdout + ended.stderr).strip().splitlines()[-_LAST_LINES:]
        raise BenchError(f"{name} failed with status {ended.returncode}: {' | '.join(said)}")
    return ended.stdout
