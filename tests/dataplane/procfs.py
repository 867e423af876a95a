"""What the kernel says of the proxy's worker process."""

import os
import re
from pathlib import Path

from relay import Relay, descendants


def worker_pid(relay: Relay) -> int:
    """The process id of the only worker."""
    (pid,) = descendants(relay.child.process.pid)
    return pid


def open_files(pid: int) -> int:
    """How many descriptors it has."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def forget_peak(pid: int) -> None:
    """Set the peak of its memory to what it has now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mib(pid: int) -> float:
    """The most resident memory that it had."""
    return _status(pid, "VmHWM")


def resident_mib(pid: int) -> float:
    """The resident memory that it has."""
    return _status(pid, "VmRSS")


def _status(pid: int, name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024
