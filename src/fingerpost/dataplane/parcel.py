"""A connection on its way to another worker: taken off the loop, written down, and put together again there.

What can travel is what consists of plain sockets and bytes: a tunnel, and a client that waits for its next request or
has begun to send it. Until the other worker has said that it has everything, the connection is only set
aside here; if that fails, it goes on as if nothing had been.
"""

import os
import socket
from typing import TYPE_CHECKING, Any, Protocol

from fingerpost.dataplane.access_log import Subject
from fingerpost.dataplane.downstream import Downstream
from fingerpost.dataplane.tunnel import End, Note, Tunnel
from fingerpost.http1.rewrite import Client
from fingerpost.routing.model import Target

if TYPE_CHECKING:
    from fingerpost.dataplane.worker import Worker


class Parcel(Protocol):
    """Something that can be handed over."""

    @property
    def subject(self) -> object:
        """The connection itself."""
        ...

    def is_fit(self) -> bool:
        """Whether it can travel right now."""
        ...

    def pack(self) -> tuple[dict[str, Any], bytes, list[int]]:
        """Take it off the loop and write it down: facts, bytes, descriptors."""
        ...

    def put_back(self) -> None:
        """It stays: go on."""
        ...

    def gone(self) -> None:
        """The other worker has it: forget it here, without a word to either side."""
        ...


class TunnelParcel:
    """A tunnel, with what its sides haven't taken yet."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self._idle_since = 0.0

    @property
    def subject(self) -> object:
        """See `Parcel`."""
        return self._tunnel

    def is_fit(self) -> bool:
        """TLS can't travel: its keys and counters are inside OpenSSL."""
        return not self._tunnel.closed and self._tunnel.can_splice

    def pack(self) -> tuple[dict[str, Any], bytes, list[int]]:
        """See `Parcel`."""
        tunnel = self._tunnel
        client, app = tunnel.client, tunnel.app
        self._idle_since = tunnel.deadline - tunnel.idle_s
        tunnel.loop.timers.forget(tunnel)
        for end in (client, app):
            end.empty_pipe()
            end.leave()
        facts = {
            "kind": "tunnel",
            "target": str(tunnel.target),
            "client_address": tunnel.client_address,
            "started_at": tunnel.started_at,
            "idle_since": self._idle_since,
            "unsent": [len(client.unsent), len(app.unsent)],
            "relayed": [client.relayed, app.relayed],
            "ended": [client.ended, app.ended],
            "note": None if tunnel.note is None else _note_as_json(tunnel.note),
        }
        return facts, client.unsent + app.unsent, [client.fd, app.fd]

    def put_back(self) -> None:
        """See `Parcel`."""
        tunnel = self._tunnel
        tunnel.client.rejoin()
        tunnel.app.rejoin()
        tunnel.loop.timers.arm(tunnel, self._idle_since + tunnel.idle_s)

    def gone(self) -> None:
        """See `Parcel`."""
        self._tunnel.forget()


class ClientParcel:
    """A client between requests, with what has come of the next one."""

    def __init__(self, downstream: Downstream) -> None:
        self._downstream = downstream
        self._deadline = 0.0

    @property
    def subject(self) -> object:
        """See `Parcel`."""
        return self._downstream

    def is_fit(self) -> bool:
        """Not while an exchange runs, or an answer is on its way."""
        return self._downstream.is_waiting

    def pack(self) -> tuple[dict[str, Any], bytes, list[int]]:
        """See `Parcel`."""
        downstream = self._downstream
        self._deadline = downstream.deadline
        downstream.loop.timers.forget(downstream)
        downstream.loop.unwatch(downstream.fd)
        facts = {
            "kind": "client",
            "client_address": downstream.address,
            "client_port": downstream.port,
            "deadline": self._deadline,
        }
        return facts, downstream.buffered, [downstream.fd]

    def put_back(self) -> None:
        """See `Parcel`."""
        downstream = self._downstream
        downstream.loop.watch(downstream.fd, downstream.interest, downstream.on_event)
        downstream.loop.timers.arm(downstream, self._deadline)
        downstream.drain()

    def gone(self) -> None:
        """See `Parcel`."""
        self._downstream.close()


