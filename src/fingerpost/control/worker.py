"""One worker process as the supervisor sees it: started, told what to do, watched, and waited for.

Both speak JSON lines over a socketpair. The supervisor sends, the first together with the listening sockets'
descriptors in the order of ``listeners``::

    {"type": "start", "settings": {…}, "listeners": ["127.0.0.1:8080", …], "tally": {…}}   the tally's memory is last
    {"type": "keys", "keys": …}  open labels with these from now on
    {"type": "drain", "patience_s": …}  accept nothing new, finish what runs, exit with 0; with a descriptor,
                            hand over there what can be handed over
    {"type": "adopt"}       take over connections that another worker hands over on the descriptor
    {"type": "count"}       send the counters now, with those that take a while to count
    {"type": "stop"}        exit at once

and the worker ``{"type": "ready"}`` when it accepts, ``{"type": "counters", …}`` twice a second, which is its
heartbeat, ``{"type": "deaf"}`` when it accepts no more, and ``{"type": "drained"}``. A message with descriptors says
how many (``"descriptors": 2``). When one end closes, its process is over or has given up: the other one ends too.
"""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import fingerpost
from fingerpost.control.channel import Channel

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 2.0
DRAIN_GRACE_S = 5.0  # on top of the patience that it keeps itself
COUNT_TIMEOUT_S = 1.0
DEAF_TIMEOUT_S = 5.0
ABORT_TIMEOUT_S = 0.5  # for a hung worker to say where it hangs

TOTALS = ("exchanges", "refused", "tunnels", "turned_away", "bugs")
"""The counters that only grow."""

log = logging.getLogger("fingerpost")


def worker_command() -> list[str]:
    """How a worker process is started; the socketpair's descriptor is to be appended."""
    # -P keeps the working directory, where anything may lie about, out of the module search path; unless the
    # package itself is found there: python -m fingerpost in a source tree.
    package_root = str(Path(fingerpost.__file__).resolve().parents[1])
    safe_path = [] if sys.path[0] == package_root else ["-P"]
    return [sys.executable, *safe_path, "-m", "fingerpost.dataplane"]


