"""One request and its response, between one downstream and one upstream connection.

It reads as the story goes: begin → connected → request body, here; response head → response body in `response`;
finish, fail or abort in `outcome`.
"""

from fingerpost.dataplane.loop import READ
from fingerpost.dataplane.response import ResponseHalf
from fingerpost.dataplane.tunnel import Tunnel
from fingerpost.dataplane.upstream import Dial, Upstream
from fingerpost.errors import MessageError
from fingerpost.http1 import answers
from fingerpost.http1.answers import Answer
from fingerpost.http1.framing import ChunkedFraming, Framing, encode_chunk, encode_last_chunk
from fingerpost.http1.grammar import list_items
from fingerpost.http1.head import Fields
from fingerpost.http1.rewrite import response_head

_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE"))
"""RFC 9110 §9.2.2: what may be sent twice."""

_HALF_CLOSED_GRACE_S = 30.0
"""A client that has said its last word may be waiting or gone; the app gets this long to say its next."""


class Exchange(ResponseHalf):
    """The first half: the request, and the connection that it goes out on. Then a tunnel, if it comes to that."""

    __slots__ = ()

    def begin(self, head: bytes, framing: Framing | None, rest: bytes) -> None:
        """Send the request on its way.

        Args:
            head: As it goes upstream.
            framing: The request body's, or None if there is none.
            rest: What has arrived of it behind the head.
        """
        downstream = self.downstream
        if framing is not None:
            self.request_framing = framing
            try:
                head += self._take_request_body(rest)
            except MessageError as error:
                self.fail(answers.BY_STATUS[error.status], error.reason)
                return
        self.first = head
        upstream = self.worker.pool.take(self.route.target, self)
        while upstream is not None and not upstream.looks_alive():
            upstream.close()
            upstream = self.worker.pool.take(self.route.target, self)
        if upstream is not None:
            self.connected(upstream)
        else:
            if self.request_framing is not None:
                downstream.pause_reading()
            self._dial()

    def _dial(self) -> None:
        self.downstream.arm(self.worker.settings.connect_timeout_s)
        self.dial = Dial(self.worker.dialer, self.route.target, self)
        self.dial.start()

    def connected(self, upstream: Upstream) -> None:
        """The upstream connection is there, from the pool or new: send what there is."""
        self.dial = None
        self.upstream = upstream
        self.reused = upstream.reused
        downstream = self.downstream
        if self.route.target.scheme == "tcp":
            self.bytes_in = 0  # the head is the tunnel's first bytes
            self._become_tunnel(b"")
            return
        all_sent = self._send_upstream(self.first)
        if self.request_framing is None:
            downstream.arm(self.worker.settings.response_timeout_s)
        else:
            settings = self.worker.settings
            downstream.arm(settings.response_timeout_s if self.awaiting_continue else settings.body_stall_timeout_s)
            self.first = b""  # there will be more of it than is kept: it can't be sent again
            if all_sent:
                downstream.resume_reading()

    def not_connected(self, answer: Answer, reason: str) -> None:
        """No connection could be made."""
        self.dial = None
        self.fail(answer, reason)

    def on_request_bytes(self, data: bytes) -> None:
        """The client sent something while the exchange runs."""
        downstream = self.downstream
        framing = self.request_framing
        if framing is None:
            downstream.buffered += data  # the next request, or the first bytes of a tunnel: they wait
            downstream.pause_reading()
            return
        if self.response_framing is not None and self.upstream is None:
            downstream.pause_reading()  # the answer, given early, is on its way out; nobody wants the rest
            return
        self.awaiting_continue = False
        try:
            body = self._take_request_body(data)
        except MessageError as error:
            self.fail(answers.BY_STATUS[error.status], error.reason)
            return
        settings = self.worker.settings
        if body and not self._send_upstream(body):
            downstream.pause_reading()
        if not framing.done and self.worker.loop.now - self.started_at > settings.body_timeout_s:
            self.fail(answers.HEAD_TOO_SLOW, "the request body took too long")
        elif self.response_framing is not None:
            downstream.arm(settings.stream_idle_timeout_s)
        elif framing.done:
            downstream.arm(settings.response_timeout_s)
        else:
            downstream.arm(settings.body_stall_timeout_s)

    def on_request_end(self) -> None:
        """The client closed its side. A whole request still gets its answer: the client may be reading."""
        if self.request_framing is not None:
            self.keep_alive = False
            self.fail(answers.BAD_REQUEST, "the client closed in the middle of its request")
            return
        downstream = self.downstream
        if not downstream.buffered:  # else more requests wait there; behind them the end will be met again
            self.keep_alive = False
        downstream.pause_reading()
        left_s = downstream.deadline - self.worker.loop.now
        downstream.arm(min(_HALF_CLOSED_GRACE_S, left_s))

    def _send_upstream(self, data: bytes) -> bool:
        """Send to the app. Returns False if it can't take all of it now, or takes no more."""
        upstream = self.upstream
        assert upstream is not None
        try:
            return upstream.send(data)
        except OSError:
            # It takes no more, but its answer (a 413, say) may lie in the receive buffer: reading goes on and
            # tells which it is.
            upstream.unsent = b""
            upstream.want(READ)
            return False

    def _take_request_body(self, data: bytes) -> bytes:
        """Decode what arrived of the request body; return it as it goes upstream."""
        framing = self.request_framing
        assert framing is not None
        self.bytes_in += len(data)
        body = framing.decode(data)
        if isinstance(framing, ChunkedFraming):
            body = encode_chunk(body) if body else b""
            if framing.done:
                body += encode_last_chunk(framing.trailers)
        if framing.done:
            self.request_framing = None
            self.downstream.buffered = framing.surplus
            self.bytes_in -= len(framing.surplus)
        return body

    def _upstream_gone(self) -> None:
        """The app closed or reset in the middle. If it can't have seen the request, try once more."""
        if self.response_framing is not None:
            self.abort("the app closed in the middle of its response")
            return
        self._drop_upstream()
        if self.reused and self.first and self.method in _IDEMPOTENT:
            # RFC 9110 §9.2.2: a pooled connection that closed before a single byte came, and a request that may
            # be repeated: once, on a new connection.
            self._dial()
            return
        self.fail(answers.RESET, "the app closed before it answered")

    def _switch(self, line: bytes, fields: Fields, rest: bytes) -> None:
        """101: from here on bytes flow both ways, unread."""
        offered = {item.lower() for item in list_items([self.switching])}
        chosen = {item.lower() for item in list_items([fields.upgrade])}
        if not chosen or not chosen <= offered or self.request_framing is not None:
            self.fail(answers.NONSENSE, "the app switched protocols unasked or too early")
            return
        head = response_head(line, fields, b"Upgrade: " + fields.upgrade + b"\r\n", b"Upgrade")
        self.status = 101
        self._become_tunnel(head + rest)

    def _become_tunnel(self, to_client: bytes) -> None:
        downstream, upstream = self.downstream, self.upstream
        assert upstream is not None
        downstream.exchange = None
        self.upstream = None
        tunnel = Tunnel.of(self, downstream, upstream)
        tunnel.begin(to_client, self.first + downstream.buffered)
        if self.worker.draining:
            self.worker.on_tunnel(tunnel)

    def on_deadline(self) -> None:
        """The downstream's deadline, which is the exchange's while one runs."""
        if self.response_framing is not None:
            self.abort("the client stopped reading" if self.downstream.unsent else "the app fell silent")
        elif self.upstream is None:
            if self.dial is not None and self.dial.resolving:
                self.fail(answers.RESOLVE_TIMEOUT, "no address in time")
            else:
                self.fail(answers.CONNECT_TIMEOUT, "no connection in time")
        elif self.request_framing is None or self.awaiting_continue:
            self.fail(answers.RESPONSE_TIMEOUT, "no response in time")
        elif self.upstream.unsent:
            self.fail(answers.WRITE_TIMEOUT, "the app stopped reading the request")
        else:
            self.fail(answers.HEAD_TOO_SLOW, "the client stopped sending the request")
