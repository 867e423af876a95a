"""The app's side: connections to targets, how they are made (dial), and the idle ones that are kept (pool)."""

import errno
import functools
import logging
import os
import select
import socket
import ssl
from typing import Protocol

from fingerpost.dataplane.connection import Connection
from fingerpost.dataplane.loop import READ, WRITE, Loop
from fingerpost.dataplane.resolver import Resolver
from fingerpost.dataplane.timers import NEVER
from fingerpost.dataplane.tls import TlsSocket, wrap_client
from fingerpost.errors import NotAllowedError
from fingerpost.http1 import answers
from fingerpost.http1.answers import Answer
from fingerpost.routing.model import Target
from fingerpost.routing.policy import Policy

log = logging.getLogger("fingerpost.upstream")


class Owner(Protocol):
    """Who has the use of a connection: a dial, then an exchange."""

    def on_upstream_event(self, event: int) -> None:
        """Epoll's events."""

    def on_bug(self) -> None:
        """A handler raised."""


class Caller(Owner, Protocol):
    """Who asked for a connection, and is told once how that ended."""

    def connected(self, upstream: "Upstream") -> None:
        """Here it is."""

    def not_connected(self, answer: Answer, reason: str) -> None:
        """There is none."""


class Upstream(Connection):
    """One connection to an app.

    Attributes:
        target: What it leads to.
        owner: The exchange that uses it, or None while it is in the pool.
        reused: Whether it has carried an exchange before the present one.
    """

    __slots__ = ("_unread", "owner", "pool", "reused", "target")

    def __init__(
        self, loop: Loop, sock: socket.socket, interest: int, target: Target, pool: "Pool", owner: Owner
    ) -> None:
        super().__init__(loop, sock, interest)
        self.target = target
        self.pool = pool
        self.owner: Owner | None = owner
        self.reused = False
        self._unread: select.poll | None = None

    def on_event(self, event: int) -> None:
        """Hand the events to the exchange; whatever comes on an idle connection makes it unfit."""
        if self.owner is not None:
            self.owner.on_upstream_event(event)
        elif not isinstance(self.sock, TlsSocket) or not self.sock.is_silent():  # TLS may have called for nothing
            self.pool.discard(self)

    def on_deadline(self) -> None:
        """Idle for too long, or silent while there are other addresses to try."""
        if self.owner is None:
            self.pool.discard(self)
        elif isinstance(self.owner, Dial):
            self.owner.on_silence()

    def on_bug(self) -> None:
        """Close, and the exchange with it."""
        if self.owner is not None:
            self.owner.on_bug()
        self.close()

    def looks_alive(self) -> bool:
        """Whether an idle connection has neither been closed by the app nor been sent anything.

        The loop would say so as well, but maybe later in this very batch: too late, for then an answer that nobody
        asked for would be taken for the answer to this request. A poll object of its own asks at a quarter of what
        a peek costs.
        """
        if isinstance(self.sock, TlsSocket) and self.sock.has_pending:
            return False
        if self._unread is None:
            self._unread = select.poll()
            self._unread.register(self.fd, select.POLLIN)
        return not self._unread.poll(0)

    def close(self) -> None:
        """See `Connection.close`."""
        if self.fd >= 0:
            super().close()
            self.pool.count_down(self.target)

    def resume_reading(self) -> None:
        """See `Connection.resume_reading`. What TLS had decrypted when reading stopped makes no event of its own."""
        super().resume_reading()
        if self.fd >= 0 and isinstance(self.sock, TlsSocket):
            self.loop.again(self.fd)


