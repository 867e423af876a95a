"""The published figures of the experiment that this one reproduces: two relays, on another machine.

They are for the shape of a curve and never for a ratio: seconds of two machines can't be divided.
"""

from dataclasses import dataclass

from fingerpost.bench.run import Asked

POINTS = ("50", "75", "100", "125", "150", "175", "200", "225", "250", "275")

SECONDS: dict[str, dict[str, tuple[float, ...]]] = {
    "servers": {
        "go": (1.81, 2.65, 3.54, 3.94, 5.13, 5.93, 6.18, 6.91, 7.90, 7.97),
        "node": (3.19, 3.51, 3.38, 4.53, 6.37, 7.47, 8.65, 8.36, 9.62, 7.97),
    },
    "clients": {
        "go": (1.79, 2.41, 3.01, 4.34, 4.33, 5.41, 5.52, 6.48, 8.26, 8.66),
        "node": (2.65, 3.36, 3.62, 3.35, 7.50, 5.06, 7.94, 7.95, 16.59, 16.41),
    },
}
"""Seconds at each of `POINTS`, by experiment and relay."""

PARAMETERS: dict[str, dict[str, float]] = {
    "servers": {"clients": 10, "messages": 1000, "size": 1024},
    "clients": {"servers": 10, "messages": 1000, "size": 1024},
    "capacity": {"clients": 1, "messages": 1, "size": 20},
}
"""What the published figures were made with: clients per server, messages per client, bytes per message."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many servers a relay carried, one client and one message each.

    Attributes:
        all_to: The last step at which everything was exchanged.
        some_lost_to: The last step at which some was lost; the same as ``all_to`` if there was no such step.
        failed_from: The first step at which it failed.
    """

    all_to: int
    some_lost_to: int
    failed_from: int


CAPACITY = {"go": Limits(5000, 5500, 6000), "node": Limits(4000, 4000, 4500)}
"""The published limits by relay; the steps were 500 apart."""

TITLES = {"go": "Go, published", "node": "Node, published"}


def seconds(asked: Asked) -> dict[str, dict[str, float]]:
    """The published seconds by relay and point, for the points asked for; empty where there is nothing to hold beside.

    That is so in other experiments, and where a parameter was another one than in the published figures.
    """
    if asked.name not in SECONDS or not as_published(asked):
        return {}
    by_relay = {relay: dict(zip(POINTS, values, strict=True)) for relay, values in SECONDS[asked.name].items()}
    found = {
        relay: {point: values[point] for point in asked.points if point in values} for relay, values in by_relay.items()
    }
    return {relay: values for relay, values in found.items() if values}


def as_published(asked: Asked) -> bool:
    """Whether each parameter that the published experiment fixed has its value, as far as the run names it."""
    fixed = PARAMETERS.get(asked.name, {})
    return all(asked.parameters.get(name, value) == value for name, value in fixed.items())
