"""The real proxy for tests: `fingerpost serve` on a free port, and clients that reach it.

Labels are served under ``localhost``, which Python's resolver need not know: `Relay.http` and
`Relay.websocket` connect to 127.0.0.1 and send the label in Host (and SNI), as a browser would.
"""

import json
import os
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from child import Child
from fingerpost import Keyring, seal

DOMAIN = "localhost"
FINGERPOST = (sys.executable, "-m", "fingerpost")


@dataclass
class Relay:
    """A running proxy.

    Attributes:
        child: The process of `fingerpost serve`: its output so far, `wait_for_line`.
        port: The first plain listener's port on 127.0.0.1.
        keyring: Seals labels that it opens.
        directory: Where its key file is.
    """

    child: Child
    port: int
    keyring: Keyring
    directory: Path
    _clients: list[httpx.Client] = field(default_factory=list)

    def label(self, target: str, ttl: str | None = None) -> str:
        """A sealed label for ``target``; arguments are those of `fingerpost.seal`."""
        return seal(target, self.keyring, domain=DOMAIN, ttl=ttl)

    def host(self, target: str) -> str:
        """What a client sends as Host to reach ``target``: label, domain and port."""
        return f"{self.label(target)}.{DOMAIN}:{self.port}"

    def url(self, target: str, path: str = "/", scheme: str = "http") -> str:
        """The URL under which ``path`` of ``target`` is reached through the proxy."""
        return f"{scheme}://{self.host(target)}{path}"

    def http(self, **options: Any) -> httpx.Client:  # noqa: ANN401 (as httpx.Client's)
        """A client for `url`'s URLs, closed with the proxy. Options are those of `httpx.Client`."""
        defaults: dict[str, Any] = {"trust_env": False, "timeout": 30.0, "transport": Loopback()}
        client = httpx.Client(**defaults | options)
        self._clients.append(client)
        return client

    def websocket(self, target: str, path: str = "/", **options: Any) -> ClientConnection:  # noqa: ANN401 (as connect's)
        """A WebSocket to ``target`` through the proxy. Options are those of `connect` in websockets."""
        defaults: dict[str, Any] = {"proxy": None, "max_size": None}
        opened: ClientConnection = connect(self.url(target, path, "ws"), sock=self.connection(), **defaults | options)
        return opened

    def connection(self) -> socket.socket:
        """A TCP connection to the proxy's listener, for bytes written by hand."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30.0)

    @property
    def stderr(self) -> str:
        """What it has written to standard error so far."""
        return "\n".join(self.child.stderr)

    def records(self) -> list[dict[str, Any]]:
        """The access log so far, one dict for each exchange or tunnel that has ended."""
        return [json.loads(line) for line in list(self.child.stdout) if line.startswith("{")]

    def wait_for_record(self, wanted: Callable[[dict[str, Any]], bool], deadline_s: float = 10.0) -> dict[str, Any]:
        """The first access log record that is ``wanted``; waits until it is written."""
        found = self.child.wait_for(
            lambda: next(filter(wanted, self.records()), None), "the access log record", deadline_s
        )
        assert isinstance(found, dict)
        return found

    def stop(self) -> int:
        """Close the clients, drain, and return the exit status.

        Raises:
            AssertionError: The proxy had to be killed, or wrote a traceback to standard error.
        """
        for client in self._clients:
            client.close()
        status = self.child.stop()
        assert "Traceback" not in self.stderr, self.stderr
        return status


class Loopback(httpx.BaseTransport):
    """Sends every request to 127.0.0.1, whatever its URL's host; Host and SNI stay those of the URL."""

    def __init__(self, verify: ssl.SSLContext | bool = True) -> None:
        self._inner = httpx.HTTPTransport(trust_env=False, verify=verify)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        elsewhere = httpx.Request(
            request.method,
            request.url.copy_with(host="127.0.0.1"),
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions | {"sni_hostname": request.url.host},
        )
        return self._inner.handle_request(elsewhere)

    def close(self) -> None:
        self._inner.close()


NewRelay = Callable[..., Relay]
"""What the fixture ``new_relay`` is: starts a proxy of the test's own."""


def start_relay(directory: Path, *flags: str, listen: str = "127.0.0.1:0") -> Relay:
    """Start `fingerpost serve` with a new key file in ``directory`` and wait until it accepts.

    There is one worker unless ``flags`` say otherwise, so that a test knows who has its connections.

    Args:
        directory: An existing directory of the test's own.
        flags: More flags for `serve`, one word each.
        listen: The plain listener.

    Raises:
        AssertionError: It ended or printed no listener; the message holds its output.
    """
    keyring = Keyring.generate()
    key_file = directory / "keys"
    key_file.touch(0o600)
    key_file.write_text(keyring.dump())
    command = [*FINGERPOST, "serve", "--workers", "1", "--listen", listen, "--domain", DOMAIN]
    command += ["--key-file", str(key_file), "--control-socket", str(directory / "control.sock")]
    child = Child([*command, "--access-log", "-", *flags], directory=directory)
    try:
        listening = child.wait_for_line(r"listening on http://\S+:(\d+)")
    except BaseException:
        child.stop()
        raise
    return Relay(child, int(listening[1]), keyring, directory)


def descendants(pid: int) -> set[int]:
    """The process ids of all living children of ``pid``, and of theirs."""
    parents: dict[int, int] = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, parent = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # it has ended meanwhile
        if state != "Z":
            parents[int(entry)] = int(parent)
    found: set[int] = set()
    fresh = {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found
