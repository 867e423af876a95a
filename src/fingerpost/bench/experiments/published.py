"""The three experiments of the published comparison: echo servers, clients and messages, through a relay, timed.

Every client upgrades through the relay; when all have, each sends its messages without waiting and reads as many
echoes, every one of which is compared. The time counts from the first connect to the last echo.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fingerpost.bench import meter
from fingerpost.bench.experiments.experiment import Experiment, Reading, staged
from fingerpost.bench.load import frames
from fingerpost.bench.load.clients import Clients
from fingerpost.bench.load.outcome import Outcome
from fingerpost.bench.needs import Shape
from fingerpost.bench.run import ALL, RELAY_FAILED, SOME_LOST, Asked
from fingerpost.bench.stage import Stage

_CLIENT = "tunnel_client"
_WRITE_BYTES = 65536
_LOAD_CPUS = 3  # a message costs the load two to three times what it costs a relay that splices


@dataclass(frozen=True, slots=True)
class Traffic:
    """What each client does.

    Attributes:
        messages: How many it sends.
        size: Of each, in bytes.
        messages_per_write: The most that it gives to the kernel at once; 0: as many as 64 KiB hold.
        opened_at_once: The most connections that are being opened at a time; 0: all.
    """

    messages: int
    size: int
    messages_per_write: int = 0
    opened_at_once: int = 0

    def rows(self) -> int:
        """The most messages in one write."""
        fitting = max(1, _WRITE_BYTES // frames.sent_bytes(self.size))
        return min(self.messages_per_write or fitting, frames.MAX_ROWS)

    def parameters(self, **more: int) -> dict[str, int]:
        """What a run notes down of it."""
        return {
            **more,
            "messages": self.messages,
            "size": self.size,
            "messages_per_write": self.rows(),
            "opened_at_once": self.opened_at_once,
        }

    def exchange(self, stage: Stage, clients: Clients, point: str) -> dict[str, float]:
        """Open all tunnels, exchange all messages, close."""
        del point
        count, silence_s = stage.shape.connections, stage.conditions.silence_s
        opened = Outcome()

        def phase() -> Outcome:
            nonlocal opened
            at_once = self.opened_at_once or count
            opened = clients.share("open", count, stage.sites, at_once=at_once, silence_s=silence_s)
            exchanged = clients.call(
                "exchange", messages=self.messages, size=self.size, rows=self.rows(), silence_s=silence_s
            )
            faults = opened.faults + exchanged.faults
            return Outcome(exchanged.done, opened.began_s, exchanged.ended_s, faults, longest_s=exchanged.longest_s)

        found, cost = meter.metered(stage, phase)
        return meter.figures(stage, found, cost, expected=count * self.messages) | {
            "open_s": opened.seconds,
            "exchange_s": found.seconds - opened.seconds,
            "longest_wait_s": found.longest_s,
        }

    def __str__(self) -> str:
        return f"{_count(self.messages, 'message')} of {self.size:,} bytes"


CAPACITY = Traffic(messages=1, size=20)
EXCHANGE = Traffic(messages=1000, size=1024)


def capacity(servers: Sequence[int], clients: int, traffic: Traffic) -> Experiment:
    """How many tunnels at once a relay carries; ``clients`` for each of so many servers."""

    def work(stage: Stage, crowd: Clients, point: str) -> dict[str, float]:
        figures = traffic.exchange(stage, crowd, point)
        return figures | {"lost": figures["expected"] - figures["done"]}

    title = f"{_count(clients, 'client')} per server, {traffic}"
    parameters = traffic.parameters(clients=clients)
    asked = Asked("capacity", title, "message", "lost", "servers", tuple(map(str, servers)), parameters)

    def shape(point: str) -> Shape:
        return Shape(int(point), int(point) * clients, bounded_by_relay=True)

    return staged(asked, _CLIENT, shape, work, judge=_verdict)


def by_servers(servers: Sequence[int], clients: int, traffic: Traffic) -> Experiment:
    """How long the exchange takes with more and more servers, and ``clients`` for each."""
    title = f"{_count(clients, 'client')} per server, {traffic}"
    parameters = traffic.parameters(clients=clients)
    asked = Asked("servers", title, "message", "seconds", "servers", tuple(map(str, servers)), parameters)

    def shape(point: str) -> Shape:
        return Shape(int(point), int(point) * clients, load_cpus=_LOAD_CPUS)

    return staged(asked, _CLIENT, shape, traffic.exchange)


def by_clients(servers: int, clients: Sequence[int], traffic: Traffic) -> Experiment:
    """How long the exchange takes with more and more clients for each of ``servers``."""
    title = f"{_count(servers, 'server')}, {traffic} from each client"
    parameters = traffic.parameters(servers=servers)
    asked = Asked("clients", title, "message", "seconds", "clients per server", tuple(map(str, clients)), parameters)

    def shape(point: str) -> Shape:
        return Shape(servers, int(point) * servers, load_cpus=_LOAD_CPUS)

    return staged(asked, _CLIENT, shape, traffic.exchange)


def _verdict(stage: Stage, found: Reading) -> str:
    if found.failure is not None or not found.figures["done"]:
        return RELAY_FAILED
    if not found.faults and not found.figures["lost"]:
        return ALL
    return SOME_LOST if stage.still_relays() else RELAY_FAILED


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
