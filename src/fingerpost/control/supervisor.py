"""The supervisor: runs a crew of workers, and does what signals ask for.

It never touches a relayed byte, and what it does never waits for a worker.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from typing import Any

from fingerpost.control.crew import Crew
from fingerpost.control.keywatch import KeyWatch
from fingerpost.control.listeners import Listener

KEY_WATCH_S = 0.5

log = logging.getLogger("fingerpost")


class Supervisor:
    """The proxy's life, from start to exit.

    Args:
        orders: What `worker_orders` returned.
        listeners: Open; the supervisor closes them when it drains.
        on_ready: Called once, when all workers accept connections.
        count: How many workers.
        keys: Watches the key file, if there is one.
        command: Starts a worker, without the descriptor at its end.
    """

    def __init__(
        self,
        orders: dict[str, Any],
        listeners: Sequence[Listener],
        on_ready: Callable[[], None],
        count: int = 1,
        keys: KeyWatch | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self._orders = orders
        self._listeners = listeners
        self._on_ready = on_ready
        self._keys = keys
        self._signals = 0
        self._crew = Crew(orders, listeners, count, command)
        self._ending: asyncio.Task[bool] | None = None
        self._end_asked = asyncio.Event()

    async def run(self) -> int:
        """Start the workers and stay until they have ended.

        Returns:
            The exit status for the command: 0 after a signal asked for the end, 1 if workers failed.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._pass_on_keys)
        watching = asyncio.create_task(self._watch_keys())
        try:
            if await self._crew.start():
                self._on_ready()
            elif not self._signals:
                return 1
            await self._end_asked.wait()
            assert self._ending is not None
            drained = await self._ending
            return 0 if drained or self._signals > 1 else 1
        finally:
            watching.cancel()
            for listener in self._listeners:
                listener.close()

    async def _watch_keys(self) -> None:
        while True:
            await asyncio.sleep(KEY_WATCH_S)
            self._pass_on_keys()

    def _pass_on_keys(self) -> None:
        """Give the workers the keys, if they have changed; SIGHUP asks for it at once."""
        keys = None if self._keys is None else self._keys.changed()
        if keys is not None:
            self._orders["keys"] = keys  # for those that are started later
            self._crew.tell({"type": "keys", "keys": keys})

    def _on_signal(self) -> None:
        """First signal: drain. Any later one: stop, and no more patience."""
        self._signals += 1
        if self._signals > 1:
            self._stopping = asyncio.create_task(self._crew.stop())
            return
        for listener in self._listeners:
            listener.close()  # else the kernel would go on shaking hands for nobody
        log.info("draining for up to %g s; a second signal stops at once", self._orders["drain_timeout_s"])
        self._ending = asyncio.create_task(self._drain())
        self._end_asked.set()

    async def _drain(self) -> bool:
        well = await self._crew.drain()
        if well and self._signals == 1:
            log.info("drained: nothing is left to finish")
        return well
