"""A stage: one peer, freshly started, its apps behind it, clients before it; nothing survives it."""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fingerpost.bench import needs, process, procfs
from fingerpost.bench.errors import BenchError, RelayError
from fingerpost.bench.load.child import LoadProcess, Site
from fingerpost.bench.load.clients import Clients, shares
from fingerpost.bench.needs import Ports, Shape
from fingerpost.bench.peers import DOMAIN, Peer, Plan
from fingerpost.label.keyring import Keyring
from fingerpost.label.legacy import seal_legacy
from fingerpost.label.sealed import seal
from fingerpost.routing.model import Target

_READY_DEADLINE_S = 60.0  # some read a map of thousands of hosts first
_PROBE_TIMEOUT_S = 2.0
_RETRY_S = 0.02
_PROBED_SITES = 8
_ADDED_FIELDS = (b"x-forwarded-for:", b"x-forwarded-proto:", b"x-forwarded-host:", b"x-forwarded-port:")


@dataclass(frozen=True, slots=True)
class Cpus:
    """Which CPUs the relay and the load may use; empty means any."""

    relay: tuple[int, ...] = ()
    load: tuple[int, ...] = ()

    @classmethod
    def split(cls, load: int = 1) -> "Cpus":
        """The first allowed CPU for the relay, the others for the load; no pinning if ``load`` aren't left for it."""
        first, *others = sorted(os.sched_getaffinity(0))
        return cls((first,), tuple(others)) if len(others) >= load else cls()

    @property
    def load_count(self) -> int:
        """How many the load may use."""
        return len(self.load) or len(os.sched_getaffinity(0))

    def __str__(self) -> str:
        if not self.relay:
            return "any for all"
        return f"{','.join(map(str, self.relay))} for the relay, {','.join(map(str, self.load))} for the load"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is the same for all peers and experiments of a run.

    Attributes:
        cpus: Who runs where; None leaves it to each experiment.
        access_log: Whether every relay writes one.
        workers: Of each relay that has such a setting.
        load_processes: Of clients, and of apps; more where descriptors need them. 0: one for each of the load's CPUs,
            so that the load can use what the relay leaves.
        ports: Where the apps listen.
        deadline_s: For each phase of a measurement: opening, warming up, exchanging.
        silence_s: A phase in which nothing at all happens for so long is given up.
        late_s: Answers that take longer are counted as late.
    """

    cpus: Cpus | None = None
    access_log: bool = False
    workers: int = 1
    load_processes: int = 0
    ports: Ports = field(default_factory=Ports)
    deadline_s: float = 120.0
    silence_s: float = 15.0
    late_s: float = 0.1

    def cpus_for(self, shape: Shape) -> Cpus:
        """Who runs where with such a load."""
        return Cpus.split(shape.load_cpus) if self.cpus is None else self.cpus


@dataclass(slots=True)
class Stage:
    """What is measured on.

    Attributes:
        cpus: Who runs where.
        sites: What clients ask for, one for each app.
        relay: The relay's first process; None without a relay.
        load: The processes of clients and apps.
        apps: One app of each process of apps, without the relay.
        log: What the relay says.
    """

    conditions: Conditions
    shape: Shape
    cpus: Cpus
    folder: Path
    stack: contextlib.ExitStack
    sites: list[Site] = field(default_factory=list)
    relay: subprocess.Popen[bytes] | None = None
    load: list[LoadProcess] = field(default_factory=list)
    apps: list[Site] = field(default_factory=list)
    log: Path | None = None

    def clients(self, module: str, count: int = 0) -> Clients:
        """Start the clients, in ``count`` processes, or in as many as the load needs; they end with the stage."""
        count = count or max(self.load_processes, needs.clients_needed(self.shape))
        members = [self.start(module, f"{module}-{number}") for number in range(count)]
        for member in members:
            member.wait_until_ready(_READY_DEADLINE_S)
        return Clients(members, self.conditions.deadline_s)

    @property
    def load_processes(self) -> int:
        """How many of a kind, if descriptors don't ask for more."""
        return self.conditions.load_processes or min(self.cpus.load_count, self.shape.connections)

    def start(self, module: str, name: str, *arguments: str) -> LoadProcess:
        """Start one load process; it ends with the stage."""
        log = self.folder / f"{name}.log"
        started = LoadProcess(module, self.cpus.load, log, arguments)
        self.stack.callback(started.stop)
        self.load.append(started)
        return started

    @property
    def relaying(self) -> list[int]:
        """The processes of the relay as they are now: the first and its descendants."""
        return [] if self.relay is None else [self.relay.pid, *procfs.descendants(self.relay.pid)]

    def check_load(self, *, closely: bool = False) -> None:
        """Make sure that the load is still there, before the relay is blamed.

        Args:
            closely: Ask every process of apps for an answer, too.

        Raises:
            BenchError: One of its processes has ended, or doesn't answer.
        """
        for member in self.load:
            member.check()
        for app in self.apps if closely else ():
            try:
                _probe(app)
            except OSError as error:
                raise BenchError(f"an app of the load on port {app.port} does not answer: {error}") from error

    def why_dead(self, patience_s: float = 0.0) -> str | None:
        """Why the relay is no longer there, or None while it is.

        Args:
            patience_s: How long to wait for an end that may have begun: its clients see it earlier than we do.
        """
        if self.relay is None or not process.wait_for_end(self.relay, patience_s):
            return None
        return f"the relay ended: {process.how_it_ended(self.relay)}"

    def said(self) -> str:
        """The last lines of what the relay said."""
        return "\n".join(process.last_lines(self.log)) if self.log is not None else ""

    def still_relays(self) -> bool:
        """Whether one more request gets its answer."""
        with contextlib.suppress(OSError):
            return _probe(self.sites[0]).startswith(b"HTTP/1.1 200 ")
        return False


