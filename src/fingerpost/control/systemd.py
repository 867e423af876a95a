"""What systemd asks of a service: readiness and watchdog (sd_notify(3)), and sockets that it opened (sd_listen_fds(3)).

Without systemd none of the variables is there, and nothing happens.
"""

import os
import socket
from collections.abc import MutableMapping

from fingerpost.control.listeners import Listener, Listeners
from fingerpost.errors import ConfigError

_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START


def notify(*lines: str) -> None:
    """Tell systemd something, such as ``READY=1``; whether it listens is its own affair."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        try:
            channel.sendto("\n".join(lines).encode(), f"\0{path[1:]}" if path.startswith("@") else path)
        except OSError:
            pass


def watchdog_s() -> float | None:
    """How often systemd wants a sign of life, with as much room as it recommends; None if it doesn't."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    own = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(microseconds) / 2e6 if microseconds.isdigit() and own and int(microseconds) else None


def given_listeners(environ: MutableMapping[str, str]) -> Listeners | None:
    """The sockets that systemd has opened for this process; None if there are none.

    The variables are removed: they are not for the processes that this one starts.

    Raises:
        ConfigError: One of them is no listening TCP socket.
    """
    count, pid = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
    environ.pop("LISTEN_FDNAMES", None)
    if not count.isdigit() or pid != str(os.getpid()) or int(count) == 0:
        return None
    by_address: dict[str, Listener] = {}
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(count)):
        try:
            os.set_inheritable(descriptor, False)
            given = socket.socket(fileno=descriptor)
            is_tcp = given.family in (socket.AF_INET, socket.AF_INET6) and given.type == socket.SOCK_STREAM
            listens = given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError as error:
            raise ConfigError("LISTEN_FDS", descriptor, f"an open socket ({error.strerror})") from error
        if not is_tcp or not listens:
            raise ConfigError("LISTEN_FDS", descriptor, "a listening TCP socket (ListenStream=ADDR:PORT, Accept=no)")
        given.setblocking(False)
        listener = Listener([given], given=True)
        if listener.address in by_address:
            by_address[listener.address].sockets.append(given)
        else:
            by_address[listener.address] = listener
    return Listeners.of(by_address)
