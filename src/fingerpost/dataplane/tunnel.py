"""Bytes both ways, unread: what an exchange becomes after a 101, or at once for a ``tcp`` target.

A tunnel may live for days and there may be ten thousands of them, so it is two small objects and holds no bytes
while nothing is stuck. Its hot path is `End.on_event`: one read into a buffer that all tunnels share, one send.
"""

import socket
from typing import TYPE_CHECKING, NamedTuple

from fingerpost.dataplane.access_log import Subject
from fingerpost.dataplane.connection import Connection, Stream, cut
from fingerpost.dataplane.loop import ERROR, READ, WRITE, Loop
from fingerpost.dataplane.splice import LARGE_BYTES, LARGE_READS_TO_START, SHORT_READS_TO_STOP, Pipe
from fingerpost.dataplane.timers import NEVER
from fingerpost.routing.model import Target

if TYPE_CHECKING:
    from fingerpost.dataplane.downstream import Downstream
    from fingerpost.dataplane.exchange import Exchange
    from fingerpost.dataplane.upstream import Upstream
    from fingerpost.dataplane.worker import Worker

_BUFFER_SIZE = 65536
_BUFFER = memoryview(bytearray(_BUFFER_SIZE))
"""Every read of every tunnel goes through here: one thread, and nothing stays in it."""


