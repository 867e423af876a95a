"""A new version takes over from the running one, which drains when the other is ready and goes on when it isn't.

The running supervisor starts the new one as it was started itself, from whatever is installed by then, with one end
of a socketpair whose number is in the environment. Then, as JSON lines::

    old → new   {"type": "predecessor", "pid": …, "workers": 4, "listeners": […]}   with all listening sockets
    new → old   {"type": "ready"}       its workers accept; with a descriptor for each old worker to hand over on
    new → old   {"type": "end"}         it was asked to end: there is no patience left for the old one either

If the new one ends before it is ready, nothing has happened. The line's form is kept from version to version.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from fingerpost.control.channel import Channel
from fingerpost.control.crew import Crew
from fingerpost.control.listeners import Listener, Listeners
from fingerpost.defaults import PREDECESSOR_VARIABLE
from fingerpost.errors import ConfigError, FingerpostError

START_TIMEOUT_S = 60.0

_READ_BYTES = 65536
_MAX_DESCRIPTORS = 253  # in one message: SCM_MAX_FD


class Successor:
    """The new version, as the old supervisor sees it.

    Args:
        listeners: What it takes over.
        workers: How many of the old workers have something to hand over.
        on_end: Called when the new one, after it was ready, has ended or been asked to.

    Raises:
        FingerpostError: It can't even be started.
    """

    def __init__(self, listeners: Listeners, workers: int, on_end: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._on_end = on_end
        self._heirs: asyncio.Future[list[socket.socket]] = loop.create_future()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, *sys.orig_argv[1:]],
                    env=_environment() | {PREDECESSOR_VARIABLE: str(theirs.fileno())},
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                )
            except OSError as error:
                ours.close()
                raise FingerpostError(f"the new version can't be started: {error}") from error
        self.pid = self._process.pid
        self._channel = Channel(ours, self._on_message, self._on_channel_end)
        inherited = [
            {"key": key, "given": listener.given, "sockets": len(listener.sockets)}
            for key, listener in listeners.by_address.items()
        ]
        descriptors = [sock.fileno() for listener in listeners for sock in listener.sockets]
        message = {"type": "predecessor", "pid": os.getpid(), "workers": workers, "listeners": inherited}
        self._channel.send(message, descriptors)

    async def until_ready(self) -> list[socket.socket]:
        """Wait until its workers accept.

        Returns:
            A socket for each old worker, on which it hands over.

        Raises:
            FingerpostError: It doesn't come up. It has ended by then.
        """
        try:
            return await asyncio.wait_for(self._heirs, START_TIMEOUT_S)
        except TimeoutError:
            raise FingerpostError(f"the new version was not ready within {START_TIMEOUT_S:g} s") from None
        finally:
            if not self._heirs.done() or self._heirs.cancelled() or self._heirs.exception() is not None:
                self._channel.close()
                self._process.kill()
                await asyncio.to_thread(self._process.wait)

    def end(self) -> None:
        """It isn't wanted any more."""
        self._channel.close()
        self._process.terminate()

    def _on_message(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        descriptors = message.get("descriptors", [])
        if kind == "ready" and not self._heirs.done():
            self._heirs.set_result([socket.socket(fileno=descriptor) for descriptor in descriptors])
        elif kind == "end":
            self._on_end()

    def _on_channel_end(self, reason: str | None) -> None:
        if self._heirs.done():
            self._on_end()
            return
        try:
            status = self._process.wait(1.0)
            how = f"exited with status {status}" if status >= 0 else f"was killed by signal {-status}"
        except subprocess.TimeoutExpired:
            how = reason or "closed its socketpair"
        self._heirs.set_exception(FingerpostError(f"the new version did not come up: it {how}"))


class Predecessor:
    """The old version, as the new supervisor sees it.

    Args:
        sock: The way to it.

    Raises:
        FingerpostError: What it says is not understood.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._channel: Channel | None = None
        message, sockets = _receive(sock)
        self.pid: int = message["pid"]
        self._workers: int = message["workers"]
        by_address = {}
        for inherited in message["listeners"]:
            count = inherited["sockets"]
            own, sockets = sockets[:count], sockets[count:]
            by_address[inherited["key"]] = Listener(own, given=inherited["given"])
        self.listeners = Listeners.of(by_address)

    @classmethod
    def find(cls, descriptor: str) -> "Predecessor":
        """The one at the other end of a descriptor.

        Raises:
            FingerpostError: There is none, or what it says is not understood.
        """
        try:
            return cls(socket.socket(fileno=int(descriptor)))
        except (OSError, ValueError) as error:
            form = "set by a running proxy, for the version that is to take over from it"
            raise ConfigError(PREDECESSOR_VARIABLE, descriptor, form) from error

    def succeed(self, crew: Crew) -> None:
        """Tell it that this crew accepts, so that it can hand over and go."""
        self._channel = Channel(self._socket, lambda _message: None, lambda _reason: self.close())
        heirs = crew.adopt(self._workers)
        self._channel.send({"type": "ready"}, [heir.fileno() for heir in heirs])
        for heir in heirs:
            heir.close()

    def end(self) -> None:
        """Tell it to hurry."""
        if self._channel is not None:
            self._channel.send({"type": "end"})

    def close(self) -> None:
        """It has gone, or this process is about to."""
        if self._channel is not None:
            self._channel.close()
        self._socket.close()


def _environment() -> dict[str, str]:
    """This process's own; but systemd's watchdog is going to be fed by the other."""
    return {name: value for name, value in os.environ.items() if name != "WATCHDOG_PID"}


def _receive(sock: socket.socket) -> tuple[dict[str, Any], list[socket.socket]]:
    """Wait for the first line; its listening sockets come with it."""
    sock.settimeout(START_TIMEOUT_S)
    os.set_inheritable(sock.fileno(), False)
    received = b""
    descriptors: list[int] = []
    try:
        while not received.endswith(b"\n"):
            data, more, _, _ = socket.recv_fds(sock, _READ_BYTES, _MAX_DESCRIPTORS)
            if not data:
                raise ValueError("it ended")
            received += data
            descriptors += more
        message = json.loads(received)
        if message["type"] != "predecessor" or message.get("descriptors", 0) != len(descriptors):
            raise ValueError("another kind of message")
    except (OSError, ValueError, KeyError) as error:
        raise FingerpostError(
            f"the version to take over from said something that is not understood: {error}"
        ) from error
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    for listening in sockets:
        listening.setblocking(False)
        os.set_inheritable(listening.fileno(), False)
    return message, sockets
