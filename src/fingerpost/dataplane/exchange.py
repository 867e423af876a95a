"""One request and its response, between one downstream and one upstream connection.

It reads as the story goes: begin → connected → request body → response head → response body → finish. Every way
in which it can go wrong ends in `fail` (nothing has been answered yet: say what it is) or `abort` (the response has
begun: cut it off, so that nobody takes it for complete).
"""

from typing import TYPE_CHECKING

from fingerpost.dataplane.access_log import Subject
from fingerpost.dataplane.bulk import Bulk
from fingerpost.dataplane.connection import READ_SIZE
from fingerpost.dataplane.loop import READ, WRITE
from fingerpost.dataplane.splice import FULL_READS_TO_START
from fingerpost.dataplane.tunnel import Tunnel
from fingerpost.dataplane.upstream import Dial, Upstream
from fingerpost.errors import MessageError
from fingerpost.http1 import answers
from fingerpost.http1.answers import Answer
from fingerpost.http1.framing import (
    ChunkedFraming,
    CloseFraming,
    Framing,
    LengthFraming,
    encode_chunk,
    encode_last_chunk,
)
from fingerpost.http1.grammar import list_items
from fingerpost.http1.head import Fields, find_head_end, parse_response, searched_to
from fingerpost.http1.rewrite import response_head
from fingerpost.routing.model import Route

if TYPE_CHECKING:
    from fingerpost.dataplane.downstream import Downstream
    from fingerpost.dataplane.worker import Worker

_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE"))
"""RFC 9110 §9.2.2: what may be sent twice."""

_HALF_CLOSED_GRACE_S = 30.0
"""A client that has said its last word may be waiting or gone; the app gets this long to say its next."""

_WHOLE = LengthFraming(0)
"""The framing of a response that has been passed on whole."""


