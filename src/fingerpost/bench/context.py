"""Where and how a run is made, without which its figures mean nothing; nothing in it names the machine or its users."""

import os
import platform
import re
import resource
import shlex
import ssl
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import fingerpost

_LIBRARIES = ("cryptography", "numpy", "matplotlib", "rich")
_GIT_TIMEOUT_S = 10.0
_FOLDERS = re.compile(r"(?<![\w./~])(?:~[\w.-]*)?/(?!/)(?:[^\s/'\"=:,;]+/)*")
_WHOLE_PATH = re.compile(r"(?P<option>--?[\w-]+=)?[/~].*/(?P<last>[^/]*)", re.DOTALL)


def context(
    peers: Mapping[str, str], *, rounds: int, pinned: Mapping[str, str], command: Sequence[str]
) -> dict[str, Any]:
    """What belongs to a run's figures; strings, numbers, and dicts of them.

    Args:
        peers: Each peer's version, or ``missing: why``.
        rounds: How often each has its turn.
        pinned: Who runs on which CPUs, by experiment.
        command: The command line; of absolute paths only the last part is kept.
    """
    found: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": _command(command),
        "commit": _commit(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "virtualised": _virtualised(),
        "governor": _governor(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_average": round(os.getloadavg()[0], 2),
        "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "rounds": rounds,
        "pinned": dict(pinned),
        "versions": _versions(),
        "peers": {name: without_folders(state) for name, state in peers.items()},
    }
    return {name: value for name, value in found.items() if value != ""}


def without_folders(text: str) -> str:
    """Text in which each absolute path is only its last part: where somebody keeps things is nobody's business."""
    return _FOLDERS.sub("", text)


def _command(command: Sequence[str]) -> str:
    if not command:
        return ""
    program = Path(command[0]).name
    # `python -m fingerpost` is started by the file's path.
    named = ["fingerpost" if program == "__main__.py" else program]
    for part in command[1:]:
        whole = _WHOLE_PATH.fullmatch(part)  # a path may have spaces in it, which a path in a sentence hasn't
        named.append((whole["option"] or "") + whole["last"] if whole else without_folders(part))
    return shlex.join(named)


def _commit() -> str:
    """The commit that the package was at, if it lies in a checkout of its own; whether it is changed is said."""
    here = Path(fingerpost.__file__).parent
    # An installed package may lie in somebody else's checkout, which then doesn't know its files.
    if not _git(here, "ls-files", "--error-unmatch", "__init__.py"):
        return ""
    commit = _git(here, "rev-parse", "HEAD")
    changed = _git(here, "status", "--porcelain", "--untracked-files=no", ".")
    return f"{commit} with changes" if commit and changed else commit


def _git(folder: Path, *arguments: str) -> str:
    """What git says; empty if there is no git, no checkout, or nothing to say."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if ended.returncode else ended.stdout.strip()


def _versions() -> dict[str, str]:
    optimised = "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS"))
    build = "built with profile-guided optimisation" if optimised else "built without profile-guided optimisation"
    found = {
        "python": f"{platform.python_version()} ({sys.implementation.name}, {build})",
        "openssl": ssl.OPENSSL_VERSION.removeprefix("OpenSSL ").partition(" ")[0],
    }
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu_model() -> str:
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _virtualised() -> str:
    """Whether a hypervisor says that it is there; it may not say so."""
    flags = next((line for line in _lines("/proc/cpuinfo") if line.startswith("flags")), "")
    return "yes" if "hypervisor" in flags.split() else "not that it says so"


def _governor() -> str:
    return " ".join(_lines("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text().splitlines()
    except OSError:
        return []
