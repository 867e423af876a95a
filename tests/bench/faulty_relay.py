"""A TCP relay that does wrong on purpose: ``python faulty_relay.py PORT APP_PORT MISDEED``.

The misdeeds: ``none``; ``alter`` flips a bit of one byte in every 50th kilobyte of the app's answers; ``lose``
swallows a byte there; ``cut`` closes every third connection after the app's first answer; ``bare`` adds no
X-Forwarded-* fields.
"""

import selectors
import socket
import sys
from typing import NamedTuple

_ADDED = b"".join(b"X-Forwarded-%b: x\r\n" % name for name in (b"For", b"Proto", b"Host", b"Port"))
_EVERY_BYTES = 50 * 1024  # behind the probes, well inside of what a test sends


class Way(NamedTuple):
    """One direction of one connection."""

    source: socket.socket
    sink: socket.socket
    from_app: bool
    number: int


def main(port: int, app_port: int, misdeed: str) -> None:
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", port), backlog=1000)
    selector.register(listener, selectors.EVENT_READ)
    accepted = answered = 0
    while True:
        for key, _ in selector.select():
            if key.data is None:
                client, _ = listener.accept()
                head = client.recv(65536)
                app = socket.create_connection(("127.0.0.1", app_port))
                app.sendall(head if misdeed == "bare" else head.replace(b"\r\n", b"\r\n" + _ADDED, 1))
                accepted += 1
                selector.register(client, selectors.EVENT_READ, Way(client, app, False, accepted))
                selector.register(app, selectors.EVENT_READ, Way(app, client, True, accepted))
                continue
            way: Way = key.data
            try:
                data = way.source.recv(65536)
            except OSError:
                data = b""
            if way.from_app and data:
                before, answered = answered, answered + len(data)
                if before // _EVERY_BYTES != answered // _EVERY_BYTES:
                    data = spoil(data, misdeed)
            cut = misdeed == "cut" and way.from_app and way.number % 3 == 0 and accepted > 10
            try:
                way.sink.sendall(data)
            except OSError:
                cut = True
            if cut or not data:
                for end in (way.source, way.sink):
                    if end.fileno() in selector.get_map():
                        selector.unregister(end)
                    end.close()


def spoil(data: bytes, misdeed: str) -> bytes:
    if misdeed == "alter":
        return data[:-1] + bytes([data[-1] ^ 1])
    return data[:-1] if misdeed == "lose" else data


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