class End:
    """One side of a tunnel.

    Attributes:
        peer: The other side: what is read here is sent there.
        unsent: What was read at the peer and doesn't fit into this socket now.
        relayed: Bytes read here.
        ended: This side has said its last byte.
        bulk: What is read here goes through a pipe, not through our memory.
        streak: Large reads in a row; while ``bulk``, short ones.
        pipe: The one that holds what was read here and doesn't fit into the peer's socket now.
    """

    __slots__ = (
        "bulk",
        "ended",
        "fd",
        "interest",
        "parked",
        "peer",
        "pipe",
        "relayed",
        "sock",
        "streak",
        "tunnel",
        "unsent",
    )

    peer: "End"

    def __init__(self, tunnel: "Tunnel", sock: Stream, unsent: bytes) -> None:
        self.tunnel = tunnel
        self.sock = sock
        self.fd = sock.fileno()
        self.unsent = unsent
        self.interest = 0
        self.parked = False
        self.relayed = 0
        self.ended = False
        self.bulk = False
        self.streak = 0
        self.pipe: Pipe | None = None

    @classmethod
    def of(cls, tunnel: "Tunnel", connection: Connection) -> "End":
        """Take a connection's socket over, which is watched already."""
        unsent, interest, parked = connection.unsent, connection.interest, connection.parked
        end = cls(tunnel, connection.release(), unsent)
        end.interest = interest
        end.parked = parked
        tunnel.loop.handlers[end.fd] = end.on_event if interest & READ else end._on_rare_event
        end.want(READ | WRITE if unsent else READ)
        return end

    def on_event(self, event: int) -> None:
        """Relay once: read here, send there."""
        if event != READ or self.bulk:
            self._on_rare_event(event)
            return
        size = 0
        try:
            size = self.sock.recv_into(_BUFFER)
            if not size:
                self._on_end()
                return
            self.relayed += size
            tunnel = self.tunnel
            tunnel.deadline = tunnel.loop.now + tunnel.idle_s
            sent = self.peer.sock.send(_BUFFER[:size])
        except BlockingIOError:
            if size:
                self._hold(_BUFFER[:size].tobytes())
        except OSError:
            self.tunnel.close("reset")
        else:
            if sent != size:
                self._hold(_BUFFER[sent:size].tobytes())
            elif size >= LARGE_BYTES:
                self._on_large_read()
            elif self.streak:
                self.streak = 0

    def push(self, data: bytes) -> None:
        """Send what was read at the peer before the tunnel began, behind what already waits."""
        if self.unsent:
            data = self.unsent + data
            self.unsent = b""
        try:
            sent = self.sock.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        if sent != len(data):
            self.peer._hold(data[sent:])

    def on_bug(self) -> None:
        """A handler raised."""
        self.tunnel.close("internal error")

    def want(self, interest: int) -> None:
        """Ask for these events, and no others.

        While nothing is to be read, `_on_rare_event` is the handler, so that `on_event` needn't ask: this batch may
        hold an older event, or TLS one of its own.
        """
        if interest == self.interest:
            return
        loop = self.tunnel.loop
        handler = self.on_event if interest & READ else self._on_rare_event
        if interest & READ & ~self.interest and not self.tunnel.can_splice:
            loop.again(self.fd)  # what TLS had decrypted when reading stopped makes no event
        self.interest = interest
        if self.parked:
            self.parked = False
            loop.watch(self.fd, interest, handler)
        else:
            loop.handlers[self.fd] = handler
            loop.change(self.fd, interest)

    def leave(self) -> None:
        """Be deaf, until `rejoin` or the end."""
        if not self.parked:
            self.tunnel.loop.unwatch(self.fd)

    def rejoin(self) -> None:
        """Watch for what there is to do, here where nothing watches this socket."""
        self.parked = False
        self.interest = (0 if self.ended or self.peer.unsent else READ) | (WRITE if self.unsent else 0)
        self.tunnel.loop.watch(self.fd, self.interest, self.on_event if self.interest & READ else self._on_rare_event)

    def empty_pipe(self) -> None:
        """Give the pipe back; what it holds for the peer waits there as bytes from now on."""
        pipe, self.pipe = self.pipe, None
        if pipe is not None:
            self.peer.unsent += pipe.read_all()
            pipe.give_back()

    def _hold(self, data: bytes) -> None:
        """The peer can't take this now: keep it there, and read no more until it has gone."""
        peer = self.peer
        peer.unsent = data
        peer.want(peer.interest | WRITE)
        self.want(self.interest & ~READ)

    def _on_rare_event(self, event: int) -> None:
        """Everything but plain data that fits."""
        try:
            if event & WRITE and not self._flush():
                return
            if self.tunnel.closed or event == WRITE:
                return
            if not self.interest & READ:
                if event & ERROR:
                    self.tunnel.close("reset")
                elif event & ~(READ | WRITE):
                    self._on_hang_up()
            elif self.bulk:
                self._splice()
            else:
                self.on_event(READ)
        except OSError:
            self.tunnel.close("reset")

    def _on_hang_up(self) -> None:
        """Both directions of this socket are over, while nothing is read from it.

        EPOLLHUP can't be masked, so until the peer has taken what waits, the socket leaves epoll.
        """
        if self.ended:
            self.tunnel.close("reset")
        else:
            self.tunnel.loop.unwatch(self.fd)
            self.interest = 0
            self.parked = True

    def _flush(self) -> bool:
        """Send what waits for this side; return whether all went."""
        peer = self.peer
        if self.unsent:
            try:
                self.unsent = self.unsent[self.sock.send(self.unsent) :]
            except BlockingIOError:
                return False
        elif peer.pipe is not None and peer.pipe.drain(self.fd):
            peer.return_pipe()
        self.tunnel.touch()
        if self.unsent or peer.pipe is not None:
            return False
        self.want(self.interest & ~WRITE)
        if peer.ended:
            self._finish()
        else:
            peer.want(peer.interest | READ)
        return True

    def _on_end(self) -> None:
        """This side has said its last byte: flush the peer, then tell it; the other direction goes on."""
        self.ended = True
        self.want(self.interest & ~READ)
        peer = self.peer
        if not peer.unsent and self.pipe is None:
            peer._finish()

    def _finish(self) -> None:
        """Everything has gone to this side, and nothing more comes."""
        if self.ended:
            self.tunnel.close("done")
            return
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.tunnel.close("reset")

    def _on_large_read(self) -> None:
        """Large reads in a row are bulk, which splice carries at less cost."""
        self.streak += 1
        if self.streak >= LARGE_READS_TO_START and self.tunnel.can_splice:
            self.bulk = True
            self.streak = 0

    def _splice(self) -> None:
        pipe = self.pipe = Pipe.take()
        if pipe is None:
            self._end_bulk()
            self.on_event(READ)
            return
        try:
            size = pipe.fill(self.fd)
        except BlockingIOError:
            # Readable, and yet nothing to splice: an urgent byte is in the way, which recv steps over.
            self.return_pipe()
            self._end_bulk()
            return
        if not size:
            self.return_pipe()
            self._on_end()
            return
        self.relayed += size
        self.tunnel.touch()
        peer = self.peer
        if pipe.drain(peer.fd):
            self.return_pipe()
        else:
            peer.want(peer.interest | WRITE)
            self.want(self.interest & ~READ)
        if size >= LARGE_BYTES:
            self.streak = 0
        else:
            self.streak += 1
            if self.streak >= SHORT_READS_TO_STOP:
                self._end_bulk()

    def _end_bulk(self) -> None:
        self.bulk = False
        self.streak = 0

    def return_pipe(self) -> None:
        """Nothing of what was read here is left in a pipe: others can have it."""
        pipe, self.pipe = self.pipe, None
        if pipe is not None:
            pipe.give_back()