class WorkerProcess:
    """A worker from its start to its end.

    Args:
        number: Its place in the crew, for messages.
        command: Starts it, without the descriptor at its end.
        start: The first message, without its type.
        descriptors: Go with it.
        on_end: Called when the process has ended.

    Attributes:
        pid: Its process id.
        started_at: Monotonic seconds.
        ready_at: Since when it accepts connections (monotonic seconds), or None.
        counters: What it said last.
        missed_beats: For how many looks in a row nothing was heard of it; whoever looks counts.
        status: Its exit status once it has ended, negative for a signal.
    """

    def __init__(
        self,
        number: int,
        command: Sequence[str],
        start: dict[str, Any],
        descriptors: Sequence[int],
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.number = number
        self.started_at = time.monotonic()
        self.ready_at: float | None = None
        self.counters: dict[str, Any] = {}
        self.missed_beats = 0
        self.status: int | None = None
        self._ready_or_ended = asyncio.Event()
        self._ended = asyncio.Event()
        self._counted = asyncio.Event()
        self._deaf_or_ended = asyncio.Event()
        self._overdue: str | None = None
        self._told_to_stop = False
        self._on_end = on_end
        ours, theirs = socket.socketpair()
        with theirs, ExitStack() as undo:
            undo.callback(ours.close)
            # A process group of its own: Ctrl-C in a terminal is for the supervisor, which then drains.
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                process_group=0,
            )
            undo.callback(self._process.wait)
            undo.callback(self._process.kill)
            self.pid = self._process.pid
            self._pidfd = os.pidfd_open(self.pid)
            undo.pop_all()
        self._loop.add_reader(self._pidfd, self._on_exit)
        self._channel = Channel(ours, self._on_message, self._on_channel_end)
        self._channel.send({"type": "start"} | start, descriptors)
        self._alarm = self._loop.call_later(START_TIMEOUT_S, self.kill, "did not get ready")

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send it a message; harmless when it has ended."""
        self._channel.send(message, descriptors)

    def drain(self, patience_s: float, descriptors: Sequence[int] = ()) -> None:
        """Let it finish what runs, or hand it over; kill it when it overruns its patience."""
        if self._told_to_stop:
            return  # patience was over before this was asked
        self.send({"type": "drain", "patience_s": patience_s}, descriptors)
        self._set_alarm(patience_s + DRAIN_GRACE_S, "did not drain in time")

    async def count(self) -> None:
        """Bring `counters` up to date; return when that is done, or can't be."""
        self._counted.clear()
        self.send({"type": "count"})
        try:
            await asyncio.wait_for(self._counted.wait(), COUNT_TIMEOUT_S)
        except TimeoutError:
            pass  # the last ones must do

    def stop(self) -> None:
        """End it at once, or by force."""
        self._told_to_stop = True
        self.send({"type": "stop"})
        self._set_alarm(STOP_TIMEOUT_S, "did not stop")

    def kill(self, reason: str) -> None:
        """End it by force; the reason is for the log."""
        if self.status is None:
            self._overdue = self._overdue or reason
            self._process.kill()

    def abort(self, reason: str) -> None:
        """End one that hangs; first it may say where."""
        self._overdue = reason
        self._process.send_signal(signal.SIGABRT)
        self._set_alarm(ABORT_TIMEOUT_S, reason)

    async def until_ready(self) -> bool:
        """Wait until it accepts connections, or has ended instead."""
        await self._ready_or_ended.wait()
        return self.ready_at is not None

    async def until_deaf(self) -> None:
        """Wait, though not for ever, until it accepts no more, after it was told to drain."""
        try:
            await asyncio.wait_for(self._deaf_or_ended.wait(), DEAF_TIMEOUT_S)
        except TimeoutError:
            log.warning("worker %d (process %d) does not stop accepting", self.number, self.pid)

    async def until_ended(self) -> None:
        """Wait for its end."""
        await self._ended.wait()

    def how_it_ended(self) -> str:
        """In words that complete "the worker …"."""
        if self._overdue:
            return f"{self._overdue} and was killed"
        status = self.status or 0
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"
        return how if self.ready_at is not None else f"{how} before it was ready"

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise than it should have when told to drain."""
        return not self._told_to_stop and (self._overdue is not None or self.status != 0)

    @property
    def totals(self) -> dict[str, int]:
        """What it has counted since its start."""
        return {name: self.counters.get(name, 0) for name in TOTALS}

    def lived_s(self) -> float:
        """For how long it has been ready."""
        return 0.0 if self.ready_at is None else time.monotonic() - self.ready_at

    def _set_alarm(self, seconds: float, reason: str) -> None:
        self._alarm.cancel()
        if self.status is None:
            self._alarm = self._loop.call_later(seconds, self.kill, reason)

    def _on_message(self, message: dict[str, Any]) -> None:
        self.missed_beats = 0
        kind = message.get("type")
        if kind == "ready" and self.ready_at is None:
            self.ready_at = time.monotonic()
            self._alarm.cancel()
            self._ready_or_ended.set()
        elif kind == "deaf":
            self._deaf_or_ended.set()
        elif kind == "counters":
            self.counters = message
            if "exchanges_running" in message:
                self._counted.set()
            log.debug("worker %d: counters: %s", self.number, message)

    def _on_channel_end(self, reason: str | None) -> None:
        """Its end of the socketpair is closed, so the process should be over, or it talks nonsense."""
        if reason is not None:
            self.kill(reason)
        else:
            self._set_alarm(STOP_TIMEOUT_S, "closed its socketpair but did not exit")

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._channel.finish()
        self.status = self._process.wait()
        self._alarm.cancel()
        self._ready_or_ended.set()
        self._counted.set()
        self._deaf_or_ended.set()
        self._ended.set()
        self._on_end()