class Pool:
    """Idle connections by target, and how many there are of all kinds.

    Args:
        loop: Where their time-outs are.
        idle_s: How long one is kept.
        max_idle: How many are kept in all.
        max_idle_per_target: How many are kept for one target.
    """

    def __init__(self, loop: Loop, idle_s: float, max_idle: int, max_idle_per_target: int) -> None:
        self._loop = loop
        self._idle_s = idle_s
        self._max_idle = max_idle
        self._max_idle_per_target = max_idle_per_target
        self._idle: dict[Target, list[Upstream]] = {}
        self.idle_count = 0
        self.open: dict[Target, int] = {}

    def take(self, target: Target, owner: Owner) -> Upstream | None:
        """The connection that was used last, so that the others can age."""
        idle = self._idle.get(target)
        if not idle:
            return None
        upstream = idle.pop()
        self.idle_count -= 1
        upstream.deadline = NEVER
        upstream.owner = owner
        upstream.reused = True
        return upstream

    def put(self, upstream: Upstream) -> None:
        """Keep a connection on which nothing is doubtful, if there is room for it."""
        idle = self._idle.get(upstream.target)
        if idle is None:
            idle = self._idle[upstream.target] = []
        if self.idle_count >= self._max_idle or len(idle) >= self._max_idle_per_target:
            upstream.close()
            return
        upstream.owner = None
        idle.append(upstream)
        self.idle_count += 1
        upstream.arm(self._idle_s)

    def discard(self, upstream: Upstream) -> None:
        """Close an idle connection."""
        self._idle[upstream.target].remove(upstream)
        self.idle_count -= 1
        upstream.close()

    def count_up(self, target: Target) -> None:
        """A connection to ``target`` is being made."""
        self.open[target] = self.open.get(target, 0) + 1

    def count_down(self, target: Target) -> None:
        """One is gone."""
        left = self.open[target] - 1
        if left:
            self.open[target] = left
        else:
            del self.open[target]
            self._idle.pop(target, None)


class Dialer:
    """Makes connections: name → addresses → policy → connect → TLS.

    The policy judges every address that a name resolves to, at every connect: what a name server
    says can change between a check and its use.
    """

    def __init__(
        self,
        loop: Loop,
        pool: Pool,
        policy: Policy,
        resolver: Resolver,
        tls: ssl.SSLContext,
        max_per_target: int,
        connect_timeout_s: float,
    ) -> None:
        self.loop = loop
        self.pool = pool
        self.policy = policy
        self.tls = tls
        self.connect_timeout_s = connect_timeout_s
        self._resolver = resolver
        self._max_per_target = max_per_target

    def start(self, dial: "Dial") -> None:
        """Begin to connect. The caller hears how it ended, maybe before this returns."""
        target = dial.target
        if self.is_full(target):
            dial.fail(answers.AT_LIMIT, "too many connections to the target")
        elif ":" in target.host or target.host.replace(".", "").isdigit():
            dial.try_addresses([target.host])
        else:
            dial.resolving = True
            self._resolver.resolve(target.host, dial.try_addresses)

    def is_full(self, target: Target) -> bool:
        """Whether ``target`` has as many connections as it may have."""
        return self.pool.open.get(target, 0) >= self._max_per_target


