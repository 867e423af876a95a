"""``fingerpost serve`` itself, with one worker or with several."""

import functools
import sys
from importlib import metadata

from pydantic import ValidationError

from fingerpost.bench.needs import descriptor_limit
from fingerpost.bench.peers.peer import DOMAIN, Peer, Plan
from fingerpost.config import Settings
from fingerpost.control.listeners import descriptors_needed

# As many as the limit on descriptors has room for, up to more than a measurement needs. Asked for in so many words,
# because all clients here have one address, which by default may not take all.
_MOST_CONNECTIONS = 20_000


class Fingerpost(Peer):
    """A supervisor, and the workers that relay.

    Args:
        workers: How many; whatever the plan says, since the name says it.
    """

    def __init__(self, workers: int = 1) -> None:
        self.name = "fingerpost" if workers == 1 else f"fingerpost-{workers}"
        self._workers = self.parallel = workers

    def missing(self) -> str | None:
        """Whether this version runs so many workers; the benchmark is part of it, so it is always there."""
        return _why_not(self._workers)

    def version(self) -> str:
        """The installed version, and of what runs it."""
        python = ".".join(str(part) for part in sys.version_info[:3])
        return f"{metadata.version('fingerpost')} on Python {python}"

    def command(self, plan: Plan) -> list[str]:
        """Everything by flags: no configuration file."""
        fitting = max(1, (descriptor_limit() - descriptors_needed(0)) // 2)
        limit = str(self._workers * min(_MOST_CONNECTIONS, fitting))
        log = [] if plan.access_log is None else ["--access-log", str(plan.access_log)]
        return [
            *(sys.executable, "-m", "fingerpost", "serve", "--workers", str(self._workers)),
            *("--listen", f"127.0.0.1:{plan.port}", "--domain", DOMAIN, "--key-file", str(plan.key_file)),
            *("--max-connections", limit, "--max-connections-per-client", limit),
            *("--max-connections-per-target", limit, *log),
        ]


@functools.cache
def _why_not(workers: int) -> str | None:
    """What the definition of the settings has against so many workers, or None."""
    try:
        Settings.model_validate({"workers": workers})
    except ValidationError as error:
        return f"this version of fingerpost does not run {workers} workers: {error.errors()[0]['msg']}"
    return None
