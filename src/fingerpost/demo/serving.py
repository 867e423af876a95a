"""Runs ASGI apps on loopback ports of their own, all in one thread."""

import asyncio
import logging
import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

STOP_TIMEOUT_S = 5.0


class AppServers:
    """A context in which each app of a mapping listens on 127.0.0.1.

    Attributes:
        ports: The port of each app, by the app's name.
    """

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in apps}
        self.ports: dict[str, int] = {name: sock.getsockname()[1] for name, sock in self._sockets.items()}
        self._servers = {name: uvicorn.Server(_config(app)) for name, app in apps.items()}
        # Not the main thread: there uvicorn would take over the signals of the whole process.
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="demo apps", daemon=True)

    def __enter__(self) -> Self:
        # The sockets listen already: what connects before the thread is up waits in their backlog.
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers.values():
            server.should_exit = True
        self._thread.join(STOP_TIMEOUT_S)
        for sock in self._sockets.values():
            sock.close()

    async def _serve(self) -> None:
        await asyncio.gather(*(server.serve(sockets=[self._sockets[name]]) for name, server in self._servers.items()))


def _config(app: ASGIApp) -> uvicorn.Config:
    # Streams have no end of their own: at the stop they get one second.
    return uvicorn.Config(
        app,
        log_config=None,
        log_level=logging.CRITICAL,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
