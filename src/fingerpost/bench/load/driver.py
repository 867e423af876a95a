"""Does many tasks at once, each in its own tunnel, until all are finished or time is up."""

import contextlib
import select
import time
from collections import Counter
from collections.abc import Callable, Iterable

from fingerpost.bench.load.outcome import FaultError, fault_kind
from fingerpost.bench.load.tunnel import Task

_BATCH = 1024
_TICK_S = 0.5

SILENT = "no answer"
LATE = "not done by the deadline"


def run(
    tasks: Iterable[Task],
    ends_at: float,
    silence_s: float,
    faults: Counter[str],
    next_task: Callable[[], Task | None] = lambda: None,
    *,
    keep: bool,
) -> list[Task]:
    """Do all tasks.

    Args:
        tasks: Already begun.
        ends_at: When to give up, by `time.monotonic`.
        silence_s: Give up too, when nothing at all has happened for so long.
        faults: What goes wrong is counted here.
        next_task: Asked for one more, begun, whenever one is over; None when there are no more.
        keep: Whether the tunnels of finished tasks stay open. Those of the others are closed.

    Returns:
        The finished tasks, in the order in which they finished.
    """
    waiting: dict[int, Task] = {}
    finished: list[Task] = []
    with contextlib.closing(select.epoll()) as epoll:

        def add(task: Task) -> None:
            waiting[task.tunnel.fd] = task
            epoll.register(task.tunnel.fd, task.interest)

        def give_up(task: Task, reason: str) -> None:
            faults[reason] += 1
            faults.update(task.faults())
            del waiting[task.tunnel.fd]
            task.tunnel.socket.close()

        for task in tasks:
            add(task)
        moved_at = now = time.monotonic()
        while waiting and now < ends_at and now - moved_at < silence_s:
            batch = epoll.poll(_TICK_S, _BATCH)
            now = time.monotonic()
            if batch:
                moved_at = now
            for fd, events in batch:
                task = waiting[fd]
                interest = task.interest
                try:
                    done = task.step(events)
                except BlockingIOError:
                    done = False
                except (OSError, FaultError) as error:
                    give_up(task, fault_kind(error))
                else:
                    if done:
                        epoll.unregister(fd)
                        finished.append(waiting.pop(fd))
                        faults.update(task.faults())
                        if not keep:
                            task.tunnel.socket.close()
                if fd in waiting:
                    if task.interest != interest:
                        epoll.modify(fd, task.interest)
                elif (another := next_task()) is not None:
                    add(another)
        for task in list(waiting.values()):
            give_up(task, LATE if now >= ends_at else SILENT)
    return finished
