"""What a peer is: how one kind of relay is found, built, configured and run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

DOMAIN = "localhost"
"""The served domain of every Host that clients send: label, dot, this."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a relay is to do.

    Attributes:
        folder: Its own, for configuration, logs and whatever it writes.
        port: Where it listens, on 127.0.0.1.
        ports_by_host: Each Host that clients will send, to the port of its app on 127.0.0.1.
        key_file: The keys that sealed the labels.
        legacy_key: The Blowfish key that made the legacy labels.
        access_log: The file for it, or None for none.
        workers: How many processes or threads may relay, where a peer has such a setting.
    """

    folder: Path
    port: int
    ports_by_host: Mapping[str, int]
    key_file: Path
    legacy_key: bytes = b""
    access_log: Path | None = None
    workers: int = 1


class Peer:
    """One kind of relay.

    Attributes:
        name: What ``--peer`` calls it.
        relays: False only for `Direct`, where clients connect to the apps.
        only_for: The experiments that it is measured in; empty for all.
        labels: Which Hosts it can find the way with. A relay with a map takes any.
        adds_forwarding_fields: Whether it parses each request and adds the X-Forwarded-* fields, rather than
            passing bytes on after it has read where to.
        parallel: How many CPUs it is meant to use at a time. One that is meant for more than the relay's share isn't
            pinned.
    """

    name: str = ""
    relays: ClassVar[bool] = True
    only_for: ClassVar[frozenset[str]] = frozenset()
    labels: ClassVar[Literal["sealed", "legacy"]] = "sealed"
    adds_forwarding_fields: ClassVar[bool] = True
    parallel: int = 1

    def missing(self) -> str | None:
        """Why it can't be measured here, or None. Asked often, so it is cheap and builds nothing."""
        raise NotImplementedError

    def version(self) -> str:
        """What it calls itself; asked only when it isn't missing."""
        raise NotImplementedError

    def prepare(self, cache: Path) -> None:
        """Build what has to be built, once: what is in the cache already isn't built again.

        Args:
            cache: A folder that outlives the run; see `fingerpost.bench.peers.toolchain.default_cache`.

        Raises:
            BenchError: It could not be built; with the last lines of what the tool said.
        """

    def command(self, plan: Plan) -> list[str]:
        """Write what it needs into the plan's folder; return the command that runs it in the foreground."""
        raise NotImplementedError

    def environment(self, plan: Plan) -> dict[str, str]:
        """What its environment has beside ours."""
        del plan
        return {}

    def after_start(self, plan: Plan) -> None:
        """What is still to be done once its process runs, before it can relay. Waits for it, with a deadline.

        Raises:
            BenchError: That failed.
        """

    def logs_to_stdout(self) -> bool:
        """Whether its access log is what it prints."""
        return False
