"""No relay: what the load can do on its own."""

from typing import ClassVar

from fingerpost.bench.peers.peer import Peer


class Direct(Peer):
    """Clients connect to the apps, which is the floor under every time."""

    name = "direct"
    relays: ClassVar[bool] = False
    adds_forwarding_fields: ClassVar[bool] = False

    def missing(self) -> str | None:
        """None: there is nothing that could be."""
        return None

    def version(self) -> str:
        """Nothing to tell."""
        return "no relay"
