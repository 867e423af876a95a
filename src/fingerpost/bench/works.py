"""What is asked of each peer, and what is read off: one function for each work, one figure from each call."""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from fingerpost.bench.errors import BenchError
from fingerpost.bench.load import LoadProcess, Outcome
from fingerpost.bench.peers import Peer
from fingerpost.bench.stage import Cpus, Stage, set_up

_QUIET_S = 0.25
_QUIET_DEADLINE_S = 10.0
_WARM_UP = 10  # one part in so many of the work itself is done before anything is measured
_WAVE = 100
_MEMORY_STEPS = 3
_MESSAGE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of each work is done in one round; published figures are made with the defaults."""

    ping_tunnels: int = 100
    messages: int = 100_000
    connections: int = 100
    requests: int = 60_000
    tunnels: int = 6_000
    bulk_bytes: int = 6_000_000_000
    seals: int = 5


QUICK = Scale(
    ping_tunnels=100,
    messages=5_000,
    connections=50,
    requests=5_000,
    tunnels=600,
    bulk_bytes=300_000_000,
    seals=2,
)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is the same for all peers of a run.

    Attributes:
        deadline_s: For each single phase: opening, warming up, the measured run.
    """

    scale: Scale
    cpus: Cpus
    access_log: bool
    deadline_s: float = 120.0
    variant: str = ""

    def stage(self, peer: Peer) -> AbstractContextManager[Stage]:
        """A fresh stage for the peer."""
        return set_up(peer, self.cpus, access_log=self.access_log)


@dataclass(slots=True)
class Figure:
    """What one stage yielded.

    Attributes:
        value: In the work's unit; None where there is nothing of that kind (``direct`` has no CPU).
        details: What else was seen, by name with unit.
        faults: What the clients found wrong. With any of them the value says nothing.
    """

    value: float | None
    details: dict[str, float] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """One line of the benchmark.

    Attributes:
        title: What it is, at full scale.
        unit: Of the figures' values.
        variants: The ways to do it; the first is the main one.
        suits: Whether it can be asked of a peer at all.
    """

    name: str
    title: str
    unit: str
    measure: Callable[[Peer, Conditions], Figure]
    variants: tuple[str, ...] = ("",)
    suits: Callable[[Peer], bool] = lambda peer: True


class _Tally:
    """Collects faults over the calls of one work, so that none is forgotten."""

    def __init__(self, stage: Stage, module: str, deadline_s: float) -> None:
        self._client: LoadProcess = stage.client(module)
        self._deadline_s = deadline_s
        self.faults: Counter[str] = Counter()

    def call(self, command: str, **arguments: object) -> Outcome:
        found = self._client.call(command, deadline_s=self._deadline_s, **arguments)
        self.faults.update(found.faults)
        return found


def _figure_of_rate(stage: Stage, run: Callable[[], Outcome], faults: Counter[str], per: float) -> Figure:
    """CPU per unit of work over one call; ``per`` turns seconds per unit into the work's unit."""
    before, watching_before = stage.cpu_s(), stage.watching_cpu_s()
    found = run()
    used = stage.cpu_s() - before
    details = {"seconds": found.seconds, "done": found.done, "per_s": found.done / max(found.seconds, 1e-9)}
    if stage.relaying:
        details["relay_busy"] = used / max(found.seconds, 1e-9)
        details["supervisor_cpu_s"] = stage.watching_cpu_s() - watching_before
        details["peak_rss_mib"] = stage.memory().peak_rss / 2**20
    value = used / found.done * per if stage.relaying and found.done else None
    return Figure(value, details, dict(faults))