class Received:
    """A parcel that has arrived, and isn't opened before the other worker has let go of it.

    Args:
        facts: What `Parcel.pack` wrote down, maybe in another version of this program.
        payload: Its bytes.
        descriptors: Owned from now on.

    Raises:
        ValueError: It isn't understood; the descriptors are closed.
    """

    def __init__(self, facts: dict[str, Any], payload: bytes, descriptors: list[int]) -> None:
        self._facts = facts
        self._payload = payload
        self._sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        try:
            self._check()
        except (KeyError, TypeError, ValueError) as error:
            self.drop()
            raise ValueError(f"a parcel that isn't understood: {error!r}") from error
        for sock in self._sockets:
            sock.setblocking(False)
            os.set_inheritable(sock.fileno(), False)

    def open(self, worker: "Worker") -> None:
        """Put it together, here and now."""
        facts = self._facts
        worker.count_in(facts["client_address"])
        if facts["kind"] == "client":
            _open_client(worker, facts, self._payload, self._sockets[0])
        else:
            _open_tunnel(worker, facts, self._payload, self._sockets)

    def drop(self) -> None:
        """Not needed: the other worker goes on with it."""
        for sock in self._sockets:
            sock.close()

    def _check(self) -> None:
        facts = self._facts
        wanted = {"client": 1, "tunnel": 2}
        if facts["kind"] not in wanted or len(self._sockets) != wanted[facts["kind"]]:
            raise ValueError(facts["kind"])
        if not isinstance(facts["client_address"], str):
            raise TypeError("client_address")
        if facts["kind"] == "tunnel":
            Target.parse(facts["target"])
            if sum(facts["unsent"]) != len(self._payload):
                raise ValueError("unsent")
            if facts["note"] is not None:
                _note_from_json(facts["note"])
            [float(facts[name]) for name in ("started_at", "idle_since")]
            [(bool(ended), int(size)) for ended, size in zip(facts["ended"], facts["relayed"], strict=True)]


def _open_client(worker: "Worker", facts: dict[str, Any], payload: bytes, sock: socket.socket) -> None:
    address = facts["client_address"]
    port = str(sock.getsockname()[1]).encode()
    client = Client(address.encode(), b"http", port, worker.trusts(address))
    Downstream(worker, sock, address, facts["client_port"], client).take_up(payload, facts["deadline"])


def _open_tunnel(worker: "Worker", facts: dict[str, Any], payload: bytes, sockets: list[socket.socket]) -> None:
    note = None if facts["note"] is None else _note_from_json(facts["note"])
    target = Target.parse(facts["target"])
    worker.pool.count_up(target)
    tunnel = Tunnel(worker, target, facts["client_address"], facts["started_at"], note, can_splice=True)
    border = facts["unsent"][0]
    tunnel.join(End(tunnel, sockets[0], payload[:border]), End(tunnel, sockets[1], payload[border:]))
    for end, relayed, ended in zip((tunnel.client, tunnel.app), facts["relayed"], facts["ended"], strict=True):
        end.relayed, end.ended = relayed, ended
    tunnel.client.rejoin()
    tunnel.app.rejoin()
    worker.loop.timers.arm(tunnel, facts["idle_since"] + tunnel.idle_s)
    worker.on_tunnel(tunnel)


def _note_as_json(note: Note) -> list[Any]:
    subject = [part.decode("latin-1") if isinstance(part, bytes) else part for part in note.subject]
    return [subject, *note[1:]]


def _note_from_json(written: list[Any]) -> Note:
    subject, *rest = written
    started_at, client, host, kind, target, method, path = subject
    encoded = [text.encode("latin-1") for text in (host, method, path)]
    return Note(Subject(started_at, client, encoded[0], kind, target, encoded[1], encoded[2]), *rest)
