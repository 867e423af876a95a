"""A crew: so many workers with the same orders, each at its post, and another one where one has died or hangs.

A post is a share of the listening sockets. They outlive the workers, so what the kernel has queued at a post when its
worker dies is served by the next one.
"""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fingerpost.control.listeners import Listener
from fingerpost.control.tally import TallyMemory
from fingerpost.control.worker import WorkerProcess, worker_command
from fingerpost.errors import FingerpostError

LOOK_S = 0.5
"""How often beats are counted: as often as a worker beats."""

MAX_MISSED_BEATS = 10
"""So many looks without a beat, and a worker counts as hung. Looks and not seconds: when the whole machine was
suspended, or the supervisor itself stopped, none of them is at fault."""

_STEADY_S = 1.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0

log = logging.getLogger("fingerpost")


class Post:
    """One worker's place.

    Attributes:
        number: Counts from 0.
        worker: Who is there now, or was last.
        restarts: How many were started after the first.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.worker: WorkerProcess | None = None
        self.restarts = 0
        self._early_deaths = 0

    def pause_s(self, lived_s: float) -> float:
        """How long to wait before the next one: not at all, but longer and longer if they die as soon as they live."""
        if lived_s >= _STEADY_S:
            self._early_deaths = 0
            return 0.0
        self._early_deaths += 1
        return min(_LONGEST_PAUSE_S, float(_FIRST_PAUSE_S * 2 ** min(self._early_deaths - 1, 30)))


class CrewError(FingerpostError):
    """A crew that can't begin its work; the message says which worker failed and how."""


class Crew:
    """Workers with the same orders.

    Args:
        orders: What each is told, by the names of its settings.
        listeners: Open, with at least ``count`` sockets each; they stay the caller's.
        count: How many workers.
        memory: Where they count their clients together, if they are several.
        command: Starts a worker, without the descriptor at its end.

    Attributes:
        past: What workers that were replaced had counted.
    """

    def __init__(
        self,
        orders: dict[str, Any],
        listeners: Sequence[Listener],
        count: int,
        memory: TallyMemory | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self.orders = orders
        self.posts = [Post(number) for number in range(count)]
        self.past: Counter[str] = Counter()
        self._listeners = list(listeners)
        self._memory = memory
        self._command = command or worker_command()
        self.leaving = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def workers(self) -> list[WorkerProcess]:
        """Those that run."""
        return [post.worker for post in self.posts if post.worker is not None and post.worker.status is None]

    async def start(self) -> None:
        """Start everybody, and return when all accept connections; from then on whoever dies or hangs is replaced.

        Returns at once if it is told to leave meanwhile.

        Raises:
            CrewError: One of them doesn't get ready; all are stopped by then.
        """
        try:
            workers = [self._man(post) for post in self.posts]
        except OSError as error:
            await self.stop()
            raise CrewError(f"a worker can't be started: {error.strerror}") from error
        ready = await asyncio.gather(*(worker.until_ready() for worker in workers))
        if self.leaving:
            return
        if not all(ready):
            failed = [worker for worker in workers if worker.status is not None]
            await self.stop()
            raise CrewError("; ".join(f"{_name(worker)} {worker.how_it_ended()}" for worker in failed))
        self._tasks = [
            asyncio.create_task(self._keep(post, worker)) for post, worker in zip(self.posts, workers, strict=True)
        ]
        self._tasks.append(asyncio.create_task(self._look_for_hung()))

    def totals(self) -> Counter[str]:
        """What its workers have counted, those included that have ended."""
        counted = Counter(self.past)
        for post in self.posts:
            if post.worker is not None:
                counted.update(post.worker.totals)
        return counted

    def tell(self, message: dict[str, Any]) -> None:
        """Send the same to everybody who runs."""
        for worker in self.workers:
            worker.send(message)

    def adopt(self, count: int) -> list[socket.socket]:
        """Make ready to take over connections from so many other workers.

        Returns:
            A socket for each of them, through which it hands over; they are the caller's.
        """
        heirs = []
        workers = self.workers
        for number in range(count if workers else 0):
            theirs, ours = socket.socketpair()
            with ours:
                workers[number % len(workers)].send({"type": "adopt"}, [ours.fileno()])
            heirs.append(theirs)
        return heirs

    async def drain(self, patience_s: float, heirs: Sequence[socket.socket] = ()) -> bool:
        """Let everybody finish what runs. Asked again, it is the new patience that counts.

        Args:
            patience_s: When it is over, what still runs is cut.
            heirs: One for each worker, who hands its connections over there; closed when that is said.

        Returns:
            Whether all ended as they should.
        """
        self._leave()
        workers = self.workers
        for number, worker in enumerate(workers):
            worker.drain(patience_s, [heirs[number].fileno()] if number < len(heirs) else [])
        for heir in heirs:
            heir.close()
        return await self._until_gone(workers)

    async def until_deaf(self) -> None:
        """Wait until nobody here accepts any more, after `drain` was asked for."""
        await asyncio.gather(*(worker.until_deaf() for worker in self.workers))

    async def stop(self) -> None:
        """End everybody at once."""
        self._leave()
        workers = self.workers
        for worker in workers:
            worker.stop()
        await self._until_gone(workers)

    def _man(self, post: Post) -> WorkerProcess:
        count = len(self.posts)
        shares = [(listener, sock) for listener in self._listeners for sock in listener.share(post.number, count)]
        descriptors = [sock.fileno() for _, sock in shares]
        start: dict[str, Any] = {
            "settings": self.orders | {"number": post.number},
            "listeners": [listener.address for listener, _ in shares],
        }
        memory = self._memory if count > 1 else None
        row = None if memory is None else memory.take()
        if memory is not None and row is not None:
            start["tally"] = memory.describe(row)
            descriptors.append(memory.descriptor)
        try:
            post.worker = WorkerProcess(post.number, self._command, start, descriptors, lambda: self._wipe(row))
        except OSError:
            self._wipe(row)
            raise
        return post.worker

    def _wipe(self, row: int | None) -> None:
        if self._memory is not None and row is not None:
            self._memory.give_back(row)

    async def _keep(self, post: Post, worker: WorkerProcess) -> None:
        """Replace whoever dies at this post."""
        while True:
            await worker.until_ended()
            pause_s = post.pause_s(worker.lived_s())
            when = f"in {pause_s:g} s" if pause_s else "now"
            log.error("%s %s; another one starts %s", _name(worker), worker.how_it_ended(), when)
            await asyncio.sleep(pause_s)
            while True:
                try:
                    dead, worker = worker, self._man(post)
                    self.past.update(dead.totals)
                    break
                except OSError as error:
                    log.error("worker %d can't be started: %s", post.number, error.strerror)
                    await asyncio.sleep(post.pause_s(0.0))
            post.restarts += 1

    async def _look_for_hung(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            for worker in self.workers:
                worker.missed_beats += worker.ready_at is not None
                if worker.missed_beats == MAX_MISSED_BEATS:
                    worker.abort(f"was silent for {MAX_MISSED_BEATS * LOOK_S:g} s")

    def _leave(self) -> None:
        self.leaving = True
        for task in self._tasks:
            task.cancel()

    async def _until_gone(self, workers: Sequence[WorkerProcess]) -> bool:
        await asyncio.gather(*(worker.until_ended() for worker in workers))
        failed = [worker for worker in workers if worker.failed]
        for worker in failed:
            log.error("%s %s", _name(worker), worker.how_it_ended())
        return not failed


def _name(worker: WorkerProcess) -> str:
    return f"worker {worker.number} (process {worker.pid})"
