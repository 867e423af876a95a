"""The supervisor: runs a crew of workers, and does what signals and commands ask for.

It never touches a relayed byte, and what it does never waits for a worker that doesn't answer.
"""

import asyncio
import logging
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from fingerpost.config.settings import shown
from fingerpost.control.commands import CommandSocket
from fingerpost.control.crew import Crew, CrewError
from fingerpost.control.listeners import Listener, Listeners
from fingerpost.control.orders import worker_orders
from fingerpost.control.plan import Plan
from fingerpost.control.status import status
from fingerpost.control.systemd import notify, watchdog_s
from fingerpost.control.tally import TallyMemory
from fingerpost.control.upgrade import Predecessor, Successor
from fingerpost.errors import FingerpostError

KEY_WATCH_S = 0.5

_ONLY_AT_THE_START = ("pid_file", "control_socket", "user")

log = logging.getLogger("fingerpost")


class Supervisor:
    """The proxy's life, from start to exit.

    Args:
        plan: What it is to be at first.
        read: Reads the plan anew, for a reload; raises `FingerpostError` if that can't be used.
        listeners: Open; the supervisor closes them when it drains.
        on_ready: Called with the listeners when all workers accept connections, and with those that a reload adds.
        open_commands: Opens the socket where commands come in, if there is to be one.
        predecessor: The version to take over from, if there is one.
        command: Starts a worker, without the descriptor at its end.

    Attributes:
        crew: Those who accept.
        retired: Those before them, who finish what they had begun.
        past: What crews that have gone had counted.
    """

    def __init__(
        self,
        plan: Plan,
        read: Callable[[], Plan],
        listeners: Listeners,
        on_ready: Callable[[Iterable[Listener]], None],
        open_commands: Callable[[], CommandSocket | None] = lambda: None,
        predecessor: Predecessor | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self.plan = plan
        self.listeners = listeners
        self.started_at = time.monotonic()
        self.reloads = 0
        self.past: Counter[str] = Counter()
        self.retired: list[Crew] = []
        self._read = read
        self._on_ready = on_ready
        self._open_commands = open_commands
        self._predecessor = predecessor
        self._successor: Successor | None = None
        self._command = command
        self._memory = TallyMemory()
        self.crew = self._new_crew(plan, listeners)
        self._changing = asyncio.Lock()
        self._end_requests = 0
        self._end_asked = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended_well = True

    async def run(self) -> int:
        """Start the workers and stay until they have ended.

        Returns:
            The exit status for the command: 0 after the end was asked for, 1 if workers failed.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._begin(self._reload_and_say()))
        loop.add_signal_handler(signal.SIGUSR2, lambda: self._begin(self._upgrade_and_say()))
        background = [asyncio.create_task(self._watch_keys()), asyncio.create_task(_feed_watchdog())]
        # One that takes over leaves the other's in place until it is ready.
        commands = self._open_commands() if self._predecessor is None else None
        try:
            async with self._changing:
                await self.crew.start()
            if not self._end_requests:
                self._on_ready(self.listeners)
                if self._predecessor is not None:
                    commands = self._open_commands()
                    self._predecessor.succeed(self.crew)
            if commands is not None:
                await commands.serve(self.answer)
            notify("READY=1")
            await self._end_asked.wait()
            while self._tasks:
                await asyncio.wait(self._tasks)
        except CrewError as error:
            log.error("%s; stopping", error)
            return 1
        finally:
            for task in background:
                task.cancel()
            self.listeners.close()
            if commands is not None:
                commands.close()
            if self._predecessor is not None:
                self._predecessor.close()
        return 0 if self._ended_well or self._end_requests > 1 else 1

    def end(self) -> None:
        """Asked for the first time, drain; for any further time, stop, and no more patience."""
        self._end_requests += 1
        if self._predecessor is not None:
            self._predecessor.end()
        if self._end_requests == 1:
            notify("STOPPING=1")
            self.listeners.close()  # else the kernel would go on shaking hands for nobody
            patience_s = self.plan.settings.drain_timeout_s
            log.info("draining for up to %g s; a second signal stops at once", patience_s)
            self._begin(self._drain(patience_s))
            self._end_asked.set()
        else:
            for crew in self._crews:
                self._begin(crew.stop())

    async def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Do what a command asks for, and say what came of it.

        Raises:
            FingerpostError: It can't be done.
        """
        command = question.get("command")
        if command == "status":
            return await status(self)
        if command == "reload":
            warnings = await self.reload()
            return {"workers": len(self.crew.posts), "warnings": warnings}
        if command == "upgrade":
            return {"pid": await self.upgrade()}
        if command == "stop":
            self.end()
            if question.get("now"):
                self.end()
            return {}
        raise FingerpostError(f"{command}: expected status, reload, upgrade or stop")

    async def reload(self) -> list[str]:
        """Read the settings anew, and go over to new workers that have them; the old finish what they have begun.

        Returns:
            What the operator should know.

        Raises:
            FingerpostError: They can't be used, and everything stays as it was.
        """
        async with self._changing:
            self._refuse_at_the_end()
            notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
                return await self._reload()
            finally:
                notify("READY=1")

    async def _reload(self) -> list[str]:
        plan = self._read()
        listeners = plan.listeners(self.listeners)
        crew = self._new_crew(plan, listeners)
        try:
            await crew.start()
            self._refuse_at_the_end()
        except FingerpostError:
            await crew.stop()
            listeners.give_up()
            raise
        plan, fixed = self._with_what_is_fixed(plan)
        old = self.crew
        self._succeed(crew, plan, listeners)
        await old.until_deaf()  # who connects when this is done meets the new settings
        return plan.warnings + fixed

    async def upgrade(self) -> int:
        """Start the version that is installed now, let it take over, and finish what has begun here.

        Returns:
            The process id of the new supervisor.

        Raises:
            FingerpostError: It doesn't come up, and everything stays as it was.
        """
        async with self._changing:
            self._refuse_at_the_end()
            old = self.crew
            successor = Successor(self.listeners, len(old.workers), self._on_successor_end)
            heirs = await successor.until_ready()
            if self._end_requests:  # meanwhile
                successor.end()
            self._refuse_at_the_end()
            self._successor = successor
            notify(f"MAINPID={successor.pid}")
            self.listeners.close()
            self.retired.append(old)
            self._begin(self._retire(old, heirs))
            self._end_asked.set()
            return successor.pid

    def _refuse_at_the_end(self) -> None:
        if self._end_requests:
            raise FingerpostError("the proxy is about to end")
        if self._successor is not None:
            raise FingerpostError(f"process {self._successor.pid} has taken over")

    def _on_successor_end(self) -> None:
        """The new version ends, or has been told to: so does what is left of this one."""
        if not self._end_requests:
            self.end()

    @property
    def _crews(self) -> list[Crew]:
        """All that have something to do, the present one first."""
        return list(dict.fromkeys([self.crew, *self.retired]))

    def _new_crew(self, plan: Plan, listeners: Listeners) -> Crew:
        addresses = [listener.address for listener in listeners]
        orders = worker_orders(plan.settings, plan.secrets, addresses, plan.room)
        return Crew(orders, list(listeners), plan.settings.workers, self._memory, self._command)

    def _with_what_is_fixed(self, plan: Plan) -> tuple[Plan, list[str]]:
        """The plan as far as it can be had without a restart, and what can't."""
        running, wanted = self.plan.settings, plan.settings
        fixed = [name for name in _ONLY_AT_THE_START if getattr(running, name) != getattr(wanted, name)]
        settings = wanted.model_copy(update={name: getattr(running, name) for name in fixed})
        said = [f"{name}: stays {shown(getattr(running, name))} until a restart" for name in fixed]
        return plan._replace(settings=settings), said

    def _succeed(self, crew: Crew, plan: Plan, listeners: Listeners) -> None:
        """From here on the new crew accepts; the old one hands over what it can, and finishes the rest."""
        old, before = self.crew, self.listeners
        self.crew, self.listeners, self.plan = crew, listeners, plan
        self.reloads += 1
        logging.getLogger().setLevel(plan.settings.log_level.upper())
        added, removed = listeners.without(before), before.without(listeners)
        for listener in removed:
            listener.close()
        self.retired.append(old)
        self._begin(self._retire(old, crew.adopt(len(old.workers))))
        if added:
            self._on_ready(added)

    async def _retire(self, crew: Crew, heirs: Sequence[socket.socket]) -> None:
        await crew.drain(self.plan.settings.retire_timeout_s, heirs)
        self.retired.remove(crew)
        self.past += crew.totals()
        self.past["restarts"] += sum(post.restarts for post in crew.posts)

    async def _drain(self, patience_s: float) -> None:
        crews = self._crews
        self._ended_well = all(await asyncio.gather(*(crew.drain(patience_s) for crew in crews)))
        if self._ended_well and self._end_requests == 1:
            log.info("drained: nothing is left to finish")

    async def _reload_and_say(self) -> None:
        log.info("reloading")
        try:
            for warning in await self.reload():
                log.warning(warning)
            log.info("reloaded: %d workers with the new settings", len(self.crew.posts))
        except FingerpostError as error:
            for line in str(error).splitlines():
                log.error("nothing is reloaded: %s", line)

    async def _upgrade_and_say(self) -> None:
        log.info("upgrading")
        try:
            log.info("process %d has taken over", await self.upgrade())
        except FingerpostError as error:
            log.error("nothing is upgraded: %s", error)

    async def _watch_keys(self) -> None:
        while True:
            await asyncio.sleep(KEY_WATCH_S)
            keys = None if self.plan.keys is None else self.plan.keys.changed()
            if keys is not None:
                for crew in self._crews:
                    crew.orders["keys"] = keys  # for workers that are started later
                    crew.tell({"type": "keys", "keys": keys})

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _feed_watchdog() -> None:
    """Tell systemd as often as it asks for that this process is well: that this loop turns."""
    interval_s = watchdog_s()
    while interval_s is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval_s)
