"""A stage: one peer, freshly started, an origin behind it, clients before it; nothing survives it."""

import contextlib
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fingerpost.bench import process, procfs
from fingerpost.bench.errors import BenchError
from fingerpost.bench.load import LoadProcess, Site
from fingerpost.bench.peers import DOMAIN, Peer, Plan
from fingerpost.label.keyring import Keyring
from fingerpost.label.sealed import seal
from fingerpost.routing.model import Target

_READY_DEADLINE_S = 20.0
_PROBE_TIMEOUT_S = 2.0
_RETRY_S = 0.02
_ADDED_FIELDS = (b"x-forwarded-for:", b"x-forwarded-proto:", b"x-forwarded-host:", b"x-forwarded-port:")


@dataclass(frozen=True, slots=True)
class Cpus:
    """Which CPUs the relay and the load may use; empty means any."""

    relay: tuple[int, ...] = ()
    load: tuple[int, ...] = ()

    @classmethod
    def split(cls) -> "Cpus":
        """The first allowed CPU for the relay, the others for the load; no pinning with just one."""
        first, *others = sorted(os.sched_getaffinity(0))
        return cls((first,), tuple(others)) if others else cls()


@dataclass(slots=True)
class Stage:
    """What a work measures on.

    Attributes:
        sites: What clients ask for, one for each of the origin's ports.
        relaying: The processes that relay; empty without a relay.
        watching: The processes that only supervise those.
    """

    folder: Path
    cpus: Cpus
    stack: contextlib.ExitStack
    sites: list[Site] = field(default_factory=list)
    relaying: list[int] = field(default_factory=list)
    watching: list[int] = field(default_factory=list)

    def client(self, module: str) -> LoadProcess:
        """Start one more client process; it ends with the stage."""
        started = LoadProcess(module, self.cpus.load, self.folder)
        self.stack.callback(started.stop)
        return started

    def cpu_s(self) -> float:
        """What the relaying processes have used so far."""
        return procfs.cpu_s(self.relaying)

    def watching_cpu_s(self) -> float:
        """What the supervising processes have used so far."""
        return procfs.cpu_s(self.watching)

    def memory(self) -> procfs.Memory:
        """What the relaying processes hold now."""
        return procfs.memory(self.relaying)


@contextlib.contextmanager
def set_up(peer: Peer, cpus: Cpus, *, access_log: bool) -> Iterator[Stage]:
    """Start origin and relay, and wait until every site answers through it.

    Raises:
        BenchError: One of them did not start, or the relay does not do what the others do.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fingerpost-bench-")))
        stage = Stage(folder, cpus, stack)
        origin = stage.client("origin")
        ports: list[int] = json.loads(origin.read_line(_READY_DEADLINE_S))
        key_file = folder / "keys"
        ports_by_host = _seal_all(ports, key_file)
        if not peer.relays:
            stage.sites = [Site(host, port) for host, port in ports_by_host.items()]
            yield stage
            return
        plan = Plan(folder, _free_port(), ports_by_host, key_file, folder / "access.log" if access_log else None)
        stage.sites = [Site(host, plan.port) for host in ports_by_host]
        log = folder / ("access.log" if peer.logs_to_stdout() else "relay.log")
        relay = process.start(peer.command(plan), cpus=cpus.relay, log=log)
        stack.callback(process.stop, relay)
        for site in stage.sites:
            _wait_until_ready(site, relay, log)
        workers = procfs.descendants(relay.pid)
        stage.relaying, stage.watching = (workers, [relay.pid]) if workers else ([relay.pid], [])
        yield stage


def _seal_all(ports: list[int], key_file: Path) -> dict[str, int]:
    """A sealed label for each port, as the Host that clients send; the key goes into the file."""
    keyring = Keyring.generate()
    key_file.touch(mode=0o600)
    key_file.write_text(keyring.dump())
    targets = {port: Target("http", "127.0.0.1", port) for port in ports}
    return {f"{seal(target, keyring, domain=DOMAIN)}.{DOMAIN}": port for port, target in targets.items()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(site: Site, relay: subprocess.Popen[bytes], log: Path) -> None:
    """Ask until the app answers through the relay, then see what the relay made of the request.

    Raises:
        BenchError: It ended, it wasn't ready in time, or it adds less to a request than the others have to.
    """
    ends_at = time.monotonic() + _READY_DEADLINE_S
    answer = b""
    while not answer.startswith(b"HTTP/1.1 200 "):
        if process.wait_for_end(relay, _RETRY_S):
            raise BenchError(f"it ended at once: {process.tail(log)}")
        if time.monotonic() > ends_at:
            said = answer.partition(b"\r\n")[0].decode("latin-1")
            raise BenchError(f"not ready after {_READY_DEADLINE_S:.0f} s: {said or process.tail(log)}")
        with contextlib.suppress(OSError):
            answer = _probe(site)
    head_it_sent = answer.partition(b"\r\n\r\n")[2].lower()
    for name in _ADDED_FIELDS:
        if name not in head_it_sent:
            raise BenchError(f"it does less work than the others: it adds no {name.decode().rstrip(':')}")


def _probe(site: Site) -> bytes:
    """One request on a connection of its own; the answer as far as it came.

    Its head and its body, which is the request's head, both end with an empty line.
    """
    with socket.create_connection(("127.0.0.1", site.port), _PROBE_TIMEOUT_S) as link:
        link.sendall(b"GET /head HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % site.host.encode())
        answer = b""
        link.settimeout(_PROBE_TIMEOUT_S)
        while answer.count(b"\r\n\r\n") < 2 and (data := link.recv(65536)):
            answer += data
        return answer
