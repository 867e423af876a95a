"""The supervisor's Unix socket: `fingerpost status`, `reload`, `upgrade` and `stop` speak to it.

One JSON object a line each way, one question a connection. The socket is its owner's alone (0600), which is all the
authentication there is: who can connect may also send signals.
"""

import asyncio
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from fingerpost.control.place import is_answered
from fingerpost.errors import ConfigError, FingerpostError

QUESTION_TIMEOUT_S = 10.0
MAX_QUESTION_BYTES = 4096

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

log = logging.getLogger("fingerpost")


class CommandSocket:
    """A listening Unix socket at a path.

    Args:
        path: Where. Its directory exists. A socket that nobody answers at is replaced.
        take_over: Replace also one that is answered: by the process that this one succeeds.

    Raises:
        ConfigError: Somebody answers there, or the place can't be used.
    """

    def __init__(self, path: str, *, take_over: bool = False) -> None:
        self.path = path
        if not take_over and is_answered(path):
            raise ConfigError("control_socket", path, "a path at which no other running instance answers")
        temporary = f"{path}.{os.getpid()}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        before = os.umask(0o177)  # no moment in which others could connect
        try:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            self._socket.bind(temporary)
            self._socket.listen()
            os.rename(temporary, path)
            self._identity = os.stat(path)
        except (OSError, ValueError) as error:
            self._socket.close()
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError("control_socket", path, f"a place for a socket ({reason})") from error
        finally:
            os.umask(before)
        self._server: asyncio.Server | None = None

    async def serve(self, answer: Answer) -> None:
        """Begin to answer."""
        self._server = await asyncio.start_unix_server(
            lambda reader, writer: _converse(answer, reader, writer), sock=self._socket, limit=MAX_QUESTION_BYTES
        )

    def close(self) -> None:
        """Answer no more, and remove the socket if it is still this one's."""
        if self._server is not None:
            self._server.close()
        self._socket.close()
        with suppress(OSError):
            if os.path.samestat(os.stat(self.path), self._identity):
                os.unlink(self.path)


async def _converse(answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        line = await asyncio.wait_for(reader.readline(), QUESTION_TIMEOUT_S)
        question = json.loads(line)
        if not isinstance(question, dict):
            raise ValueError("no object")
        try:
            answered: dict[str, Any] = {"ok": True} | await answer(question)
        except FingerpostError as error:
            answered = {"ok": False, "problems": str(error).splitlines()}
        writer.write(json.dumps(answered).encode() + b"\n")
        await writer.drain()
    except (OSError, ValueError, TimeoutError) as error:
        log.debug("a command that could not be understood or answered: %s", error)
    finally:
        writer.close()
