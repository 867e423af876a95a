"""Apps behind a relay, one thread for each connection: they upgrade, then do what their path says."""

import base64
import contextlib
import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

DEADLINE_S = 10.0
GREETING = b"this is app "
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass
class App:
    """``/echo`` echoes until the end, then says how much it was; ``/first`` ends its own way at once and reads on.

    Attributes:
        heard: What came in on each ended connection.
        requests: The heads that came in.
    """

    port: int
    heard: list[bytes] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)

    @property
    def name(self) -> bytes:
        return GREETING + b"%d\n" % self.port

    def serve(self, client: socket.socket) -> None:
        with client:
            client.settimeout(DEADLINE_S)
            heard = b""
            try:
                key = None
                while key is None:  # requests are answered until one asks for an upgrade
                    head, early = read_head(client)
                    if not head:
                        return
                    self.requests.append(head)
                    key = re.search(rb"(?i)^sec-websocket-key: *(\S+)", head, re.MULTILINE)
                    if key is None:
                        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(self.name), self.name))
                client.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Accept: %b\r\n\r\n%b" % (accept(key[1]), self.name)
                )
                echoes = b"GET /echo " in head
                if not echoes:
                    client.shutdown(socket.SHUT_WR)
                heard = early
                if echoes and early:
                    client.sendall(early)
                while data := client.recv(262_144):
                    heard += data
                    if echoes:
                        client.sendall(data)
                if echoes:
                    client.sendall(b"heard %d" % len(heard))
            except OSError:
                pass
            finally:
                self.heard.append(heard)


@contextlib.contextmanager
def running_app() -> Iterator[App]:
    """An app on a free port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        app = App(listener.getsockname()[1])

        def accept_all() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=app.serve, args=(client,), daemon=True).start()

        accepting = threading.Thread(target=accept_all, daemon=True)
        accepting.start()
        yield app
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join(DEADLINE_S)


def accept(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def read_head(link: socket.socket) -> tuple[bytes, bytes]:
    """A head, with its empty line, and what came behind it."""
    read = b""
    while b"\r\n\r\n" not in read:
        data = link.recv(65536)
        if not data:
            return read, b""
        read += data
    head, _, rest = read.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def upgrade_head(host: str, path: str = "/echo", more: bytes = b"") -> bytes:
    return (
        b"GET %b HTTP/1.1\r\nHost: %b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%b\r\n"
        % (path.encode(), host.encode(), more)
    )
