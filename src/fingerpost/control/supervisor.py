"""Runs the worker: starts it, hands it its sockets, passes on what signals ask for, and says how it ended.

Both speak JSON lines over a socketpair. The supervisor sends, the first together with the listening sockets'
descriptors in the order of ``listeners``::

    {"type": "start", "settings": {…}, "listeners": [{"address": "127.0.0.1:8080"}, …]}
    {"type": "keys", "keys": …}  open labels with these from now on
    {"type": "drain"}       accept nothing new, finish what runs, exit with 0
    {"type": "stop"}        exit at once

and the worker ``{"type": "ready"}`` when it accepts, ``{"type": "counters", …}``, ``{"type": "drained"}``.
When one end closes, its process is over or has given up: the other one ends too.
"""

import asyncio
import json
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fingerpost
from fingerpost.config import Settings
from fingerpost.config.files import Secrets
from fingerpost.control.keywatch import KeyWatch
from fingerpost.control.listeners import Listener

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 2.0
KEY_WATCH_S = 0.5
DRAIN_GRACE_S = 5.0  # on top of drain_timeout_s, which the worker keeps itself

_FIRST_PART_BYTES = 4096
_LONGEST_LINE_BYTES = 1 << 20
_NOT_FOR_WORKERS = frozenset({"listen", "key_file", "legacy_key_file", "public_url", "workers", "pid_file"})

log = logging.getLogger("fingerpost")


def worker_settings(
    settings: Settings, secrets: Secrets, own_listeners: Sequence[str], max_connections: int
) -> dict[str, object]:
    """What the worker is told, by the names of its own settings. It holds keys: never log it.

    Args:
        settings: The operator's.
        secrets: The text of the key files.
        own_listeners: ``ADDR:PORT`` with real ports.
        max_connections: How many the limit on open files has room for.
    """
    orders: dict[str, object] = settings.model_dump(exclude=set(_NOT_FOR_WORKERS))
    orders |= {"keys": secrets.keys, "legacy_key": secrets.legacy_key, "own_listeners": list(own_listeners)}
    # Where the limit on open files leaves room for few, one client must not be able to take them all.
    if max_connections < settings.max_connections:
        share = max(1, max_connections * 9 // 10)
        orders["max_connections_per_client"] = min(settings.max_connections_per_client, share)
    return orders | {"max_connections": max_connections}


def worker_command() -> list[str]:
    """How a worker process is started; the socketpair's descriptor is to be appended."""
    # -P keeps the working directory, where anything may lie about, out of the module search path; unless the
    # package itself is found there: python -m fingerpost in a source tree.
    package_root = str(Path(fingerpost.__file__).resolve().parents[1])
    safe_path = [] if sys.path[0] == package_root else ["-P"]
    return [sys.executable, *safe_path, "-m", "fingerpost.dataplane"]


class Supervisor:
    """One worker's life, from start to exit.

    Args:
        orders: What `worker_settings` returned.
        listeners: Open; the supervisor closes them when it drains.
        on_ready: Called once, when the worker accepts connections.
        keys: Watches the key file, if there is one.
        command: Starts the worker, without the descriptor at its end.
    """

    def __init__(
        self,
        orders: dict[str, Any],
        listeners: Sequence[Listener],
        on_ready: Callable[[], None],
        keys: KeyWatch | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self._orders = orders
        self._listeners = listeners
        self._on_ready = on_ready
        self._keys = keys
        self._command = command or worker_command()
        self._ready = False
        self._signals = 0
        self._overdue: str | None = None

    async def run(self) -> int:
        """Start the worker and stay until it has ended.

        Returns:
            The exit status for the command: 0 after a signal asked for the end, 1 if the worker failed.
        """
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_later(START_TIMEOUT_S, self._kill, "did not get ready")
        channel = self._start_worker()
        reader, self._writer = await asyncio.open_unix_connection(sock=channel, limit=_LONGEST_LINE_BYTES)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._pass_on_keys)
        watching = asyncio.create_task(self._watch_keys())
        try:
            await self._read_messages(reader)
            return await self._conclude()
        finally:
            watching.cancel()
            self._alarm.cancel()
            self._process.kill()  # nothing, if it was waited for
            self._writer.close()
            self._close_listeners()

    def _start_worker(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            # A process group of its own: Ctrl-C in a terminal is for the supervisor, which then drains.
            self._process = subprocess.Popen(
                [*self._command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                process_group=0,
            )
        addresses = [{"address": listener.address} for listener in self._listeners]
        message = {"type": "start", "settings": self._orders, "listeners": addresses}
        line = json.dumps(message).encode() + b"\n"
        descriptors = [listener.socket.fileno() for listener in self._listeners]
        ours.settimeout(START_TIMEOUT_S)
        try:
            sent = socket.send_fds(ours, [line[:_FIRST_PART_BYTES]], descriptors)
            ours.sendall(line[sent:])
        except OSError as error:  # it died or hangs already; the loop will see the same, and how it ended
            log.debug("the worker did not take its settings: %s", error)
        return ours

    async def _watch_keys(self) -> None:
        while True:
            await asyncio.sleep(KEY_WATCH_S)
            self._pass_on_keys()

    def _pass_on_keys(self) -> None:
        """Give the worker the keys, if they have changed; SIGHUP asks for it at once."""
        keys = None if self._keys is None else self._keys.changed()
        if keys is not None:
            self._send({"type": "keys", "keys": keys})

    async def _read_messages(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._on_message(json.loads(line))
        except ConnectionError:
            pass  # the end, with something of ours unread
        except ValueError as error:
            self._kill(f"sent what is no message ({error})")

    def _on_message(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "ready" and not self._ready:
            self._ready = True
            if not self._signals:
                self._alarm.cancel()
                self._on_ready()
        elif kind == "drained":
            log.info("drained: nothing is left to finish")
        elif kind == "counters":
            log.debug("counters: %s", message)

    def _on_signal(self) -> None:
        """First signal: drain. Any later one: stop, and no more patience."""
        self._signals += 1
        self._alarm.cancel()
        loop = asyncio.get_running_loop()
        self._close_listeners()  # else the kernel would go on shaking hands for nobody
        if self._signals == 1:
            patience_s = self._orders["drain_timeout_s"]
            log.info("draining for up to %g s; a second signal stops at once", patience_s)
            self._send({"type": "drain"})
            self._alarm = loop.call_later(patience_s + DRAIN_GRACE_S, self._kill, "did not drain in time")
        else:
            self._send({"type": "stop"})
            self._alarm = loop.call_later(STOP_TIMEOUT_S, self._process.kill)

    def _send(self, message: dict[str, str]) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    def _kill(self, reason: str) -> None:
        self._overdue = reason
        self._process.kill()

    async def _conclude(self) -> int:
        """Wait for the process, whose end of the socketpair is closed, and log an unexpected end."""
        try:
            status = await asyncio.to_thread(self._process.wait, STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._kill("closed its socketpair but did not exit")
            status = await asyncio.to_thread(self._process.wait)
        if self._signals > 1 or (self._signals == 1 and status == 0):
            return 0
        if self._overdue:
            how = f"{self._overdue} and was killed"
        else:
            how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"
            if not self._ready:
                how += " before it was ready"
        log.error("the worker (process %d) %s; stopping", self._process.pid, how)
        return 1

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.socket.close()
