"""Real servers for the proxy to relay to: HTTP and WebSocket echoes in threads, nginx as a process."""

import shutil
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from websockets.sync.server import ServerConnection, serve

from child import Child, accepts, until
from fingerpost.demo.serving import AppServers


@contextmanager
def http_echo() -> Iterator[str]:
    """Serve ``/body`` (sends the request's body back), ``/seen`` (the request as JSON) and ``/pieces?n=``.

    Yields:
        ``127.0.0.1:port``.
    """
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    routes = [
        Route("/body", _body, methods=methods),
        Route("/seen", _seen, methods=methods),
        Route("/pieces", _pieces),
    ]
    with AppServers({"echo": Starlette(routes=routes)}) as servers:
        yield f"127.0.0.1:{servers.ports['echo']}"


@contextmanager
def websocket_echo() -> Iterator[str]:
    """Serve a WebSocket that sends every message back; ``close CODE REASON`` makes it close so.

    Yields:
        ``127.0.0.1:port``.
    """
    with serve(_echo, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
        thread = threading.Thread(target=server.serve_forever, name="WebSocket echo", daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join(10.0)


@contextmanager
def nginx(directory: Path, server_block: str) -> Iterator[str]:
    """Run nginx with one ``server`` of the given directives; ``root`` is ``directory``. Skips without it.

    Yields:
        ``127.0.0.1:port``.
    """
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("nginx is not installed")
    with socket.create_server(("127.0.0.1", 0)) as probe:  # nginx has no port 0
        port = probe.getsockname()[1]
    config = directory / "nginx.conf"
    config.write_text(_NGINX_CONFIG.format(directory=directory, port=port, server_block=server_block))
    with Child([program, "-p", directory, "-c", config, "-e", "stderr"], directory=directory) as child:
        until(lambda: accepts(port) or child.process.poll() is not None, "nginx accepts connections")
        assert child.process.poll() is None, child.output()
        yield f"127.0.0.1:{port}"


_NGINX_CONFIG = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {directory}/tmp-body;
    proxy_temp_path {directory}/tmp-proxy;
    fastcgi_temp_path {directory}/tmp-fastcgi;
    uwsgi_temp_path {directory}/tmp-uwsgi;
    scgi_temp_path {directory}/tmp-scgi;
    types {{ text/plain txt; application/octet-stream bin; }}
    server {{
        listen 127.0.0.1:{port};
        root {directory};
        {server_block}
    }}
}}
"""


def _echo(websocket: ServerConnection) -> None:
    for message in websocket:
        if isinstance(message, str) and message.startswith("close "):
            _, code, reason = message.split(" ", 2)
            websocket.close(int(code), reason)
        else:
            websocket.send(message)


async def _body(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


async def _seen(request: Request) -> Response:
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
    return JSONResponse(
        {"method": request.method, "path": request.url.path, "query": request.url.query, "fields": fields},
        headers={"X-Method": request.method},
    )


async def _pieces(request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(int(request.query_params["n"])):
            yield b"piece %d\n" % number

    return StreamingResponse(pieces(), media_type="text/plain")
