"""What a worker is told: the operator's settings, as far as they concern it, and its share of the limits."""

from collections.abc import Sequence

from fingerpost.config import Settings
from fingerpost.config.files import Secrets

_FOR_THE_SUPERVISOR = ("listen", "workers", "pid_file", "control_socket", "user", "drain_timeout_s", "retire_timeout_s")
_FOR_OTHERS = ("key_file", "legacy_key_file", "public_url")

_SHARED = ("max_connections_per_target", "pool_max_idle", "pool_max_idle_per_target")
"""Of these each worker has its part. Connections of clients are counted by all together."""


def worker_orders(settings: Settings, secrets: Secrets, own_listeners: Sequence[str], room: int) -> dict[str, object]:
    """What every worker is told, by the names of its own settings. It holds keys: never log it.

    Args:
        settings: The operator's.
        secrets: The text of the key files.
        own_listeners: ``ADDR:PORT`` with real ports.
        room: How many connections one worker's limit on open files has room for.
    """
    orders: dict[str, object] = settings.model_dump(exclude={*_FOR_THE_SUPERVISOR, *_FOR_OTHERS})
    orders |= {
        "number": 0,
        "keys": secrets.keys,
        "legacy_key": secrets.legacy_key,
        "own_listeners": list(own_listeners),
    }
    for name in _SHARED:
        orders[name] = share(getattr(settings, name), settings.workers)
    most = min(settings.max_connections, room * settings.workers)
    # Where the limit on open files leaves room for few, one client must not be able to take them all.
    if most < settings.max_connections:
        orders["max_connections_per_client"] = min(settings.max_connections_per_client, max(1, most * 9 // 10))
    return orders | {"max_connections": most, "room": room}


def share(limit: int, workers: int) -> int:
    """One worker's part of a limit, rounded up."""
    return -(-limit // workers)
