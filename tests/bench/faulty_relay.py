"""A relay that does wrong on purpose: ``python faulty_relay.py PORT APP_PORT MISDEED``.

It relays every connection to one app. With a WebSocket it does its misdeed to one message in a thousand of those that
come from the app, chosen by the stamp that the benchmark's messages begin with, so that a test knows which:

- ``drop``, ``duplicate``, ``alter`` (a bit of it), ``hold`` (until the next one has passed), ``late`` (by two seconds);
- ``die``: after `DIES_AFTER` messages the process ends; ``hang``: it relays no more;
- ``cut``: every third connection is closed instead of its first answer.

With HTTP: ``alter`` flips a bit, and ``drop`` swallows a byte, in every 50th kilobyte. ``bare`` adds no X-Forwarded-*
fields, ``none`` does nothing wrong.
"""

import asyncio
import itertools
import os
import struct
import sys
from collections.abc import Awaitable, Callable

ONE_IN = 1000
DIES_AFTER = 1500
LATE_S = 2.0
LAST_WORDS = "no more of this"

_ADDED = b"".join(b"X-Forwarded-%b: x\r\n" % name for name in (b"For", b"Proto", b"Host", b"Port"))
_EVERY_BYTES = 50 * 1024
_BINARY = 0x82


def is_chosen(tunnel: int, index: int) -> bool:
    """Whether this message is one of the thousandths. Never the first nor the last of a tunnel with ten or more."""
    return (tunnel * 337 + index) % ONE_IN == 5


class Relay:
    def __init__(self, app_port: int, misdeed: str) -> None:
        self.app_port = app_port
        self.misdeed = misdeed
        self.numbers = itertools.count(1)
        self.passed = 0
        self.answered = 0

    async def handle(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            app, to_app = await asyncio.open_connection("127.0.0.1", self.app_port)
            head = await client.readuntil(b"\r\n\r\n")
            to_app.write(head if self.misdeed == "bare" else head.replace(b"\r\n", b"\r\n" + _ADDED, 1))
            messages = b"Upgrade:" in head and b"/pour" not in head
            pass_on = self.messages if messages else self.plain
            ways = (self.from_client(client, to_app), self.from_app(app, to_client, pass_on))
            await asyncio.gather(*ways)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            to_client.close()
            to_app.close()

    async def from_client(self, client: asyncio.StreamReader, to_app: asyncio.StreamWriter) -> None:
        while data := await client.read(65536):
            to_app.write(data)
            await to_app.drain()
        to_app.write_eof()

    async def from_app(
        self,
        app: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        pass_on: Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]],
    ) -> None:
        to_client.write(await app.readuntil(b"\r\n\r\n"))
        await pass_on(app, to_client, next(self.numbers))
        to_client.write_eof()

    async def plain(self, app: asyncio.StreamReader, to_client: asyncio.StreamWriter, number: int) -> None:
        while data := await app.read(65536):
            before, self.answered = self.answered, self.answered + len(data)
            if before // _EVERY_BYTES != self.answered // _EVERY_BYTES:
                if self.misdeed == "alter":
                    data = data[:-1] + bytes([data[-1] ^ 1])
                elif self.misdeed == "drop":
                    data = data[:-1]
            to_client.write(data)
            await to_client.drain()
            if self.misdeed == "cut" and number % 3 == 0 and number > 10:
                raise ConnectionAbortedError

    async def messages(self, app: asyncio.StreamReader, to_client: asyncio.StreamWriter, number: int) -> None:
        held = b""
        while frame := await self.next_frame(app):
            tunnel, index = self.stamp(frame)
            chosen = frame[0] == _BINARY and is_chosen(tunnel, index)
            if frame[0] == _BINARY:
                self.passed += 1
            if self.misdeed == "cut" and number % 3 == 0 and number > 10:
                raise ConnectionAbortedError
            if self.passed >= DIES_AFTER and self.misdeed == "die":
                print(LAST_WORDS, file=sys.stderr, flush=True)
                os._exit(3)
            if self.passed >= DIES_AFTER and self.misdeed == "hang":
                await asyncio.Event().wait()
            if chosen and self.misdeed == "hold":
                held = frame
                continue
            if chosen and self.misdeed == "late":
                await asyncio.sleep(LATE_S)
            to_client.write(self.wronged(frame) if chosen else frame)
            to_client.write(held)
            held = b""
            await to_client.drain()

    def wronged(self, frame: bytes) -> bytes:
        if self.misdeed == "drop":
            return b""
        if self.misdeed == "duplicate":
            return frame * 2
        return frame[:-1] + bytes([frame[-1] ^ 1]) if self.misdeed == "alter" else frame

    @staticmethod
    def stamp(frame: bytes) -> tuple[int, int]:
        start = 2 if frame[1] < 126 else 4
        tunnel, index = struct.unpack(">II", frame[start : start + 8].ljust(8, b"\0"))
        return tunnel, index

    @staticmethod
    async def next_frame(app: asyncio.StreamReader) -> bytes:
        """The next frame of an app, whole, or nothing at the end."""
        head = await app.read(1)
        if not head:
            return b""
        head += await app.readexactly(1)
        length = head[1]
        if length == 126:
            head += await app.readexactly(2)
            length = int.from_bytes(head[2:], "big")
        return head + await app.readexactly(length)


async def main(port: int, app_port: int, misdeed: str) -> None:
    relay = Relay(app_port, misdeed)
    server = await asyncio.start_server(relay.handle, "127.0.0.1", port, backlog=1000, limit=1 << 20)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
