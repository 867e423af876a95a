"""Relays that read legacy labels: a key file for them, and what they have in common."""

from pathlib import Path
from typing import ClassVar, Literal

from fingerpost.bench.peers.peer import Peer, Plan


class LegacyPeer(Peer):
    """A relay that reads the first request's Host on a connection and then tunnels it."""

    labels: ClassVar[Literal["sealed", "legacy"]] = "legacy"
    adds_forwarding_fields: ClassVar[bool] = False


def write_legacy_key(plan: Plan) -> Path:
    """Put the Blowfish key into a file of the plan's folder, for nobody else to read."""
    file = plan.folder / "legacy.key"
    file.touch(mode=0o600)
    file.write_bytes(plan.legacy_key)
    return file
