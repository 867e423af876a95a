"""Mixed traffic through a proxy: every byte is checked, every failure is kept with its moment, nothing is retried."""

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

from websockets.sync.client import ClientConnection

from dataplane.origins import Talk, echo
from dataplane.wire import Wire, request
from relay import Relay

DEADLINE_S = 20.0


class Failure(NamedTuple):
    """What went wrong on a connection of which kind, and when (monotonic)."""

    kind: str
    at: float
    error: BaseException


class Traffic:
    """Clients in threads, until the context ends.

    Args:
        relay: The proxy.
        http: The target of an app that echoes start line and body (`dataplane.origins.echo`).
        websocket: The target of an app that echoes messages.
        clients: How many of each kind.
        idle_tunnels: How many WebSockets to open besides and leave silent.

    Attributes:
        done: How much succeeded, by kind.
        failures: What didn't.
    """

    def __init__(self, relay: Relay, http: str, websocket: str, clients: int = 3, idle_tunnels: int = 0) -> None:
        self.done: Counter[str] = Counter()
        self.failures: list[Failure] = []
        self._relay = relay
        self._http = relay.host(http)
        self._websocket = websocket
        self._over = threading.Event()
        self._idle_tunnels = [relay.websocket(websocket, ping_interval=None) for _ in range(idle_tunnels)]
        kinds: dict[str, Callable[[], None]] = {
            "new connection": self._new_connections,
            "kept connection": self._kept_connection,
            "upload": self._uploads,
            "websocket": self._messages,
        }
        self._threads = [
            threading.Thread(target=self._keep_on, args=(kind, work), name=f"{kind} {number}", daemon=True)
            for kind, work in kinds.items()
            for number in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(2 * DEADLINE_S)
        for tunnel in self._idle_tunnels:
            tunnel.close()

    def count_broken_tunnels(self) -> int:
        """How many of the silent ones don't carry a message any more."""
        broken = 0
        for tunnel in self._idle_tunnels:
            try:
                self._echo(tunnel)
            except Exception:
                broken += 1
        return broken

    def of(self, kind: str) -> list[Failure]:
        """The failures of one kind."""
        return [failure for failure in list(self.failures) if failure.kind == kind]

    def _keep_on(self, kind: str, work: Callable[[], None]) -> None:
        """Work, and begin anew after a failure."""
        while not self._over.is_set():
            try:
                work()
            except Exception as error:
                self.failures.append(Failure(kind, time.monotonic(), error))

    def _new_connections(self) -> None:
        while not self._over.is_set():
            with self._connect() as wire:
                self._ask(wire, b"")
            self.done["new connection"] += 1

    def _kept_connection(self) -> None:
        with self._connect() as wire:
            while not self._over.is_set():
                self._ask(wire, b"")
                self.done["kept connection"] += 1

    def _uploads(self) -> None:
        with self._connect() as wire:
            while not self._over.is_set():
                self._ask(wire, os.urandom(150_000))
                self.done["upload"] += 1

    def _messages(self) -> None:
        with self._relay.websocket(self._websocket, open_timeout=DEADLINE_S) as websocket:
            while not self._over.is_set():
                self._echo(websocket)
                self.done["websocket"] += 1

    def _connect(self) -> Wire:
        wire = Wire(socket.create_connection(("127.0.0.1", self._relay.port), timeout=DEADLINE_S))
        wire.sock.settimeout(DEADLINE_S)
        return wire

    def _ask(self, wire: Wire, body: bytes) -> None:
        mark = os.urandom(8).hex()
        wire.send(request(self._http, f"/{mark}", method="PUT", body=body))
        answer = wire.read_response()
        assert answer.status == 200, answer.head
        line, _, echoed = answer.body.partition(b"\n")
        assert line.split(b" ")[1] == f"/{mark}".encode(), line
        assert echoed == body

    def _echo(self, websocket: ClientConnection) -> None:
        message = os.urandom(2000)
        websocket.send(message)
        assert websocket.recv(timeout=DEADLINE_S) == message


def echo_unrecorded(talk: Talk) -> None:
    """A script for `dataplane.origins.origin` that answers as `answering(echo)` does, and keeps nothing of it."""
    while True:
        message = Wire.read_request_body(talk, Wire.read_head(talk))
        talk.send(echo(message))
