"""The demonstration's apps: a page, a chat over WebSocket, a clock over server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from importlib.resources import files
from itertools import count

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

MAX_TEXT_CHARS = 2_000
MAX_WAITING_MESSAGES = 100
TICK_S = 1.0


def page_app() -> Starlette:
    """A page that shows what of the visitor's request arrived at the app (``/seen``)."""

    async def seen(request: Request) -> JSONResponse:
        return JSONResponse(
            {
                "listening": "{}:{}".format(*request.scope["server"]),
                "fields": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers.raw],
            },
            headers={"Cache-Control": "no-store"},
        )

    return _app("page.html", Route("/seen", seen))


def chat_app() -> Starlette:
    """A room: what one WebSocket (``/ws``) sends goes to all of them, the sender too, as JSON."""
    room = Room()

    async def member(websocket: WebSocket) -> None:
        await websocket.accept()
        await room.stay(websocket)

    return _app("chat.html", WebSocketRoute("/ws", member))


def clock_app(tick_s: float = TICK_S) -> Starlette:
    """A clock: ``/ticks`` sends the time of day, in UTC, every ``tick_s`` seconds as an event stream."""

    async def ticks(request: Request) -> StreamingResponse:
        return StreamingResponse(_ticks(tick_s), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    return _app("clock.html", Route("/ticks", ticks))


APPS: dict[str, Callable[[], Starlette]] = {"page": page_app, "chat": chat_app, "clock": clock_app}


class Room:
    """Who is in the chat. One who reads too slowly misses the oldest messages, so nothing grows."""

    def __init__(self) -> None:
        self._members: dict[str, asyncio.Queue[dict[str, str]]] = {}
        self._numbers = count(1)

    async def stay(self, websocket: WebSocket) -> None:
        """Pass messages between one accepted WebSocket and the others until it closes."""
        name = f"guest {next(self._numbers)}"
        waiting: asyncio.Queue[dict[str, str]] = asyncio.Queue(MAX_WAITING_MESSAGES)
        waiting.put_nowait({"kind": "you", "name": name})
        self._members[name] = waiting
        self._tell_all({"kind": "note", "text": f"{name} is here ({len(self._members)} in the room)"})
        writing = asyncio.create_task(_write(websocket, waiting))
        try:
            while (message := await websocket.receive())["type"] != "websocket.disconnect":
                if text := message.get("text"):
                    self._tell_all({"kind": "said", "name": name, "text": text[:MAX_TEXT_CHARS]})
        finally:
            writing.cancel()
            del self._members[name]
            self._tell_all({"kind": "note", "text": f"{name} has left ({len(self._members)} in the room)"})

    def _tell_all(self, message: dict[str, str]) -> None:
        for waiting in self._members.values():
            if waiting.full():
                waiting.get_nowait()
            waiting.put_nowait(message)


async def _write(websocket: WebSocket, waiting: "asyncio.Queue[dict[str, str]]") -> None:
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.send_json(await waiting.get())


async def _ticks(tick_s: float) -> AsyncIterator[str]:
    yield "retry: 1000\n\n"
    for number in count(1):
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        yield f"id: {number}\nevent: tick\ndata: {now}\n\n"
        await asyncio.sleep(tick_s)


def _app(html_name: str, *routes: BaseRoute) -> Starlette:
    static = files("fingerpost.demo") / "static"
    style = (static / "style.css").read_text("utf-8")
    html = (static / html_name).read_text("utf-8").replace("/* style */", style)

    async def page(request: Request) -> Response:
        return HTMLResponse(html)

    return Starlette(routes=[Route("/", page), *routes])
