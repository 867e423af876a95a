"""The relays under measurement: one module for each, `peer` for what they have in common."""

import os
import re

from fingerpost.bench.peers.chp import CHP
from fingerpost.bench.peers.custom import Custom
from fingerpost.bench.peers.direct import Direct
from fingerpost.bench.peers.fingerpost import Fingerpost
from fingerpost.bench.peers.go import Go, GoReverseProxy
from fingerpost.bench.peers.haproxy import HAProxy, HAProxyPlain
from fingerpost.bench.peers.nginx import Nginx, NginxLargeBuffers
from fingerpost.bench.peers.node import Node
from fingerpost.bench.peers.peer import DOMAIN, Peer, Plan
from fingerpost.bench.peers.toolchain import default_cache

__all__ = [
    "CHP",
    "DOMAIN",
    "Custom",
    "Direct",
    "Fingerpost",
    "Go",
    "GoReverseProxy",
    "HAProxy",
    "HAProxyPlain",
    "Nginx",
    "NginxLargeBuffers",
    "Node",
    "Peer",
    "Plan",
    "default_cache",
    "known_peers",
    "peer_named",
]


def known_peers() -> list[Peer]:
    """All that have a name of their own, in the order of their turns."""
    cores = max(2, len(os.sched_getaffinity(0)))
    ours = [Fingerpost(), Fingerpost(cores)]
    installed = [Nginx(), NginxLargeBuffers(), HAProxy(), HAProxyPlain()]
    return [*ours, Go(), Node(), *installed, GoReverseProxy(), CHP(), Direct()]


def peer_named(text: str) -> Peer:
    """The peer of a ``--peer`` argument: a known name, ``fingerpost-N`` with any N, or ``NAME=COMMAND``.

    Raises:
        ValueError: There is no such peer, or the command has another form; the message says what there is.
    """
    if "=" in text:
        custom = Custom.parse(text)
        if _by_name(custom.name):
            raise ValueError(f"{custom.name} is the name of another peer; give yours its own")
        return custom
    if peer := _by_name(text):
        return peer
    names = ", ".join(peer.name for peer in known_peers())
    raise ValueError(f"no peer {text!r}; there are {names}, and NAME=COMMAND for any other relay")


def _by_name(name: str) -> Peer | None:
    for peer in known_peers():
        if peer.name == name:
            return peer
    match = re.fullmatch(r"fingerpost-([1-9][0-9]{0,2})", name, re.ASCII)
    return Fingerpost(int(match[1])) if match else None
