"""What an experiment needs of this machine, found out before it starts: descriptors and ports."""

import math
import resource
import socket
from dataclasses import dataclass
from pathlib import Path

from fingerpost.bench.errors import BenchError

_BESIDES = 120  # descriptors of a load process that are no connection
_RELAY_BESIDES = 700  # of a relay: listeners, logs, pipes, connections to be turned away
_ENOUGH_DESCRIPTORS = 65_536
_SPARE_PORTS = 500  # for whoever else uses the machine
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a load is.

    Attributes:
        servers: Apps, each on a port of its own.
        connections: Open at the same time from clients to the relay.
        bounded_by_relay: Whether to find out what the relay can take is the very question, so that nothing is said of
            its descriptors beforehand.
        load_cpus: How many CPUs it takes to keep a relay on one CPU busy. Where fewer are left, nothing is pinned: with
            a relay that waits for the load, and is woken by it for every piece, only the load would be measured.
    """

    servers: int
    connections: int
    bounded_by_relay: bool = False
    load_cpus: int = 1


@dataclass(frozen=True, slots=True)
class Ports:
    """From which port on the apps listen; ``exact``: on just these, one after the other."""

    first: int = 13001
    exact: bool = False

    def last(self, servers: int) -> int:
        """The last that may be used: the kernel hands out those above to connections."""
        if self.exact:
            return min(self.first + servers - 1, 65535)
        low, _ = connection_ports()
        return low - 1 if self.first < low else 65535


def descriptor_limit() -> int:
    """How many a process may have; the leash raises each child's soft limit to the hard one.

    Never more than some: nginx and HAProxy take memory for as many connections as they are told to expect.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _ENOUGH_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH_DESCRIPTORS)


def connection_ports() -> tuple[int, int]:
    """The first and last port that the kernel gives to connections of its choice."""
    low, high = map(int, _PORT_RANGE.read_text().split())
    return low, high


def origins_needed(shape: Shape) -> int:
    """How many processes the apps need: a descriptor for each port, and one for each connection."""
    return max(1, math.ceil((shape.servers + shape.connections) / (descriptor_limit() - _BESIDES)))


def clients_needed(shape: Shape) -> int:
    """How many processes the clients need."""
    return max(1, math.ceil(shape.connections / (descriptor_limit() - _BESIDES)))


def check(shape: Shape, ports: Ports) -> None:
    """Find out whether this machine can carry the load.

    Raises:
        BenchError: It can't; says what is needed, what is here, and how to raise it.
    """
    limit = descriptor_limit()
    at_least = _RELAY_BESIDES + math.ceil(shape.connections / max(1, shape.servers))  # an app isn't shared by processes
    if not shape.bounded_by_relay:
        at_least = 2 * shape.connections + _RELAY_BESIDES
    if limit < at_least:
        raise BenchError(
            f"{shape.connections:,} connections need {at_least:,} descriptors in one process and the hard limit here "
            f"is {limit:,}; raise it (ulimit -Hn {at_least}, as root, or LimitNOFILE= in systemd) or ask for fewer"
        )
    _check_ports(shape, ports)


def _check_ports(shape: Shape, ports: Ports) -> None:
    room = ports.last(shape.servers) - ports.first + 1
    if room < shape.servers:
        raise BenchError(
            f"{shape.servers:,} servers need as many ports and only {room:,} are left from {ports.first} on "
            f"(up to {ports.last(shape.servers)}); begin lower (--first-port) or ask for fewer servers"
        )
    low, high = connection_ports()
    free = high - low + 1 - _SPARE_PORTS
    if ports.exact and ports.first <= high and ports.first + shape.servers > low:
        free -= shape.servers
    if free < shape.connections:
        raise BenchError(
            f"{shape.connections:,} connections need as many local ports and the kernel gives only {free:,} "
            f"(from {low} to {high}); widen them (as root: sysctl net.ipv4.ip_local_port_range='15000 65000') "
            "or ask for fewer"
        )
    if ports.exact:
        for port in range(ports.first, ports.first + shape.servers):
            _check_free(port)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError as error:
            raise BenchError(
                f"port {port} can't be listened on ({error.strerror}); stop what does (`ss -ltnp` shows it), choose "
                "another --first-port, or leave it out: then free ones are taken"
            ) from error
