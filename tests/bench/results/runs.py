"""Runs for these tests, put together by hand: small, with known figures; nothing in them was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from fingerpost.bench.run import ALL, RELAY_FAILED, SOME_LOST, Asked, Run, Sample

SERVERS = Asked(
    "servers",
    "10 clients per server, 1,000 messages of 1,024 bytes",
    "message",
    "seconds",
    "servers",
    ("50", "75"),
    {"clients": 10, "messages": 1000},
)
CAPACITY = Asked("capacity", "1 client per server", "tunnel", "lost", "servers", ("500", "1000", "1500"))
MESSAGES = Asked("messages", "1 KiB messages, ping-pong", "message", "cpu_us", "", ("",))
REQUESTS = Asked("requests", "keep-alive GETs", "request", "cpu_us", "", ("varied", "identical"))

PINNED = "0 for the relay, 1 for the load"

CONTEXT: dict[str, Any] = {
    "date": "2026-01-02T03:04:05+00:00",
    "command": "fingerpost bench all",
    "cpu": "a processor",
    "cores": 2,
    "kernel": "Linux 6",
    "pinned": dict.fromkeys(("servers", "messages", "requests", "capacity"), PINNED),
    "versions": {"python": "3.11"},
    "peers": {
        "fingerpost": "1",
        "go": "1.23",
        "node": "missing: no node on the PATH",
        "nginx": "1.22",
        "direct": "no relay",
    },
}


def rounds(asked: Asked, point: str, peer: str, figures: Mapping[str, Sequence[float]]) -> list[Sample]:
    """One sound sample a round, from each figure's values by round."""
    count = max(map(len, figures.values()))
    return [
        Sample(asked.name, point, number + 1, peer, {name: values[number] for name, values in figures.items()})
        for number in range(count)
    ]


def run(asked: Sequence[Asked], samples: Sequence[Sample], **changed: object) -> Run:
    """A run of these."""
    return Run(CONTEXT | changed, list(asked), list(samples))


def step(point: str, peer: str, verdict: str, number: int = 1, said: str = "", lost: int = 0) -> Sample:
    """One sample of the capacity experiment."""
    faults = {"closed early": lost} if lost else {}
    figures = {"expected": float(point), "done": float(point) - lost, "lost": float(lost)}
    return Sample("capacity", point, number, peer, figures, faults, None, verdict, said)


def whole() -> Run:
    """A run with something of everything: two axes, variants, capacity, a missing peer, a fault, a failure."""
    samples = []
    for point, factor in (("50", 1.0), ("75", 1.5)):
        for peer, time, cpu in (("fingerpost", 2.0, 4.0), ("go", 2.4, 6.0), ("nginx", 2.1, 4.4)):
            figures = {
                "seconds": [time * factor, time * factor * 1.1, time * factor * 1.3],
                "cpu_us": [cpu, cpu * 1.1, cpu * 1.05],
                "relay_busy": [0.5, 0.5, 0.5],
                "load_busy": [0.97 if peer == "nginx" else 0.6] * 3,
                "peak_rss_mib": [30.0, 31.0, 30.5],
            }
            samples += rounds(SERVERS, point, peer, figures)
        samples += rounds(SERVERS, point, "direct", {"seconds": [1.0 * factor, 1.0, 1.2], "load_busy": [1.0, 1.0, 1.0]})
    latencies = {
        "p50_us": [900.0, 950.0],
        "p90_us": [1200.0, 1250.0],
        "p99_us": [3000.0, 3100.0],
        "max_us": [9e3, 12e3],
    }
    samples += rounds(MESSAGES, "", "fingerpost", {"cpu_us": [14.0, 15.0], **latencies})
    samples += rounds(MESSAGES, "", "nginx", {"cpu_us": [14.0, 14.5], **latencies})
    samples += rounds(
        REQUESTS,
        "varied",
        "fingerpost",
        {"cpu_us": [33.0, 34.0], "per_s": [20000.0, 21000.0], "noted_kib_0": [7.0, 8.0]},
    )
    samples += rounds(REQUESTS, "identical", "fingerpost", {"cpu_us": [30.0, 30.5], "per_s": [22000.0, 21000.0]})
    samples.append(
        Sample("requests", "varied", 1, "nginx", {"cpu_us": 1.0}, {"altered": 3, "late": 1}, said="<script>x</script>")
    )
    samples.append(Sample("requests", "varied", 2, "nginx", failure="it ended at once: <b>port</b> in use"))
    samples += [step(point, "fingerpost", ALL) for point in CAPACITY.points]
    samples += [
        step("500", "go", ALL),
        step("1000", "go", SOME_LOST, lost=12),
        step("1500", "go", RELAY_FAILED, said="accept4: too many open files\nexit", lost=1500),
    ]
    return run([CAPACITY, SERVERS, MESSAGES, REQUESTS], samples)


def degenerate() -> dict[str, Run]:
    """Runs that came to little, by what is the matter with them."""
    one = Asked("servers", "one point", "message", "seconds", "servers", ("50",))
    failed = [
        Sample(asked.name, point, 1, "fingerpost", failure="no")
        for asked in (SERVERS, REQUESTS, CAPACITY)
        for point in asked.points
    ]
    faulty = [Sample("servers", "50", 1, "go", {"seconds": 1.0}, {"lost": 2})]
    return {
        "nothing measured": run([SERVERS, CAPACITY, MESSAGES], []),
        "every sample failed": run([SERVERS, REQUESTS, CAPACITY], failed),
        "every sample with faults": run([SERVERS], faulty),
        "one point, one round": run([one], rounds(one, "50", "fingerpost", {"seconds": [1.0]})),
        "interrupted": Run(
            CONTEXT, [SERVERS, MESSAGES], rounds(SERVERS, "50", "go", {"seconds": [1.0]}), interrupted=True
        ),
        "no context": Run({}, [MESSAGES], rounds(MESSAGES, "", "direct", {"per_s": [1.0]})),
    }
