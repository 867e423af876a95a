"""All experiments together: at full size, and so small that they only show whether everything works."""

from fingerpost.bench.experiments import command_line, http, published, websockets
from fingerpost.bench.experiments.experiment import MESSAGE_BYTES, Experiment

_STEPS = range(50, 276, 25)


def full() -> list[Experiment]:
    """Every experiment with the parameters of its command's defaults."""
    return [
        published.capacity(range(500, 7001, 500), 1, published.CAPACITY),
        published.by_servers(_STEPS, 10, published.EXCHANGE),
        published.by_clients(10, _STEPS, published.EXCHANGE),
        websockets.messages(100, 100_000, MESSAGE_BYTES),
        websockets.connects(10_000, 50, MESSAGE_BYTES),
        websockets.tunnels(6000),
        websockets.memory(6000),
        http.requests(100, 60_000),
        http.bulk(6_000_000_000),
        command_line.seal(5),
    ]


def small() -> list[Experiment]:
    """Every experiment so small that all together take a minute or so with all peers."""
    tiny = published.Traffic(messages=50, size=MESSAGE_BYTES)
    return [
        published.capacity([100], 1, published.CAPACITY),
        published.by_servers([5], 10, tiny),
        published.by_clients(5, [10], tiny),
        websockets.messages(20, 2000, MESSAGE_BYTES),
        websockets.connects(200, 20, MESSAGE_BYTES),
        websockets.tunnels(300),
        websockets.memory(300),
        http.requests(20, 1000),
        http.bulk(50_000_000),
        command_line.seal(2),
    ]