class Tunnel:
    """Two ends, a deadline, and what has to be said of it when it is over."""

    __slots__ = (
        "app",
        "can_splice",
        "client",
        "client_address",
        "closed",
        "deadline",
        "idle_s",
        "loop",
        "note",
        "started_at",
        "target",
        "wake",
        "worker",
    )

    client: End
    app: End

    def __init__(
        self,
        worker: "Worker",
        target: Target,
        client_address: str,
        started_at: float,
        note: "Note | None",
        *,
        can_splice: bool,
    ) -> None:
        self.worker = worker
        self.loop: Loop = worker.loop
        self.idle_s = worker.settings.tunnel_idle_timeout_s
        self.deadline = self.wake = NEVER
        self.closed = False
        self.started_at = started_at
        self.client_address = client_address
        self.target = target
        self.note = note
        self.can_splice = can_splice

    @classmethod
    def of(cls, exchange: "Exchange", downstream: "Downstream", upstream: "Upstream") -> "Tunnel":
        """What an exchange becomes."""
        worker = exchange.worker
        note = Note.of(exchange) if worker.access_log is not None else None
        plain = isinstance(downstream.sock, socket.socket) and isinstance(upstream.sock, socket.socket)
        tunnel = cls(worker, upstream.target, downstream.address, exchange.started_at, note, can_splice=plain)
        tunnel.join(End.of(tunnel, downstream), End.of(tunnel, upstream))
        worker.counters.tunnels += 1
        tunnel.loop.timers.arm(tunnel, tunnel.loop.now + tunnel.idle_s)
        return tunnel

    def join(self, client: End, app: End) -> None:
        """Make two ends each other's peers."""
        self.client, self.app = client, app
        client.peer, app.peer = app, client
        self.worker.counters.tunnels_running += 1

    def begin(self, to_client: bytes, to_app: bytes) -> None:
        """Send what was read ahead, then relay."""
        self.client.relayed += len(to_app)
        self.app.relayed += len(to_client)
        try:
            self.client.push(to_client)
            self.app.push(to_app)
        except OSError:
            self.close("reset")

    def touch(self) -> None:
        """Bytes have moved."""
        self.deadline = self.loop.now + self.idle_s

    def on_deadline(self) -> None:
        """No byte for too long."""
        self.close("idle")

    def on_bug(self) -> None:
        """A handler raised."""
        self.close("internal error")

    def close(self, reason: str) -> None:
        """Close both sides; unless all was said, so that they see that it was cut off."""
        if self.closed:
            return
        self.closed = True
        self.loop.timers.forget(self)
        for end in (self.client, self.app):
            if reason != "done":
                cut(end.sock)
            end.return_pipe()
            self._let_go(end)
        self._count_out()
        worker = self.worker
        if self.note is not None and worker.access_log is not None:
            note = self.note
            worker.access_log.write(
                note.subject,
                status=note.status,
                bytes_in=note.bytes_in + self.client.relayed,
                bytes_out=note.bytes_out + self.app.relayed,
                first_byte_s=note.first_byte_s,
                duration_s=self.loop.now - self.started_at,
                reused=note.reused,
                reason=reason,
            )

    def forget(self) -> None:
        """Another worker goes on with it: close nothing but this worker's copies of the descriptors."""
        self.closed = True
        self._let_go(self.client)
        self._let_go(self.app)
        self._count_out()

    def _let_go(self, end: End) -> None:
        end.unsent = b""
        self.loop.close(end.sock)

    def _count_out(self) -> None:
        self.worker.counters.tunnels_running -= 1
        self.worker.pool.count_down(self.target)
        self.worker.client_gone(self.client_address)


class Note(NamedTuple):
    """What the access log will say of the tunnel, from the exchange that it was."""

    subject: Subject
    status: int
    bytes_in: int
    bytes_out: int
    first_byte_s: float | None
    reused: bool

    @classmethod
    def of(cls, exchange: "Exchange") -> "Note":
        """Take it down."""
        first_byte_s = None if exchange.first_byte_at is None else exchange.first_byte_at - exchange.started_at
        return cls(
            exchange.subject(),
            exchange.status,
            exchange.bytes_in,
            exchange.bytes_out,
            first_byte_s,
            exchange.reused,
        )
