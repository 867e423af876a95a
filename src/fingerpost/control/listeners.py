"""Opens the listening sockets and makes room for the descriptors that connections will need."""

import errno
import resource
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from fingerpost.errors import ConfigError

_BACKLOG = 65535  # the kernel lowers it to net.core.somaxconn
_DESCRIPTORS_PER_CONNECTION = 2
_DESCRIPTORS_BESIDES = 640  # pipes, connections that are being turned away, listeners, logs

_REASONS = {
    errno.EADDRINUSE: "an address that nothing else listens on; stop the other program "
    "(`ss -ltnp` shows it) or choose another port",
    errno.EACCES: "an address this user may bind; choose a port from 1024 on, "
    "or grant CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=)",
    errno.EADDRNOTAVAIL: "an address of this machine, or 0.0.0.0 or [::] for all of them",
    errno.EAFNOSUPPORT: "an address of a family that this machine has",
}


class Listener:
    """One address and its sockets, one for each worker, which the kernel spreads connections over (SO_REUSEPORT).

    They stay open for as long as the address is served, whatever becomes of workers: what waits in a socket's queue
    waits for the next worker that takes it.

    Args:
        sockets: Listening, all at the same address.
        given: Whether they were not opened by us but given by whoever started us.

    Attributes:
        address: ``ADDR:PORT``, with the real port if a free one was asked for.
    """

    def __init__(self, sockets: Sequence[socket.socket], *, given: bool = False) -> None:
        self.sockets = list(sockets)
        self.given = given
        host, port = self.sockets[0].getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def grow(self, count: int) -> None:
        """Have at least so many sockets. Fewer only by `shrink`, for closing one resets what waits in its queue.

        Raises:
            ConfigError: The kernel has no room for more.
        """
        while len(self.sockets) < count and not self.given:
            self.sockets.append(_listen(self.address, join=True))

    def shrink(self, count: int) -> None:
        """Go back to so many, when nobody is going to serve the others: what waits there would wait for ever."""
        while len(self.sockets) > count:
            self.sockets.pop().close()

    def share(self, number: int, count: int) -> list[socket.socket]:
        """What worker ``number`` of ``count`` accepts from: usually one socket of its own.

        There are more when there have been more workers, and workers share them where fewer were given to us.
        """
        return self.sockets[number::count] or [self.sockets[number % len(self.sockets)]]

    def close(self) -> None:
        """Close all; workers that have them may still accept."""
        for listening in self.sockets:
            listening.close()


class Listeners:
    """All listeners, by the address that they were asked for.

    Args:
        addresses: ``ADDR:PORT`` in canonical form.
        count: How many sockets each gets.
        kept: Those of before: addresses that are among them are not opened again, and what was given to us stays.

    Raises:
        ConfigError: An address is taken, forbidden or not this machine's. What was opened is closed again.
    """

    def __init__(self, addresses: Sequence[str], count: int, kept: "Listeners | None" = None) -> None:
        before: dict[str, Listener] = {} if kept is None else kept.by_address
        self.by_address: dict[str, Listener] = {key: one for key, one in before.items() if one.given}
        self._undo = ExitStack()
        with self._undo:
            for number, address in enumerate(addresses):
                # Two times port 0 are two addresses.
                key = f"{address} {number}" if address.endswith(":0") else address
                listener = before.get(key)
                if listener is None:
                    listener = Listener([_listen(address)])
                    self._undo.callback(listener.close)
                else:
                    self._undo.callback(listener.shrink, len(listener.sockets))
                listener.grow(count)
                self.by_address[key] = listener
            self._undo = self._undo.pop_all()

    def give_up(self) -> None:
        """Nobody is going to serve what was opened for these: close it, and nothing else."""
        self._undo.close()

    @classmethod
    def of(cls, by_address: dict[str, Listener]) -> "Listeners":
        """Those that somebody else has opened."""
        listeners = cls([], 0)
        listeners.by_address = by_address
        return listeners

    @property
    def are_given(self) -> bool:
        """Whether some were given to us."""
        return any(listener.given for listener in self)

    def __iter__(self) -> Iterator[Listener]:
        """In the order of the setting."""
        return iter(self.by_address.values())

    def without(self, others: "Listeners") -> list[Listener]:
        """Those that aren't among the others."""
        return [listener for listener in self if listener not in others.by_address.values()]

    def close(self) -> None:
        """Close all."""
        for listener in self:
            listener.close()


def _listen(address: str, *, join: bool = False) -> socket.socket:
    """Open one non-blocking listening socket; with ``join``, beside our own first one of that address.

    SO_REUSEPORT lets several sockets of one user share a port; so a second fingerpost would silently get half of the
    first one's connections. Set between bind and listen, it still does its work, but the bind was exclusive: it
    fails when anybody listens there, whatever options they set. Those that join set it before.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if join:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind((host, int(port)))
            if not join:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.listen(_BACKLOG)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"an address that can be listened on ({error.strerror})")
        raise ConfigError("listen", address, reason) from error
    return listening


def make_room(max_connections: int) -> int:
    """Raise the soft limit on open files towards the hard one, as far as these connections need it.

    Workers inherit the limit, so this comes before they start.

    Returns:
        How many connections fit: ``max_connections`` or fewer.

    Raises:
        ConfigError: Not even one fits.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = descriptors_needed(max_connections)
    if resource.RLIM_INFINITY in (soft, hard) and soft == resource.RLIM_INFINITY:
        return max_connections
    granted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if granted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    fitting = (granted - _DESCRIPTORS_BESIDES) // _DESCRIPTORS_PER_CONNECTION
    if fitting < 1:
        form = f"a hard limit on open files (ulimit -Hn) above {descriptors_needed(1)}, which is {hard} here"
        raise ConfigError("max_connections", max_connections, form)
    return min(max_connections, fitting)


def descriptors_needed(max_connections: int) -> int:
    """Two for each connection, downstream and upstream, and some for pools of names, logs and the like."""
    return _DESCRIPTORS_PER_CONNECTION * max_connections + _DESCRIPTORS_BESIDES


def hard_limit() -> int:
    """The limit on open files that can't be raised from here."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]