def measure_messages(peer: Peer, conditions: Conditions) -> Figure:
    """Ping-pong: CPU microseconds for one 1 KiB message there and back."""
    scale = conditions.scale
    with conditions.stage(peer) as stage:
        tunnels = _Tally(stage, "tunnel_client", conditions.deadline_s)
        tunnels.call("open", sites=stage.sites, count=scale.ping_tunnels)
        tunnels.call("ping", messages=scale.messages // _WARM_UP, size=_MESSAGE_BYTES)

        def run() -> Outcome:
            return tunnels.call("ping", messages=scale.messages, size=_MESSAGE_BYTES)

        return _figure_of_rate(stage, run, tunnels.faults, per=1e6)


def measure_requests(peer: Peer, conditions: Conditions) -> Figure:
    """Keep-alive GETs: CPU microseconds for one request and its response."""
    scale, varied = conditions.scale, conditions.variant == "varied"
    with conditions.stage(peer) as stage:
        clients = _Tally(stage, "request_client", conditions.deadline_s)
        clients.call("connect", sites=stage.sites, count=scale.connections)
        clients.call("get", requests=scale.requests // _WARM_UP, varied=varied)

        def run() -> Outcome:
            return clients.call("get", requests=scale.requests, varied=varied)

        return _figure_of_rate(stage, run, clients.faults, per=1e6)


def measure_tunnels(peer: Peer, conditions: Conditions) -> Figure:
    """All tunnels at once: seconds until the last has its first message back; then all exchange one more."""
    count = conditions.scale.tunnels
    with conditions.stage(peer) as stage:
        tunnels = _Tally(stage, "tunnel_client", conditions.deadline_s)
        before = stage.cpu_s()
        opened = tunnels.call("open", sites=stage.sites, count=count)
        details = {"lost": float(count - opened.done)}
        if stage.relaying:
            details["cpu_s"] = stage.cpu_s() - before
        again = tunnels.call("ping", messages=count, size=_MESSAGE_BYTES)
        details["lost_later"] = float(opened.done - again.done)
        if stage.relaying:
            details["peak_rss_mib"] = stage.memory().peak_rss / 2**20
        return Figure(opened.seconds, details, dict(tunnels.faults))


def measure_memory(peer: Peer, conditions: Conditions) -> Figure:
    """Idle tunnels: private KiB that each adds to the relaying process, from none to all of them."""
    count = conditions.scale.tunnels
    step = count // _MEMORY_STEPS
    with conditions.stage(peer) as stage:
        tunnels = _Tally(stage, "tunnel_client", conditions.deadline_s)

        def open_in_waves(amount: int) -> None:
            for begun in range(0, amount, _WAVE):
                size = min(_WAVE, amount - begun)
                tunnels.call("open", sites=stage.sites, count=size)

        # What the first tunnels cost once (code, caches, tables) is not what a tunnel costs.
        open_in_waves(_WAVE)
        tunnels.call("close")
        _wait_until_quiet(stage)
        at_start = stage.memory()
        details = {"private_kib_0": at_start.private / 1024, "rss_kib_0": at_start.rss / 1024}
        held = at_start
        for number in range(1, _MEMORY_STEPS + 1):
            open_in_waves(step)
            _wait_until_quiet(stage)
            held = stage.memory()
            details[f"private_kib_{number * step}"] = held.private / 1024
            details[f"rss_kib_{number * step}"] = held.rss / 1024
        # A tunnel that the relay had dropped would cost no memory: all must still be there.
        tunnels.call("ping", messages=step * _MEMORY_STEPS, size=_MESSAGE_BYTES)
        value = (held.private - at_start.private) / 1024 / (step * _MEMORY_STEPS)
        return Figure(value, details, dict(tunnels.faults))


def measure_bulk(peer: Peer, conditions: Conditions) -> Figure:
    """One connection, app to client: CPU seconds per 10^9 bytes."""
    amount, tunnel = conditions.scale.bulk_bytes, conditions.variant == "tunnel"
    with conditions.stage(peer) as stage:
        client = _Tally(stage, "bulk_client", conditions.deadline_s)
        site = stage.sites[0]
        client.call("take", site=site, amount=amount // 100, tunnel=tunnel)

        def run() -> Outcome:
            return client.call("take", site=site, amount=amount, tunnel=tunnel)

        return _figure_of_rate(stage, run, client.faults, per=1e9)


def measure_seal(peer: Peer, conditions: Conditions) -> Figure:
    """``fingerpost seal`` with a key file: wall-clock seconds of the whole process, the best of a few.

    The best and not the mean: whatever else the machine does can only add to it.
    """
    del peer
    program = Path(sys.executable).with_name("fingerpost")
    command = [str(program)] if program.exists() else [sys.executable, "-m", "fingerpost"]
    with tempfile.TemporaryDirectory(prefix="fingerpost-bench-") as folder:
        key_file = str(Path(folder) / "keys")
        _run_once([*command, "keygen", "--key-file", key_file])
        seal = [*command, "seal", "10.0.3.17:8888", "--domain", "apps.example.com", "--key-file", key_file]
        _run_once(seal)  # so that the files are in memory and the bytecode is written
        times = [_run_once(seal) for _ in range(conditions.scale.seals)]
        bare = min(_run_once([sys.executable, "-c", ""]) for _ in range(conditions.scale.seals))
    return Figure(min(times), {"slowest_s": max(times), "python_alone_s": bare})


def _run_once(command: list[str]) -> float:
    started = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, timeout=30, check=False)
    seconds = time.perf_counter() - started
    if ended.returncode:
        said = ended.stderr.decode(errors="replace").strip().replace("\n", " | ")
        raise BenchError(f"exit status {ended.returncode}: {said[-300:]}")
    return seconds


def _wait_until_quiet(stage: Stage) -> None:
    """Wait until the relay has done what it still had to do."""
    ends_at = time.monotonic() + _QUIET_DEADLINE_S
    before = -1.0
    while (now := stage.cpu_s()) - before > 0.001 and time.monotonic() < ends_at:
        before = now
        time.sleep(_QUIET_S)


WORKS = (
    Work(
        "messages",
        "1 KiB messages, ping-pong through 100 tunnels: CPU per message",
        "µs",
        measure_messages,
    ),
    Work(
        "requests",
        "keep-alive GETs with a browser's headers: CPU per request",
        "µs",
        measure_requests,
        variants=("varied", "identical"),
    ),
    Work("tunnels", "6,000 tunnels opened at once: time", "s", measure_tunnels),
    Work(
        "memory",
        "memory that an idle tunnel adds to the worker",
        "KiB",
        measure_memory,
        suits=lambda peer: peer.relays,
    ),
    Work("bulk", "bulk one way: CPU per GB", "s/GB", measure_bulk, variants=("tunnel", "body")),
    Work(
        "seal",
        "fingerpost seal, whole process",
        "s",
        measure_seal,
        suits=lambda peer: peer.name == "fingerpost",
    ),
)
