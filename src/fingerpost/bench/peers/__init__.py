"""The relays under measurement: one module for each, `peer` for what they have in common."""

import os

from fingerpost.bench.peers.direct import Direct
from fingerpost.bench.peers.fingerpost import Fingerpost
from fingerpost.bench.peers.haproxy import HAProxy, HAProxyPlain
from fingerpost.bench.peers.nginx import Nginx
from fingerpost.bench.peers.peer import DOMAIN, Peer, Plan

__all__ = ["DOMAIN", "Direct", "Fingerpost", "HAProxy", "HAProxyPlain", "Nginx", "Peer", "Plan", "known_peers"]


def known_peers() -> list[Peer]:
    """All that can be named, in the order of their turns."""
    cores = max(2, len(os.sched_getaffinity(0)))
    return [Fingerpost(), Fingerpost(cores), Nginx(), HAProxy(), HAProxyPlain(), Direct()]
