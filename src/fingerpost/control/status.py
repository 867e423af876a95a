"""What `fingerpost status` shows: workers, what they do, totals, restarts, memory."""

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import fingerpost
from fingerpost.control.crew import Crew
from fingerpost.control.worker import TOTALS

if TYPE_CHECKING:
    from fingerpost.control.supervisor import Supervisor

_RUNNING = ("connections", "exchanges_running", "tunnels_running", "idle_upstreams")


async def status(supervisor: "Supervisor") -> dict[str, Any]:
    """The whole report, as JSON has it. Times are seconds, memory is resident bytes."""
    crews = [supervisor.crew, *supervisor.retired]
    await asyncio.gather(*(worker.count() for crew in crews for worker in crew.workers))
    totals = supervisor.past.copy()
    for crew in crews:
        totals += crew.totals()
    now = time.monotonic()
    return {
        "version": fingerpost.__version__,
        "pid": os.getpid(),
        "age_s": round(now - supervisor.started_at, 1),
        "listen": [listener.address for listener in supervisor.listeners],
        "memory_bytes": resident_bytes(os.getpid()),
        "reloads": supervisor.reloads,
        "restarts": totals["restarts"] + sum(post.restarts for crew in crews for post in crew.posts),
        "workers": [
            row for crew in crews for row in _rows(crew, "retired" if crew is not supervisor.crew else "", now)
        ],
        "totals": {name: totals[name] for name in TOTALS},
    }


def _rows(crew: Crew, state: str, now: float) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for post in crew.posts:
        worker = post.worker
        if worker is None or worker.status is not None:
            if not state:
                rows.append({"number": post.number, "pid": None, "state": "waiting to be restarted"})
            continue
        doing = state or ("starting" if worker.ready_at is None else "draining" if crew.leaving else "serving")
        row: dict[str, Any] = {
            "number": worker.number,
            "pid": worker.pid,
            "state": doing,
            "age_s": round(now - worker.started_at, 1),
        }
        row |= {name: worker.counters.get(name, 0) for name in _RUNNING}
        rows.append(row | {"memory_bytes": resident_bytes(worker.pid), "restarts": post.restarts})
    return rows


def resident_bytes(pid: int) -> int:
    """What a process has in memory; 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