@contextlib.contextmanager
def set_up(peer: Peer, conditions: Conditions, shape: Shape) -> Iterator[Stage]:
    """Start apps and relay, and wait until they answer through it.

    Raises:
        RelayError: The relay did not start, or does not do what the others do.
        BenchError: The load did not start.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fingerpost-bench-")))
        stage = Stage(conditions, shape, conditions.cpus_for(shape), folder, stack)
        ports = _start_origins(stage)
        key_file, legacy_key = folder / "keys", secrets.token_hex(16).encode()
        ports_by_host = _name_all(peer, ports, key_file, legacy_key)
        if not peer.relays:
            stage.sites = [Site(host, port) for host, port in ports_by_host.items()]
            yield stage
            return
        plan = Plan(
            folder=folder,
            port=_free_port(),
            ports_by_host=ports_by_host,
            key_file=key_file,
            legacy_key=legacy_key,
            access_log=folder / "access.log" if conditions.access_log else None,
            workers=conditions.workers,
        )
        stage.sites = [Site(host, plan.port) for host in ports_by_host]
        _start_relay(stage, peer, plan)
        yield stage


def _start_origins(stage: Stage) -> list[int]:
    """Start the apps; return their ports."""
    conditions, shape = stage.conditions, stage.shape
    count = min(shape.servers, max(stage.load_processes, needs.origins_needed(shape)))
    ports: list[int] = []
    for number, share in enumerate(shares(shape.servers, count)):
        first = ports[-1] + 1 if ports else conditions.ports.first
        last = first + share - 1 if conditions.ports.exact else conditions.ports.last(shape.servers)
        origin = stage.start("origin", f"origin-{number}", str(share), str(first), str(last))
        own: list[int] = json.loads(origin.read_line(_READY_DEADLINE_S))
        stage.apps.append(Site("app", own[0]))
        ports += own
    return ports


def _name_all(peer: Peer, ports: Sequence[int], key_file: Path, legacy_key: bytes) -> dict[str, int]:
    """A label of the peer's kind for each port, as the Host that clients send; the keys go into the file."""
    keyring = Keyring.generate()
    key_file.touch(mode=0o600)
    key_file.write_text(keyring.dump())
    targets = {port: Target("http", "127.0.0.1", port) for port in ports}
    if peer.labels == "legacy":
        labels = {seal_legacy(target, legacy_key): port for port, target in targets.items()}
    else:
        labels = {seal(target, keyring, domain=DOMAIN): port for port, target in targets.items()}
    return {f"{label}.{DOMAIN}": port for label, port in labels.items()}


def _start_relay(stage: Stage, peer: Peer, plan: Plan) -> None:
    stage.log = plan.folder / ("access.log" if peer.logs_to_stdout() and plan.access_log else "relay.log")
    cpus = stage.cpus.relay
    stage.relay = process.start(
        peer.command(plan),
        cpus=cpus if max(peer.parallel, plan.workers) <= len(cpus) else (),
        log=stage.log,
        environment=peer.environment(plan),
    )
    stage.stack.callback(process.stop, stage.relay)
    peer.after_start(plan)
    step = max(1, len(stage.sites) // _PROBED_SITES)
    for site in stage.sites[::step]:
        _wait_until_ready(site, peer, stage.relay, stage.log)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(site: Site, peer: Peer, relay: subprocess.Popen[bytes], log: Path) -> None:
    """Ask until the app answers through the relay, then see what the relay made of the request.

    Raises:
        RelayError: It ended, it wasn't ready in time, or it adds less to a request than the others have to.
    """
    ends_at = time.monotonic() + _READY_DEADLINE_S
    answer = b""
    while not answer.startswith(b"HTTP/1.1 200 "):
        if process.wait_for_end(relay, _RETRY_S):
            raise RelayError(f"it ended at once: {process.tail(log)}")
        if time.monotonic() > ends_at:
            status = answer.partition(b"\r\n")[0].decode("latin-1")
            said = " | ".join(filter(None, (status, process.tail(log))))
            raise RelayError(f"not ready after {_READY_DEADLINE_S:.0f} s: {said}")
        with contextlib.suppress(OSError):
            answer = _probe(site)
    if not peer.adds_forwarding_fields:
        return
    head_it_sent = answer.partition(b"\r\n\r\n")[2].lower()
    for name in _ADDED_FIELDS:
        if name not in head_it_sent:
            raise RelayError(f"it does less work than the others: it adds no {name.decode().rstrip(':')}")


def _probe(site: Site) -> bytes:
    """One request on a connection of its own; the answer as far as it came.

    Its head and its body, which is the request's head, both end with an empty line.
    """
    ends_at = time.monotonic() + _PROBE_TIMEOUT_S
    with socket.create_connection(("127.0.0.1", site.port), _PROBE_TIMEOUT_S) as link:
        link.sendall(b"GET /head HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % site.host.encode())
        answer = b""
        link.settimeout(_PROBE_TIMEOUT_S)
        while answer.count(b"\r\n\r\n") < 2 and time.monotonic() < ends_at and (data := link.recv(65536)):
            answer += data
        return answer