class Exchange:
    """See the module.

    Attributes:
        request_framing: The request body that is still coming, or None.
        response_framing: The response body that is coming, or None until the final head is here.
        first: The request as it went upstream at first: head and what was there of the body. Kept while it may
            have to be sent again.
        switching: The protocols offered for a switch, or empty.
    """

    __slots__ = (
        "bulk",
        "bytes_in",
        "bytes_out",
        "chunked_out",
        "dial",
        "downstream",
        "first",
        "first_byte_at",
        "full_reads",
        "head_partial",
        "host",
        "http10",
        "keep_alive",
        "method",
        "path",
        "request_framing",
        "response_framing",
        "reused",
        "route",
        "started_at",
        "status",
        "switching",
        "upstream",
        "upstream_reusable",
        "worker",
    )

    started_at: float
    worker: "Worker"

    def __init__(
        self,
        downstream: "Downstream",
        route: Route,
        method: bytes,
        path: bytes,
        host: bytes,
        *,
        http10: bool,
        keep_alive: bool,
        switching: bytes,
    ) -> None:
        self.downstream = downstream
        self.worker = downstream.worker
        self.route = route
        self.method = method
        self.path = path
        self.host = host
        self.http10 = http10
        self.keep_alive = keep_alive
        self.switching = switching
        self.started_at = self.worker.loop.now
        self.first_byte_at: float | None = None
        self.bytes_in = self.bytes_out = self.status = 0
        self.reused = False
        self.first = b""
        self.dial: Dial | None = None
        self.upstream: Upstream | None = None
        self.request_framing: Framing | None = None
        self.response_framing: Framing | None = None
        self.head_partial = b""
        self.chunked_out = False
        self.upstream_reusable = False
        self.bulk: Bulk | None = None
        self.full_reads = 0

    # --- the request ------------------------------------------------------------------------------------------

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
                self.fail(answers.BAD_REQUEST, error.reason)
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
            downstream.arm(self.worker.settings.body_stall_timeout_s)
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
        try:
            body = self._take_request_body(data)
        except MessageError as error:
            self.fail(answers.BAD_REQUEST, error.reason)
            return
        settings = self.worker.settings
        if body and not self._send_upstream(body):
            downstream.pause_reading()
        if not framing.done:
            downstream.arm(settings.body_stall_timeout_s)
        elif self.response_framing is None:
            downstream.arm(settings.response_timeout_s)

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

    # --- the response -----------------------------------------------------------------------------------------

    def on_upstream_event(self, event: int) -> None:
        """Epoll's events on the upstream connection."""
        upstream = self.upstream
        assert upstream is not None
        if event & WRITE and self._flush_upstream(upstream) and self.request_framing is not None:
            self.downstream.resume_reading()
        if event == WRITE:
            return
        if not upstream.interest & READ:
            if event & ~(READ | WRITE):
                upstream.park()  # reset while the client is slow: what it said before waits for its turn
            return
        if self.bulk is not None:
            self._move_bulk(self.bulk)
            return
        try:
            data = upstream.receive()
        except OSError:
            self._upstream_gone()
            return
        if data:
            if self.response_framing is None:
                self._read_response_head(data)
            else:
                self._relay_response_body(data)
        elif data is not None:
            self._on_response_end()

    def _flush_upstream(self, upstream: Upstream) -> bool:
        try:
            return upstream.flush()
        except OSError:
            upstream.unsent = b""
            upstream.want(READ)
            return False

    def on_downstream_flushed(self) -> None:
        """The client has taken what waited for it: read from the app again, or finish."""
        framing = self.response_framing
        if framing is not None and framing.done:
            self.finish("done")
        elif self.upstream is not None:
            self.upstream.resume_reading()

    def _read_response_head(self, data: bytes) -> None:
        if self.first_byte_at is None:
            self.first_byte_at = self.worker.loop.now
            self.first = b""
        settings = self.worker.settings
        searched = 0
        if self.head_partial:
            searched = searched_to(self.head_partial)
            data = self.head_partial + data
            self.head_partial = b""
        try:
            while data:
                end = find_head_end(data, searched, settings.max_head_bytes)
                if end < 0:
                    self.head_partial = data
                    return
                parsed = parse_response(data[:end], settings.max_fields)
                data = data[end + 4 :]
                searched = 0
                if parsed[0] >= 200:
                    self._begin_response(*parsed, data)
                    return
                if not self._pass_interim(*parsed, data):
                    return
        except MessageError as error:
            self.fail(answers.NONSENSE, f"the app's response: {error.reason}")

    def _pass_interim(self, status: int, line: bytes, _http10: bool, fields: Fields, rest: bytes) -> bool:
        """Pass on a 1xx (RFC 9110 §15.2). Returns whether the exchange goes on."""
        if status == 101:
            self._switch(line, fields, rest)
            return False
        if not self.http10 and not self._send_downstream(response_head(line, fields, b"", b"")):
            return self.upstream is not None
        return True

    def _begin_response(self, status: int, line: bytes, app_http10: bool, fields: Fields, rest: bytes) -> None:
        """Pass on a final response head, with what has come of its body (RFC 9112 §6.3)."""
        self.status = status
        self.upstream_reusable = not fields.close and (not app_http10 or fields.keep_alive)
        if self.request_framing is not None or self.worker.draining:
            self.keep_alive = False  # an early response: what is left of the request would be read as the next one
        length = fields.content_length
        bodiless = self.method == b"HEAD" or status in (204, 304)
        if length == len(rest) and length and not bodiless:
            # The usual small answer came in one piece, and goes out in one.
            self.response_framing = _WHOLE
            self._release_upstream(b"")
            head = response_head(line, fields, b"Content-Length: %d\r\n" % length, self._connection_option())
            if self._send_downstream(head + rest):
                self.finish("done")
            return
        framing: Framing
        framing_line = b""
        if fields.chunked:
            self.chunked_out = not self.http10
            framing = ChunkedFraming(self.worker.settings.max_head_bytes, self.worker.settings.max_fields)
            if self.chunked_out:
                framing_line = b"Transfer-Encoding: chunked\r\n"
            elif not bodiless:
                self.keep_alive = False
        elif length is not None:
            framing = LengthFraming(length)
            framing_line = b"Content-Length: %d\r\n" % length
        else:
            framing = CloseFraming()
            if not bodiless:
                self.keep_alive = False
        if bodiless:
            framing = LengthFraming(0)
            self.chunked_out = False
            if status == 204:
                framing_line = b""  # RFC 9110 §8.6, RFC 9112 §6.1: neither field belongs in a 204
        self.response_framing = framing
        self._relay_response_body(rest, response_head(line, fields, framing_line, self._connection_option()))

    def _connection_option(self) -> bytes:
        if not self.keep_alive:
            return b"close"
        return b"keep-alive" if self.http10 else b""

    def _relay_response_body(self, data: bytes, head: bytes = b"") -> None:
        """Pass on a piece of the response, behind ``head`` if that hasn't gone yet."""
        framing = self.response_framing
        assert framing is not None
        try:
            body = framing.decode(data)
            if self.chunked_out and isinstance(framing, ChunkedFraming):
                if body:
                    body = encode_chunk(body)
                if framing.done:
                    body += encode_last_chunk(framing.trailers)
        except MessageError as error:
            if head:
                self.response_framing = None  # nothing of it has gone out yet
            self.fail(answers.NONSENSE, f"the app's response: {error.reason}")
            return
        if head:
            body = head + body
        if framing.done:
            self._release_upstream(framing.surplus)
        if not body or self._send_downstream(body):
            if framing.done:
                self.finish("done")
                return
            self.downstream.arm(self.worker.settings.stream_idle_timeout_s)
            self.full_reads = self.full_reads + 1 if len(data) == READ_SIZE else 0
            if self.full_reads >= FULL_READS_TO_START and self.upstream is not None:
                self.full_reads = 0
                self.bulk = Bulk.begin(self.upstream, self.downstream, framing)

    def _move_bulk(self, bulk: Bulk) -> None:
        """The app has sent more of a body that goes by splice."""
        framing = self.response_framing
        assert framing is not None
        try:
            size = bulk.on_readable()
        except OSError:
            self.abort("reset in the middle of a body")
            return
        if size is None:
            return
        if size == 0:
            self._on_response_end()
            return
        self.bytes_out += size
        if framing.done:
            self._release_upstream(b"")
        if bulk.holds:
            self.downstream.arm(self.worker.settings.body_stall_timeout_s)
        else:
            self._after_bulk(bulk, framing)

    def on_bulk_writable(self, bulk: Bulk) -> None:
        """The client has room again. Raises OSError if it is gone."""
        framing = self.response_framing
        assert framing is not None
        downstream = self.downstream
        if not bulk.on_writable():
            downstream.arm(self.worker.settings.body_stall_timeout_s)
            return
        downstream.want(downstream.interest & ~WRITE)
        if self.upstream is not None:
            self.upstream.resume_reading()
        self._after_bulk(bulk, framing)

    def _after_bulk(self, bulk: Bulk, framing: Framing) -> None:
        """Everything that came has gone."""
        if framing.done:
            self.finish("done")
            return
        self.downstream.arm(self.worker.settings.stream_idle_timeout_s)
        if bulk.is_over:
            self._end_bulk()

    def _send_downstream(self, data: bytes) -> bool:
        """Send to the client. Returns False if it can't take all of it now, or is gone."""
        downstream = self.downstream
        self.bytes_out += len(data)
        try:
            if downstream.send(data):
                return True
        except OSError:
            self.abort("the client is gone")
            return False
        downstream.arm(self.worker.settings.body_stall_timeout_s)
        if self.upstream is not None:
            self.upstream.pause_reading()
        return False

    def _on_response_end(self) -> None:
        """The app closed its side."""
        framing = self.response_framing
        if isinstance(framing, CloseFraming):
            framing.done = True
            self._release_upstream(b"closed")
            if not self.downstream.unsent:
                self.finish("done")
        else:
            self._upstream_gone()

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
        Tunnel(self, downstream, upstream).begin(to_client, self.first + downstream.buffered)

    # --- the end ----------------------------------------------------------------------------------------------

    def _release_upstream(self, surplus: bytes) -> None:
        """The response is complete: keep the connection if nothing on it is doubtful."""
        upstream = self.upstream
        if upstream is None:
            return
        self.upstream = None
        if self.upstream_reusable and not surplus and self.request_framing is None and not upstream.unsent:
            if upstream.interest != READ:
                upstream.want(READ)
            self.worker.pool.put(upstream)
        else:
            upstream.close()

    def finish(self, reason: str) -> None:
        """The response has gone out whole."""
        self._end_bulk()
        self._log(reason)
        self.downstream.on_exchange_done(keep=self.keep_alive and self.request_framing is None)

    def fail(self, answer: Answer, reason: str) -> None:
        """Nothing has been answered: answer with what went wrong. Otherwise the same as `abort`."""
        if self.response_framing is not None:
            self.abort(reason)
            return
        self._drop_upstream()
        self.status = answer.status
        keep = self.keep_alive and self.request_framing is None and answer.status != 400 and not self.http10
        self.bytes_out += self.downstream.send_answer(answer, close=not keep, head_only=self.method == b"HEAD")
        self._log(reason)
        self.downstream.on_exchange_done(keep=keep)

    def abort(self, reason: str) -> None:
        """The response can't be completed: close without an end, so that the client sees that it is cut off."""
        self._drop_upstream()
        self._end_bulk()
        self._log(reason)
        self.downstream.cut()

    def on_deadline(self) -> None:
        """The downstream's deadline, which is the exchange's while one runs."""
        if self.response_framing is not None:
            self.abort("the client stopped reading" if self.downstream.unsent else "the app fell silent")
        elif self.upstream is None:
            self.fail(answers.CONNECT_TIMEOUT, "no connection in time")
        elif self.request_framing is None:
            self.fail(answers.RESPONSE_TIMEOUT, "no response in time")
        elif self.upstream.unsent:
            self.fail(answers.WRITE_TIMEOUT, "the app stopped reading the request")
        else:
            self.fail(answers.HEAD_TOO_SLOW, "the client stopped sending the request")

    def on_bug(self) -> None:
        """A handler raised: this exchange and its two connections are closed."""
        self.abort("internal error")

    def _end_bulk(self) -> None:
        """Give the pipe back, once: given back twice, it would carry two bodies."""
        bulk, self.bulk = self.bulk, None
        if bulk is not None:
            bulk.end()

    def _drop_upstream(self) -> None:
        if self.dial is not None:
            self.dial.cancel()
            self.dial = None
        if self.upstream is not None:
            self.upstream.close()
            self.upstream = None

    def subject(self) -> Subject:
        """What the access log says of the request."""
        downstream = self.downstream
        age = self.worker.loop.now - self.started_at
        return Subject(
            self.worker.wall_clock() - age,
            downstream.client_text,
            self.host,
            self.route.kind,
            str(self.route.target),
            self.method,
            self.path.partition(b"?")[0],
        )

    def _log(self, reason: str) -> None:
        worker = self.worker
        worker.counters.exchanges += 1
        if worker.access_log is not None:
            started = self.started_at
            worker.access_log.write(
                self.subject(),
                status=self.status,
                bytes_in=self.bytes_in,
                bytes_out=self.bytes_out,
                first_byte_s=None if self.first_byte_at is None else self.first_byte_at - started,
                duration_s=worker.loop.now - started,
                reused=self.reused,
                reason=reason,
            )
