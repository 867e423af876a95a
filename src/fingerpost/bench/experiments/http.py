"""Our own experiments with HTTP: what a request costs on a kept connection, and what a gigabyte costs."""

from fingerpost.bench import meter
from fingerpost.bench.experiments.experiment import APPS, WARM_UP, Experiment, Reading, reading
from fingerpost.bench.load.outcome import Outcome
from fingerpost.bench.needs import Shape
from fingerpost.bench.peers import Peer
from fingerpost.bench.run import Asked
from fingerpost.bench.stage import Conditions, set_up

VARIED, IDENTICAL = "varied", "identical"
TUNNEL, BODY = "tunnel", "body"


def requests(connections: int, count: int) -> Experiment:
    """Keep-alive GETs with a browser's fields; heads that differ from request to request, or are all the same."""
    shape = Shape(APPS, connections)

    def measure(peer: Peer, point: str, conditions: Conditions) -> Reading:
        with set_up(peer, conditions, shape) as stage:
            clients = stage.clients("request_client")
            clients.share("connect", connections, stage.sites)
            stride = connections if point == VARIED else 0

            def get(each: int) -> Outcome:
                return clients.call(
                    "get",
                    requests=each,
                    stride=stride,
                    late_s=conditions.late_s,
                    silence_s=conditions.silence_s,
                )

            each = max(1, count // connections)
            get(max(1, each // WARM_UP))
            found, cost = meter.metered(stage, lambda: get(each))
            figures = meter.figures(stage, found, cost, each * connections) | meter.latencies(found)
            return reading(stage, clients, figures)

    title = f"GETs with a browser's fields over {connections} kept connections"
    parameters = {"connections": connections, "requests": count}
    asked = Asked("requests", title, "request", "cpu_us", "", (VARIED, IDENTICAL), parameters)
    return Experiment(asked, measure, lambda _: shape)


def bulk(amount: int) -> Experiment:
    """One connection, app to client: CPU seconds per 10^9 bytes, through a tunnel or as a response body."""
    shape = Shape(1, 1)

    def measure(peer: Peer, point: str, conditions: Conditions) -> Reading:
        with set_up(peer, conditions, shape) as stage:
            clients = stage.clients("bulk_client", 1)
            site, tunnel = stage.sites[0], point == TUNNEL
            clients.call("take", site=site, amount=amount // 100, tunnel=tunnel)
            found, cost = meter.metered(stage, lambda: clients.call("take", site=site, amount=amount, tunnel=tunnel))
            figures = meter.figures(stage, found, cost, amount)
            figures.pop("cpu_us", None)  # per byte
            if "relay_cpu_s" in figures and found.done:
                figures["cpu_s_per_gb"] = cost.relay_s / found.done * 1e9
            return reading(stage, clients, figures)

    title = f"{amount / 1e9:g} GB one way over one connection"
    asked = Asked("bulk", title, "byte", "cpu_s_per_gb", "", (TUNNEL, BODY), {"bytes": amount})
    return Experiment(asked, measure, lambda _: shape)
