"""The worker: what all its connections share, how it is told to drain or stop, and its limits on clients."""

import ipaddress
import logging
import socket
import time
from dataclasses import asdict, dataclass

from fingerpost.dataplane.access_log import AccessLog
from fingerpost.dataplane.downstream import Downstream
from fingerpost.dataplane.handover import Giver, Taker
from fingerpost.dataplane.listener import Listener
from fingerpost.dataplane.loop import READ, Loop
from fingerpost.dataplane.mailbox import Mailbox
from fingerpost.dataplane.parcel import ClientParcel, TunnelParcel
from fingerpost.dataplane.resolver import Resolver
from fingerpost.dataplane.settings import WorkerSettings
from fingerpost.dataplane.tally import Tally
from fingerpost.dataplane.timers import NEVER
from fingerpost.dataplane.tls import client_context
from fingerpost.dataplane.tunnel import End, Tunnel
from fingerpost.dataplane.upstream import Dialer, Pool
from fingerpost.label.keyring import Keyring
from fingerpost.routing.policy import Policy
from fingerpost.routing.resolve import Router

log = logging.getLogger("fingerpost.worker")

_BEAT_S = 0.5
_COMPLAINT_S = 60.0
_MAX_KNOWN_ADDRESSES = 65536


@dataclass(slots=True)
class Counters:
    """What the supervisor is told; totals since the start but for the ``…_running``."""

    exchanges: int = 0
    refused: int = 0
    tunnels: int = 0
    tunnels_running: int = 0
    turned_away: int = 0


