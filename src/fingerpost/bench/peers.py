"""The relays under measurement: how each is found, configured and run."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from fingerpost.bench import configs

DOMAIN = "localhost"
_LIMIT = "20000"  # of connections; more than the descriptors allow, so it is never fingerpost that says no


@dataclass(frozen=True, slots=True)
class Plan:
    """What a relay is to do.

    Attributes:
        folder: Its own, for configuration, logs and whatever it writes.
        port: Where it listens, on 127.0.0.1.
        ports_by_host: Each Host that clients will send, to the port of its app on 127.0.0.1.
        key_file: The key that sealed the labels.
        access_log: The file for it, or None for none.
    """

    folder: Path
    port: int
    ports_by_host: dict[str, int]
    key_file: Path
    access_log: Path | None


class Peer:
    """One kind of relay. ``relays`` is False only for `Direct`, where clients connect to the apps."""

    name = ""
    relays = True
    only_for = ""  # the one work that it is measured in; empty for all

    def missing(self) -> str | None:
        """Why it can't be measured here, or None."""
        raise NotImplementedError

    def version(self) -> str:
        """What it calls itself; asked only when it isn't missing."""
        raise NotImplementedError

    def command(self, plan: Plan) -> list[str]:
        """Write what it needs into the plan's folder; return the command that runs it in the foreground."""
        raise NotImplementedError

    def logs_to_stdout(self) -> bool:
        """Whether its access log is what it prints."""
        return False


class Fingerpost(Peer):
    """``fingerpost serve``: a supervisor, and one worker that relays."""

    name = "fingerpost"

    def missing(self) -> str | None:
        """None: the benchmark is part of it."""
        return None

    def version(self) -> str:
        """The installed version, and of what runs it."""
        python = ".".join(str(part) for part in sys.version_info[:3])
        return f"{metadata.version('fingerpost')} on Python {python}"

    def command(self, plan: Plan) -> list[str]:
        """Everything by flags: no configuration file."""
        log = [] if plan.access_log is None else ["--access-log", str(plan.access_log)]
        return [
            *(sys.executable, "-m", "fingerpost", "serve", "--workers", "1"),
            *("--listen", f"127.0.0.1:{plan.port}", "--domain", DOMAIN, "--key-file", str(plan.key_file)),
            *("--max-connections", _LIMIT, "--max-connections-per-client", _LIMIT),
            *("--max-connections-per-target", _LIMIT, *log),
        ]


class _Installed(Peer):
    """A program from the distribution, asked for its version by ``-v``."""

    program = ""

    def missing(self) -> str | None:
        """Whether it is on the PATH."""
        if shutil.which(self.program):
            return None
        return f"no {self.program} on the PATH (Debian: apt install {self.program})"

    def version(self) -> str:
        """The first version number in what ``-v`` says."""
        said = subprocess.run([self.program, "-v"], capture_output=True, text=True, timeout=10, check=False)
        found = re.search(r"\d+\.\d+[\w.+~-]*", said.stdout + said.stderr)
        return found[0] if found else "of unknown version"


class Nginx(_Installed):
    """One master that only watches, and one worker."""

    name = program = "nginx"

    def command(self, plan: Plan) -> list[str]:
        """With its own prefix, so that nothing of an installed nginx is read or touched."""
        config = plan.folder / "nginx.conf"
        config.write_text(configs.nginx_config(plan.folder, plan.port, plan.ports_by_host, plan.access_log))
        errors = str(plan.folder / "error.log")
        return ["nginx", "-p", str(plan.folder), "-e", errors, "-c", str(config), "-g", "daemon off;"]


class HAProxy(_Installed):
    """One process with one thread, told to move bodies and tunnels inside the kernel (splice)."""

    name = program = "haproxy"
    splice = True

    def command(self, plan: Plan) -> list[str]:
        """In the foreground, without a master process."""
        config = plan.folder / "haproxy.cfg"
        text = configs.haproxy_config(
            plan.folder,
            plan.port,
            plan.ports_by_host,
            logged=plan.access_log is not None,
            splice=self.splice,
        )
        config.write_text(text)
        (plan.folder / "hosts.map").write_text(configs.haproxy_map(plan.ports_by_host))
        return ["haproxy", "-db", "-f", str(config)]

    def logs_to_stdout(self) -> bool:
        """It can write its log to a descriptor, not to a file."""
        return True


class HAProxyPlain(HAProxy):
    """HAProxy without being told to splice, which is its default: a second yardstick for bulk."""

    name = "haproxy-plain"
    splice = False
    only_for = "bulk"


class Direct(Peer):
    """No relay: what the load itself can do, which is the floor under every time."""

    name = "direct"
    relays = False

    def missing(self) -> str | None:
        """None: there is nothing that could be."""
        return None

    def version(self) -> str:
        """Nothing to tell."""
        return "no relay"


def known_peers() -> list[Peer]:
    """All that the benchmark compares, in the order of their turns."""
    return [Fingerpost(), Nginx(), HAProxy(), HAProxyPlain(), Direct()]
