"""Our own experiments with HTTP: what a request costs on a kept connection, and what a gigabyte costs."""

from fingerpost.bench import meter
from fingerpost.bench.experiments.experiment import APPS, WARM_UP, Experiment, staged
from fingerpost.bench.load.clients import Clients
from fingerpost.bench.load.outcome import Outcome
from fingerpost.bench.needs import Shape
from fingerpost.bench.run import Asked
from fingerpost.bench.stage import Stage

VARIED, IDENTICAL = "varied", "identical"
TUNNEL, BODY = "tunnel", "body"


def requests(connections: int, count: int) -> Experiment:
    """Keep-alive GETs with a browser's fields; heads that differ from request to request, or are all the same."""

    def work(stage: Stage, clients: Clients, point: str) -> dict[str, float]:
        clients.share("connect", connections, stage.sites)
        conditions = stage.conditions
        stride = connections if point == VARIED else 0
        limits = {"late_s": conditions.late_s, "silence_s": conditions.silence_s}

        def get(each: int) -> Outcome:
            return clients.call("get", requests=each, stride=stride, **limits)

        each = max(1, count // connections)
        get(max(1, each // WARM_UP))
        found, cost = meter.metered(stage, lambda: get(each))
        return meter.figures(stage, found, cost, each * connections) | meter.latencies(found)

    title = f"GETs with a browser's fields over {connections} kept connections"
    parameters = {"connections": connections, "requests": count}
    asked = Asked("requests", title, "request", "cpu_us", "", (VARIED, IDENTICAL), parameters)
    return staged(asked, "request_client", lambda _: Shape(APPS, connections), work)


def bulk(amount: int) -> Experiment:
    """One connection, app to client: CPU seconds per 10^9 bytes, through a tunnel or as a response body."""

    def work(stage: Stage, clients: Clients, point: str) -> dict[str, float]:
        def take(wanted: int) -> Outcome:
            return clients.call("take", site=stage.sites[0], amount=wanted, tunnel=point == TUNNEL)

        take(amount // 100)
        found, cost = meter.metered(stage, lambda: take(amount))
        figures = meter.figures(stage, found, cost, amount)
        if (us_per_byte := figures.pop("cpu_us", None)) is not None:
            figures["cpu_s_per_gb"] = us_per_byte * 1e3
        return figures

    title = f"{amount / 1e9:g} GB one way over one connection"
    asked = Asked("bulk", title, "byte", "cpu_s_per_gb", "", (TUNNEL, BODY), {"bytes": amount})
    return staged(asked, "bulk_client", lambda _: Shape(1, 1), work, processes=1)
