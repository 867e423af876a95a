"""Opens the listening sockets and makes room for the descriptors that connections will need."""

import errno
import resource
import socket
from collections.abc import Sequence
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
    """A listening socket and its address, with the real port if a free one was asked for."""

    def __init__(self, listening: socket.socket) -> None:
        self.socket = listening
        host, port = listening.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def open_listeners(addresses: Sequence[str]) -> list[Listener]:
    """Listen on every address, or on none of them.

    Args:
        addresses: ``ADDR:PORT`` in canonical form.

    Raises:
        ConfigError: An address is taken, forbidden or not this machine's.
    """
    with ExitStack() as opened:
        listeners = [Listener(opened.enter_context(_listen(address))) for address in addresses]
        opened.pop_all()
    return listeners


def _listen(address: str) -> socket.socket:
    """Open one non-blocking listening socket.

    SO_REUSEPORT lets several sockets of one user share a port, which workers are going to do; so a second
    fingerpost would silently get half of the first one's connections. Set between bind and listen, it still
    does its work, but the bind was exclusive: it fails when anybody listens there, whatever options they set.
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
            listening.bind((host, int(port)))
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