class Dial:
    """One attempt to connect to a target, over all of its addresses in turn.

    Attributes:
        resolving: The name server has not answered yet.
    """

    __slots__ = ("_addresses", "_dialer", "_failure", "_upstream", "caller", "resolving", "target")

    def __init__(self, dialer: Dialer, target: Target, caller: Caller) -> None:
        self._dialer = dialer
        self.target = target
        self.caller: Caller | None = caller
        self.resolving = False
        self._addresses: list[str] = []
        self._upstream: Upstream | None = None
        self._failure = (answers.NO_ADDRESS, "the name has no address")

    def start(self) -> None:
        """Begin to connect. The caller hears how it ended, maybe before this returns."""
        self._dialer.start(self)

    def cancel(self) -> None:
        """The caller has lost interest, and will not be called."""
        self.caller = None
        if self._upstream is not None:
            self._upstream.close()

    def try_addresses(self, addresses: list[str]) -> None:
        """Connect to the first that is allowed and answers."""
        self.resolving = False
        if self.caller is None:
            return
        self._addresses = list(addresses)
        self._try_next()

    def on_upstream_event(self, event: int) -> None:
        """The connect has ended, or the handshake can go on."""
        upstream = self._upstream
        assert upstream is not None
        if isinstance(upstream.sock, TlsSocket):
            self._handshake(upstream.sock)
            return
        assert isinstance(upstream.sock, socket.socket)
        error = upstream.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._failed(error)
        elif event & WRITE:
            self._on_connected()

    def on_bug(self) -> None:
        """A bug in here."""
        if self.caller is not None:
            self.caller.on_bug()

    def _try_next(self) -> None:
        while self._addresses:
            address = self._addresses.pop(0)
            try:
                address = self._dialer.policy.check(address, self.target.port)
            except NotAllowedError as error:
                self._failure = (answers.NOT_ALLOWED, str(error))
                continue
            if self._dialer.is_full(self.target):  # others have connected while the name was looked up
                self._failure = answers.AT_LIMIT, "too many connections to the target"
                break
            error_number = self._connect(address)
            if error_number == 0:
                return
            self._failure = _failure(error_number)
        self.fail(*self._failure)

    def fail(self, answer: Answer, reason: str) -> None:
        """Tell the caller that there is no connection."""
        caller, self.caller = self.caller, None
        if caller is not None:
            caller.not_connected(answer, reason)

    def _connect(self, address: str) -> int:
        """Begin to connect; return 0 or the error number."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError as error:
            return error.errno or errno.EMFILE
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        result = sock.connect_ex((address, self.target.port))
        if result not in (0, errno.EINPROGRESS):
            sock.close()
            return result
        dialer = self._dialer
        dialer.pool.count_up(self.target)
        # Over loopback the handshake is complete by now, though the kernel says EINPROGRESS: asking saves a turn
        # of the loop and two changes of what epoll watches.
        connected = _is_connected(sock)
        interest = READ if connected else WRITE
        self._upstream = Upstream(dialer.loop, sock, interest, self.target, dialer.pool, self)
        if connected:
            self._on_connected()
        elif self._addresses:
            # A silent address must not use up the time of those behind it.
            self._upstream.arm(dialer.connect_timeout_s / (len(self._addresses) + 1))
        return 0

    def on_silence(self) -> None:
        """An address has had its share of the time."""
        self._failed(errno.ETIMEDOUT)

    def _on_connected(self) -> None:
        if self.target.scheme == "https":
            self._begin_tls()
        else:
            self._done()

    def _failed(self, error_number: int) -> None:
        assert self._upstream is not None
        self._upstream.close()
        self._upstream = None
        self._failure = _failure(error_number)
        self._try_next()

    def _begin_tls(self) -> None:
        upstream = self._upstream
        assert upstream is not None
        assert isinstance(upstream.sock, socket.socket)
        again = functools.partial(upstream.loop.again, upstream.fd)
        tls = upstream.sock = wrap_client(self._dialer.tls, upstream.sock, self.target.host, again)
        self._handshake(tls)

    def _handshake(self, tls: TlsSocket) -> None:
        assert self._upstream is not None
        try:
            wanted = tls.handshake()
        except OSError as error:
            self._upstream.close()
            self._upstream = None
            self._failure = _tls_failure(error)
            self._try_next()
            return
        if wanted:
            self._upstream.want(wanted)
        else:
            self._done()

    def _done(self) -> None:
        upstream, caller = self._upstream, self.caller
        assert upstream is not None
        assert caller is not None
        self._upstream = self.caller = None
        upstream.owner = caller
        upstream.deadline = NEVER
        upstream.want(READ)
        caller.connected(upstream)


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _failure(error_number: int) -> tuple[Answer, str]:
    reason = os.strerror(error_number)
    if error_number in (
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.EADDRNOTAVAIL,
        errno.EACCES,
        errno.EPERM,
    ):
        return answers.UNREACHABLE, reason
    if error_number == errno.ETIMEDOUT:
        return answers.CONNECT_TIMEOUT, reason
    if error_number in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
        return answers.AT_LIMIT, reason
    return answers.REFUSED, reason


def _tls_failure(error: OSError) -> tuple[Answer, str]:
    """RFC 9209 §2.3.22 to §2.3.24."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return answers.TLS_CERTIFICATE, error.verify_message
    if isinstance(error, ssl.SSLError):
        alert = "ALERT" in (error.reason or "")
        return (answers.TLS_ALERT if alert else answers.TLS_PROTOCOL), error.reason or "TLS failed"
    return answers.RESET, "closed during the TLS handshake"
