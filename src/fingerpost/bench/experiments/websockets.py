"""Our own experiments with WebSockets: what a message costs, what an opening costs, what an idle tunnel holds."""

import time

from fingerpost.bench import meter, procfs
from fingerpost.bench.experiments.experiment import APPS, MESSAGE_BYTES, WARM_UP, Experiment, staged
from fingerpost.bench.load.clients import Clients
from fingerpost.bench.load.outcome import Outcome
from fingerpost.bench.needs import Shape
from fingerpost.bench.run import Asked
from fingerpost.bench.stage import Stage

_CLIENT = "tunnel_client"
_QUIET_S = 0.25
_QUIET_DEADLINE_S = 10.0
_WAVE = 100
_MEMORY_STEPS = 3


def messages(tunnels: int, count: int, size: int) -> Experiment:
    """Ping-pong: ``count`` messages through ``tunnels``, one under way in each."""

    def work(stage: Stage, clients: Clients, point: str) -> dict[str, float]:
        del point
        _open(clients, stage, tunnels)
        each = max(1, count // tunnels)
        _ping(clients, stage, max(1, each // WARM_UP), size)
        found, cost = meter.metered(stage, lambda: _ping(clients, stage, each, size))
        return meter.figures(stage, found, cost, each * tunnels) | meter.latencies(found)

    title = f"{size}-byte messages, ping-pong through {tunnels} tunnels"
    parameters = {"tunnels": tunnels, "messages": count, "size": size}
    asked = Asked("messages", title, "message", "cpu_us", "", ("",), parameters)
    return staged(asked, _CLIENT, lambda _: Shape(APPS, tunnels), work)


def connects(count: int, at_once: int, size: int) -> Experiment:
    """Open, one echo, close: ``count`` times, ``at_once`` of them at a time."""

    def work(stage: Stage, clients: Clients, point: str) -> dict[str, float]:
        del point

        def visits(wanted: int) -> Outcome:
            conditions = stage.conditions
            limits = {"late_s": conditions.late_s, "silence_s": conditions.silence_s}
            return clients.share("visit", wanted, stage.sites, at_once=at_once, size=size, **limits)

        visits(max(at_once, count // WARM_UP))
        found, cost = meter.metered(stage, lambda: visits(count))
        return meter.figures(stage, found, cost, count) | meter.latencies(found)

    title = f"WebSockets opened, used for one echo and closed, {at_once} at a time"
    parameters = {"connections": count, "at_once": at_once, "size": size}
    asked = Asked("connects", title, "connection", "cpu_us", "", ("",), parameters)
    return staged(asked, _CLIENT, lambda _: Shape(APPS, at_once), work)


def tunnels(count: int) -> Experiment:
    """All tunnels at once: seconds until the last is open; then each must carry a message."""

    def work(stage: Stage, clients: Clients, point: str) -> dict[str, float]:
        del point
        found, cost = meter.metered(stage, lambda: _open(clients, stage, count))
        figures = meter.figures(stage, found, cost, count)
        carried = _ping(clients, stage, 1, MESSAGE_BYTES)
        return figures | {"lost": count - carried.done}

    asked = Asked("tunnels", f"{count:,} tunnels opened at once", "tunnel", "seconds", "", ("",), {"tunnels": count})
    return staged(asked, _CLIENT, lambda _: Shape(APPS, count), work)


def memory(count: int) -> Experiment:
    """Idle tunnels: private KiB that each adds to the relaying processes, from none to ``count``."""

    def work(stage: Stage, clients: Clients, point: str) -> dict[str, float]:
        del point
        # What the first tunnels cost once (code, caches, tables) is not what a tunnel costs.
        _open(clients, stage, _WAVE)
        clients.call("close")
        _wait_until_quiet(stage)
        figures = _hold(clients, stage, count)
        # A tunnel that the relay had dropped would cost no memory: all must still be there.
        _ping(clients, stage, 1, MESSAGE_BYTES)
        return figures

    title = f"what an idle tunnel adds to the relaying process, of {count:,}"
    asked = Asked("memory", title, "tunnel", "kib_per_tunnel", "", ("",), {"tunnels": count})
    return staged(asked, _CLIENT, lambda _: Shape(APPS, count), work, suits=lambda peer: peer.relays)


def _hold(clients: Clients, stage: Stage, count: int) -> dict[str, float]:
    at_start = held = procfs.memory(stage.relaying)
    figures = {"private_kib_0": at_start.private / 1024}
    step = count // _MEMORY_STEPS
    for number in range(1, _MEMORY_STEPS + 1):
        for begun in range(0, step, _WAVE):
            wave = min(_WAVE, step - begun)
            if _open(clients, stage, wave).done < wave:
                return figures  # what is wrong has been counted, and would be at every wave to come
        _wait_until_quiet(stage)
        held = procfs.memory(stage.relaying)
        figures[f"private_kib_{number * step}"] = held.private / 1024
    figures["kib_per_tunnel"] = (held.private - at_start.private) / 1024 / (step * _MEMORY_STEPS)
    figures["peak_rss_mib"] = held.peak_rss / 2**20
    return figures


def _open(clients: Clients, stage: Stage, count: int) -> Outcome:
    return clients.share("open", count, stage.sites, at_once=count, silence_s=stage.conditions.silence_s)


def _ping(clients: Clients, stage: Stage, each: int, size: int) -> Outcome:
    conditions = stage.conditions
    return clients.call("ping", messages=each, size=size, late_s=conditions.late_s, silence_s=conditions.silence_s)


def _wait_until_quiet(stage: Stage) -> None:
    """Wait until the relay has done what it still had to do."""
    ends_at = time.monotonic() + _QUIET_DEADLINE_S
    before = -1.0
    while (now := procfs.cpu_s(stage.relaying)) - before > 0.001 and time.monotonic() < ends_at:
        before = now
        time.sleep(_QUIET_S)
