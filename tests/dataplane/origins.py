"""Apps for the proxy to relay to: servers in threads that follow a script, most of them badly.

An `Origin` serves every connection with one script, a function that talks on it. What the scripts do wrong is
their name.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dataplane.wire import Message, Wire, response


class Talk(Wire):
    """The app's end of one connection."""

    def __init__(self, sock: socket.socket, origin: "Origin") -> None:
        super().__init__(sock)
        self.origin = origin

    def read_head(self) -> Message:
        """As in Wire; the head is written down at the origin."""
        head = super().read_head()
        self.origin.heads.append(head)
        return head

    def read_request(self) -> Message:
        """As in Wire; the request is written down at the origin."""
        message = super().read_request()
        self.origin.requests.append(message)
        return message

    def wait_for_the_end(self) -> None:
        """Take whatever comes until the proxy closes, however it does."""
        with contextlib.suppress(ConnectionError):
            while self.sock.recv(1 << 20):
                pass


Script = Callable[[Talk], None]


class Origin:
    """A listening socket on loopback, and a thread for each connection.

    Attributes:
        target: ``127.0.0.1:port`` or ``[::1]:port``.
        port: Its port.
        heads: Of every request that arrived, complete or not, in order.
        requests: Those that arrived whole.
        accepted: How many connections were made to it.
        open: How many of them are still open.
    """

    def __init__(self, script: Script, address: str = "127.0.0.1") -> None:
        self.script = script
        self.heads: list[Message] = []
        self.requests: list[Message] = []
        self.accepted = 0
        self.open = 0
        self._talks: set[Talk] = set()
        self._lock = threading.Lock()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listening = socket.create_server((address, 0), family=family, backlog=1024)
        self.port: int = self._listening.getsockname()[1]
        self.target = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        self._thread = threading.Thread(target=self._accept, name="origin", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and break off every connection."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(10.0)
        self._listening.close()
        with self._lock:
            talks = list(self._talks)
        for talk in talks:
            with contextlib.suppress(OSError):
                talk.sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                talk = Talk(sock, self)
                with self._lock:
                    self._talks.add(talk)
                    self.accepted += 1
                    self.open += 1
                threading.Thread(target=self._talk, args=(talk,), name="origin talk", daemon=True).start()

    def _talk(self, talk: Talk) -> None:
        with contextlib.suppress(EOFError, OSError), talk:
            self.script(talk)
        with self._lock:
            self._talks.discard(talk)
            self.open -= 1


@contextmanager
def origin(script: Script, address: str = "127.0.0.1") -> Iterator[Origin]:
    """Serve connections with ``script``."""
    running = Origin(script, address)
    try:
        yield running
    finally:
        running.close()


def answering(answer: bytes | Callable[[Message], bytes]) -> Script:
    """A good app: every request gets its answer, on one connection for as long as the proxy likes."""

    def script(talk: Talk) -> None:
        while True:
            message = talk.read_request()
            talk.send(answer if isinstance(answer, bytes) else answer(message))

    return script


def saying(answer: bytes) -> Script:
    """Reads one request, says exactly this, and ends the connection."""

    def script(talk: Talk) -> None:
        talk.read_request()
        talk.send(answer)

    return script


def echo(message: Message) -> bytes:
    """For `answering`: the request's start line and body come back."""
    return response(message.start + b"\n" + message.body)


# Misdeeds


def says_nothing(talk: Talk) -> None:
    """Accepts and reads, and never answers."""
    talk.wait_for_the_end()


def closes_at_once(talk: Talk) -> None:
    """Accepts, and closes without reading: a reset, if something was sent."""


def closes_after_the_request(talk: Talk) -> None:
    """Reads a request and goes."""
    talk.read_request()


def resets_after_the_request(talk: Talk) -> None:
    """Reads a request and resets."""
    talk.read_request()
    talk.reset()


def dies_mid_head(talk: Talk) -> None:
    """Half of a head, then the end."""
    talk.read_request()
    talk.send(b"HTTP/1.1 200 OK\r\nContent-Le")


def hangs_mid_head(talk: Talk) -> None:
    """Half of a head, then nothing."""
    talk.read_request()
    talk.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    talk.wait_for_the_end()


def drips_its_head(talk: Talk) -> None:
    """A head that comes one byte at a time and never ends."""
    talk.read_request()
    talk.send(b"HTTP/1.1 200 OK\r\nX-Long: ")
    talk.sock.settimeout(0.05)
    while True:
        talk.send(b"x")
        try:
            if not talk.sock.recv(1):
                return
        except TimeoutError:
            pass


def dies_mid_body(talk: Talk) -> None:
    """Promises 1000 bytes, sends 10, closes."""
    talk.read_request()
    talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789")


def dies_mid_chunk(talk: Talk) -> None:
    """A chunk that ends too soon."""
    talk.read_request()
    talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nff\r\nabc")


def resets_mid_body(talk: Talk) -> None:
    """A body that lasts until the end, which is a reset."""
    talk.read_request()
    talk.send(b"HTTP/1.1 200 OK\r\n\r\n0123456789")
    talk.reset()


def hangs_mid_body(talk: Talk) -> None:
    """Promises 1000 bytes, sends 10, says no more."""
    talk.read_request()
    talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789")
    talk.wait_for_the_end()


def answers_twice(talk: Talk) -> None:
    """Every request gets an answer and then another one that nobody asked for."""
    while True:
        message = talk.read_request()
        talk.send(response(b"first for " + message.target) + response(b"NOBODY ASKED FOR THIS"))


def answers_twice_slowly(talk: Talk) -> None:
    """The same, with the second answer on its way only after the first has been relayed."""
    while True:
        message = talk.read_request()
        talk.send(response(b"first for " + message.target))
        talk.sock.settimeout(0.1)
        with contextlib.suppress(TimeoutError):
            if not talk.sock.recv(1, socket.MSG_PEEK):
                return
        talk.send(response(b"NOBODY ASKED FOR THIS"))
        talk.sock.settimeout(10.0)


def sends_without_end(talk: Talk) -> None:
    """A response body that never ends, as fast as the proxy takes it."""
    talk.read_request()
    talk.send(b"HTTP/1.1 200 OK\r\n\r\n")
    piece = bytes(1 << 16)
    while True:
        talk.send(piece)


def reads_nothing(talk: Talk) -> None:
    """Reads the head and then nothing of the body, until the proxy has gone."""
    talk.read_head()
    talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    _wait_for_hang_up(talk.sock)


def refuses_the_body(talk: Talk) -> None:
    """Answers 413 to the head alone, and closes with the body unread."""
    talk.read_head()
    talk.send(response(b"too much", "Connection: close", status="413 Content Too Large"))
    talk.say_no_more()


def _wait_for_hang_up(sock: socket.socket) -> None:
    import select

    poller = select.poll()
    poller.register(sock, select.POLLRDHUP)
    poller.poll(30_000)
