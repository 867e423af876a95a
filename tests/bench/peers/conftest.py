"""Each relay as the benchmark runs it, before an app that echoes."""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.peers.apps import DEADLINE_S, App, read_head, running_app, upgrade_head
from child import Child, accepts, clean_environment, until
from fingerpost.bench.errors import BenchError
from fingerpost.bench.peers import CHP, DOMAIN, Peer, Plan, peer_named
from fingerpost.label.keyring import Keyring
from fingerpost.label.legacy import seal_legacy
from fingerpost.label.sealed import seal
from fingerpost.routing.model import Target

LEGACY_KEY = b"thisissecretkey"


@dataclass
class Running:
    """A started relay.

    Attributes:
        app: The one that ``host`` leads to.
        dead_host: Leads to a port that nobody listens on.
    """

    peer: Peer
    plan: Plan
    child: Child
    app: App
    host: str
    dead_host: str

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.plan.port), DEADLINE_S)

    def tunnel(self, path: str = "/echo", host: str | None = None) -> socket.socket:
        """A connection through which an upgrade has been done, and the app has said who it is."""
        link = self.connect()
        link.sendall(upgrade_head(host or self.host, path))
        head, said = read_head(link)
        assert b" 101 " in head.partition(b"\r\n")[0] + b" ", (head, self.child.output())
        assert said + receive(link, len(self.app.name) - len(said)) == self.app.name
        return link

    def status(self, request: bytes) -> int:
        """What a request is answered with, on a connection of its own, which a relay that reads no other then ends."""
        with self.connect() as link:
            link.sendall(request)
            head, _ = read_head(link)
            while not self.peer.adds_forwarding_fields and link.recv(65536):
                pass
        return int(head.split(b" ", 2)[1])

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.child.process.pid}/fd"))


@contextlib.contextmanager
def running(
    peer: Peer,
    folder: Path,
    app: App,
    *,
    others: Mapping[str, int] | None = None,
    workers: int = 1,
    access_log: Path | None = None,
) -> Iterator[Running]:
    """A relay with the app's host, one that leads nowhere, and others."""
    keyring = Keyring.generate()
    key_file = folder / "keys"
    key_file.write_text(keyring.dump())
    with bound() as dead, bound() as mine:  # reserved, so that no other process takes them meanwhile
        dead_port, port = dead.getsockname()[1], mine.getsockname()[1]
        mine.close()
        names = [
            seal_legacy(Target("http", "127.0.0.1", number), LEGACY_KEY)
            if peer.labels == "legacy"
            else seal(Target("http", "127.0.0.1", number), keyring, domain=DOMAIN)
            for number in (app.port, dead_port)
        ]
        host, dead_host = (f"{name}.{DOMAIN}" for name in names)
        ports_by_host = {**(others or {}), host: app.port, dead_host: dead_port}
        plan = Plan(folder, port, ports_by_host, key_file, LEGACY_KEY, access_log, workers)
        command = peer.command(plan)
        with Child(command, environment=clean_environment() | peer.environment(plan), directory=folder) as child:
            peer.after_start(plan)
            until(lambda: accepts(port) or child.process.poll() is not None, f"{peer.name} accepts", 20.0)
            assert child.process.poll() is None, child.output()
            yield Running(peer, plan, child, app, host, dead_host)
            assert child.process.poll() is None, child.output()


def bound() -> socket.socket:
    """A port that connecting to is refused, because its socket doesn't listen."""
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    return reserved


def receive(link: socket.socket, size: int) -> bytes:
    """So many bytes, or less at the end."""
    read = b""
    while len(read) < size and (data := link.recv(size - len(read))):
        read += data
    return read


@pytest.fixture(scope="session")
def cache(request: pytest.FixtureRequest) -> Path:
    """Kept from one run to the next, so that relays are compiled and installed once."""
    assert request.config.cache is not None
    return request.config.cache.mkdir("bench")


@pytest.fixture(scope="session")
def apps() -> Iterator[tuple[App, App]]:
    with running_app() as one, running_app() as other:
        yield one, other


def ready(name: str, cache: Path) -> Peer:
    """A peer, prepared; skips if it can't be run here."""
    peer = peer_named(name)
    try:
        if isinstance(peer, CHP):
            peer.install(cache)
        reason = peer.missing()
        if reason is None:
            peer.prepare(cache)
    except BenchError as error:
        reason = str(error)
    if reason is not None:
        pytest.skip(f"{name}: {reason}")
    return peer


@pytest.fixture(scope="module")
def relay(
    request: pytest.FixtureRequest, cache: Path, apps: tuple[App, App], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The relay that ``indirect`` parametrization names, for all tests of a module."""
    with running(ready(request.param, cache), tmp_path_factory.mktemp(request.param), apps[0]) as started:
        yield started