class Worker:
    """One process's data plane.

    Args:
        settings: Its orders.
        listeners: ``ADDR:PORT`` and listening socket of each.
        mailbox: The way to the supervisor.
        clients: Where connections are counted.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        listeners: list[tuple[str, socket.socket]],
        mailbox: Mailbox,
        clients: Tally,
    ) -> None:
        self.settings = settings
        self.counters = Counters()
        self.draining = False
        self.closing = False
        self._giver: Giver | None = None
        self._takers: list[Taker] = []
        self.wall_clock = time.time
        self.cdn_loop_id = settings.cdn_loop_id.encode()
        self.deadline = self.wake = NEVER
        loop = self.loop = Loop()
        self.pool = Pool(loop, settings.pool_idle_timeout_s, settings.pool_max_idle, settings.pool_max_idle_per_target)
        self.dialer = Dialer(
            loop,
            self.pool,
            Policy(settings.allow, settings.own_listeners),
            Resolver(loop, settings.resolve_ttl_s),
            client_context(settings.upstream_ca),
            settings.max_connections_per_target,
            settings.connect_timeout_s,
        )
        self.router = self._make_router(settings.keys)
        self.access_log = None if settings.access_log is None else AccessLog(settings.access_log)
        self._complain_at = 0.0
        self._clients = clients
        self._trusted_networks = [ipaddress.ip_network(network) for network in settings.trusted_proxies]
        self._trusted: dict[str, bool] = {}
        self._mailbox = mailbox
        self._alarm = _Alarm(loop)
        loop.watch(mailbox.fileno(), READ, self._on_mail)
        self._listeners = [Listener(self, sock, address) for address, sock in listeners]

    def run(self) -> None:
        """Serve until told to stop, or drained."""
        self._mailbox.send({"type": "ready"})
        self._beat()
        self._on_mail(READ)  # what came together with the start makes no event any more
        self.loop.run()
        self._cut_off()
        if self.access_log is not None:
            self.access_log.close()

    # --- clients ----------------------------------------------------------------------------------------------

    def trusts(self, address: str) -> bool:
        """Whether a peer is one of ``trusted_proxies``."""
        if not self._trusted_networks:
            return False
        known = self._trusted.get(address)
        if known is None:
            ip = ipaddress.ip_address(address)
            known = any(ip in network for network in self._trusted_networks)
            if len(self._trusted) >= _MAX_KNOWN_ADDRESSES:
                self._trusted.clear()
            self._trusted[address] = known
        return known

    def admit(self, address: str, *, counted: bool) -> bool:
        """Count a new connection in, if the limits allow it. Trusted proxies have no limit of their own."""
        client = _client(address)
        clients, settings = self._clients, self.settings
        if clients.all() >= settings.max_connections:
            return self._refuse(f"max_connections ({settings.max_connections}) is reached")
        if clients.count >= settings.room:
            return self._refuse(f"open files: one worker has room for {settings.room} connections")
        if counted and clients.of(client) >= settings.max_connections_per_client:
            return self._refuse(f"max_connections_per_client ({settings.max_connections_per_client}) by {client}")
        clients.up(client)
        return True

    @property
    def connections(self) -> int:
        """How many there are here."""
        return self._clients.count

    def _refuse(self, reason: str) -> bool:
        """Say why new connections are turned away, but not for each of them."""
        if self.loop.now >= self._complain_at:
            self._complain_at = self.loop.now + _COMPLAINT_S
            log.warning("new connections get 503: %s; said at most once a minute", reason)
        return False

    def count_in(self, address: str) -> None:
        """Count in a connection that another worker has admitted."""
        self._clients.up(_client(address))

    def client_gone(self, address: str) -> None:
        """Count a connection out."""
        self._clients.down(_client(address))

    # --- orders -----------------------------------------------------------------------------------------------

    def _on_mail(self, _event: int) -> None:
        try:
            messages = self._mailbox.read()
        except (EOFError, ValueError) as error:
            log.error("stopping: %s", error)
            self.loop.stop()
            return
        for message in messages:
            if message["type"] == "drain":
                self._drain(message["patience_s"], message.get("descriptors", []))
            elif message["type"] == "adopt":
                (descriptor,) = message["descriptors"]
                self._takers.append(Taker(self, socket.socket(fileno=descriptor)))
            elif message["type"] == "count":
                self._send_counters(exchanges_running=self._count_exchanges())
            elif message["type"] == "keys":
                self.router = self._make_router(message["keys"])
            elif message["type"] == "stop":
                self.loop.stop()

    def _make_router(self, keys: str) -> Router:
        settings = self.settings
        legacy_key = None if settings.legacy_key is None else settings.legacy_key.encode("latin-1")
        return Router(settings.domain, Keyring.parse(keys) if keys else None, legacy_key)

    def _drain(self, patience_s: float, descriptors: list[int]) -> None:
        """Accept nothing new, hand over or let go of who is idle, stop when the last has finished or time is up.

        Args:
            patience_s: How much time.
            descriptors: The way to the worker that goes on with what can be handed over, if there is one.
        """
        self.loop.timers.forget(self._alarm)
        self.loop.timers.arm(self._alarm, self.loop.now + patience_s)
        if not self.draining:
            self.draining = True
            for listener in self._listeners:
                listener.close()
            self._mailbox.send({"type": "deaf"})
            if descriptors:
                self._giver = Giver(self, socket.socket(fileno=descriptors[0]))
        self.closing = self._giver is None or not self._giver.is_open
        for owner in self._owners():
            if isinstance(owner, Downstream):
                owner.drain()
            elif isinstance(owner, End) and owner is owner.tunnel.client:
                self.on_tunnel(owner.tunnel)

    def hand_over(self, downstream: Downstream) -> bool:
        """Let another worker go on with a client that waits; False if there is none."""
        return self._giver is not None and self._giver.offer(ClientParcel(downstream))

    def on_tunnel(self, tunnel: Tunnel) -> None:
        """There is a tunnel: while the worker drains, let another one go on with it."""
        if self._giver is not None:
            self._giver.offer(TunnelParcel(tunnel))

    def on_heir_gone(self) -> None:
        """Nothing can be handed over any more: drain as if there had never been anybody to take it."""
        self.closing = True
        for owner in self._owners():
            if isinstance(owner, Downstream):
                owner.drain()

    def _cut_off(self) -> None:
        """The process is about to end: what still runs must not look complete to either side, and goes into the log."""
        if self._giver is not None:
            self._giver.close()
        for owner in self._owners():
            if isinstance(owner, Downstream) and owner.exchange is not None:
                owner.exchange.abort("the proxy ended")
            elif isinstance(owner, End):
                owner.tunnel.close("the proxy ended")

    def _owners(self) -> list[object]:
        """Everything that watches a descriptor."""
        return [getattr(handler, "__self__", None) for handler in list(self.loop.handlers.values())]

    def _count_exchanges(self) -> int:
        """How many run: counted when somebody asks, and not at every request."""
        return sum(isinstance(owner, Downstream) and owner.exchange is not None for owner in self._owners())

    def _send_counters(self, **more: int) -> None:
        counters = asdict(self.counters)
        counters |= {
            "connections": self.connections,
            "idle_upstreams": self.pool.idle_count,
            "bugs": self.loop.bugs,
        }
        self._mailbox.send({"type": "counters", **counters, **more})

    def _beat(self) -> None:
        """A few times a second: flush the log, tell the supervisor, see whether a drain is complete."""
        if self.access_log is not None:
            self.access_log.flush()
        self._send_counters()
        if self.draining and self.connections == 0 and self._handed_over():
            self._mailbox.send({"type": "drained"})
            self.loop.stop()
        self.loop.timers.arm(self, self.loop.now + _BEAT_S)

    def _handed_over(self) -> bool:
        """Whether nothing is on its way from or to another worker."""
        self._takers = [taker for taker in self._takers if taker.is_open]
        return not self._takers and (self._giver is None or self._giver.is_idle)

    def on_deadline(self) -> None:
        """The beat."""
        self._beat()

    def on_bug(self) -> None:
        """The beat or a message failed: go on beating."""
        self.loop.timers.arm(self, self.loop.now + _BEAT_S)


def _client(address: str) -> str:
    """Who counts as one client: an IPv4 address, or an IPv6 /64, which is what one subscriber gets at the least."""
    return address if ":" not in address else ipaddress.IPv6Address(address.partition("%")[0]).exploded[:19]


class _Alarm:
    """The end of a drain's patience."""

    def __init__(self, loop: Loop) -> None:
        self.deadline = self.wake = NEVER
        self._loop = loop

    def on_deadline(self) -> None:
        log.warning("drain timed out: what still runs is cut off")
        self._loop.stop()

    def on_bug(self) -> None:
        self._loop.stop()
