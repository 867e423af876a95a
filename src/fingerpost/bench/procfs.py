"""What the kernel knows about a process: its CPU time, its memory, its descendants."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fingerpost.bench.errors import BenchError

_PROC = Path("/proc")
_NETSTAT = _PROC / "net" / "netstat"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. ``private`` is what would be free if it ended; ``peak_rss`` is the kernel's high-water mark."""

    rss: int
    private: int
    peak_rss: int


def cpu_s(pids: Iterable[int]) -> float:
    """Seconds on a CPU, user and system together, of the processes, their ended threads and their reaped children.

    From the scheduler's own clock (``schedstat``, nanoseconds) for the threads that live; what has ended is only in
    ``stat``, in ticks of 10 ms, so that counts where it says more.

    Raises:
        BenchError: A process is gone, or this kernel keeps no such clock.
    """
    return sum(map(_cpu_s_of, pids))


def _cpu_s_of(pid: int) -> float:
    living_ns = 0
    try:
        for task in (_PROC / str(pid) / "task").iterdir():
            try:
                living_ns += int((task / "schedstat").read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):  # this thread has ended
                continue
        ticks = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[11:15]
    except (OSError, IndexError) as error:
        raise BenchError(f"no CPU time to be read: {error}") from error
    own, reaped = sum(map(int, ticks[:2])) / _TICKS_PER_S, sum(map(int, ticks[2:])) / _TICKS_PER_S
    # Two ticks, since each of its two numbers may have been rounded up.
    return max(living_ns / 1e9, own - 2 / _TICKS_PER_S) + reaped


def memory(pids: Iterable[int]) -> Memory:
    """The memory of the processes, added up.

    Raises:
        BenchError: A process is gone.
    """
    rss = private = peak = 0
    try:
        for pid in pids:
            rollup = _fields(_PROC / str(pid) / "smaps_rollup")
            rss += rollup["Rss"]
            private += rollup["Private_Clean"] + rollup["Private_Dirty"]
            peak += _fields(_PROC / str(pid) / "status")["VmHWM"]
    except (OSError, KeyError) as error:
        raise BenchError(f"no memory figures to be read: {error}") from error
    return Memory(rss, private, peak)


def tcp_pressure_s() -> float:
    """Seconds that the kernel has been short of memory for TCP (``tcp_mem``) since it started.

    Then it drops what arrives for sockets that aren't read, and time-outs send it again: everybody waits. 0 where this
    kernel doesn't count it.
    """
    try:
        lines = [line.split() for line in _NETSTAT.read_text().splitlines() if line.startswith("TcpExt:")]
    except OSError:
        return 0.0
    counters = dict(zip(*lines[:2], strict=False)) if len(lines) > 1 else {}
    return int(counters.get("TCPMemoryPressuresChrono", 0)) / 1000


def _fields(path: Path) -> dict[str, int]:
    """The ``Name: 123 kB`` lines of a file, in bytes."""
    found = {}
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if value.endswith(" kB"):
            found[name] = int(value.split()[0]) * 1024
    return found


def descendants(pid: int) -> list[int]:
    """Children, their children and so on, in ascending order."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:  # it ended while we looked
            continue
        parent = int(stat.rpartition(")")[2].split()[1])
        children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        mine = children.get(waiting.pop(), [])
        found += mine
        waiting += mine
    return sorted(found)
