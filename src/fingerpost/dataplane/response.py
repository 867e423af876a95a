"""The second half of an exchange: the response, from the app's first byte to the client's last."""

from fingerpost.dataplane.bulk import Bulk
from fingerpost.dataplane.loop import READ, WRITE
from fingerpost.dataplane.outcome import Outcome
from fingerpost.dataplane.splice import LARGE_BYTES, LARGE_READS_TO_START
from fingerpost.dataplane.upstream import Upstream
from fingerpost.errors import MessageError
from fingerpost.http1 import answers
from fingerpost.http1.framing import (
    ChunkedFraming,
    CloseFraming,
    Framing,
    LengthFraming,
    encode_chunk,
    encode_last_chunk,
)
from fingerpost.http1.grammar import CRLF
from fingerpost.http1.head import Fields, find_head_end, parse_response, searched_to
from fingerpost.http1.rewrite import response_head

_WHOLE = LengthFraming(0)
"""The framing of a response that has been passed on whole."""


class ResponseHalf(Outcome):
    """Head → body → end. What needs the first half (a retry, a switch of protocols) is `Exchange`'s."""

    __slots__ = ()

    def _upstream_gone(self) -> None:
        raise NotImplementedError

    def _switch(self, line: bytes, fields: Fields, rest: bytes) -> None:
        raise NotImplementedError

    def on_upstream_event(self, event: int) -> None:
        """Epoll's events on the upstream connection."""
        upstream = self.upstream
        assert upstream is not None
        if event & WRITE:
            self._flush_upstream(upstream)
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

    def _flush_upstream(self, upstream: Upstream) -> None:
        """The app reads on: so does what feeds it, and the time begins anew."""
        settings = self.worker.settings
        try:
            flushed = upstream.flush()
        except OSError:
            upstream.unsent = b""
            upstream.want(READ)
            return
        if flushed and self.request_framing is not None:
            self.downstream.resume_reading()
        if self.response_framing is None:
            whole = flushed and self.request_framing is None
            self.downstream.arm(settings.response_timeout_s if whole else settings.body_stall_timeout_s)

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
                    if data[:7] != b"HTTP/1."[: len(data)]:
                        raise MessageError(502, "it does not begin as HTTP does")  # waiting for more would be in vain
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
        if status == 100 and self.awaiting_continue:
            self.awaiting_continue = False
            self.downstream.arm(self.worker.settings.body_stall_timeout_s)  # the client's turn
        return True

    def _begin_response(self, status: int, line: bytes, app_http10: bool, fields: Fields, rest: bytes) -> None:
        """Pass on a final response head, with what has come of its body (RFC 9112 §6.3)."""
        self.status = status
        self.upstream_reusable = not fields.close and (not app_http10 or fields.keep_alive)
        if self.request_framing is not None or self.worker.closing:
            self.keep_alive = False  # an early response: what is left of the request would be read as the next one
        length = fields.content_length
        bodiless = self.method == b"HEAD" or status in (204, 304)
        if length == len(rest) and length and not bodiless and status != 426:
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
        connection = self._connection_option()
        if status == 426 and fields.upgrade:
            # RFC 9110 §15.5.22: it must say which protocol it wants, though Upgrade is a matter of one hop.
            framing_line += b"Upgrade: " + fields.upgrade + CRLF
            connection = connection + b", upgrade" if connection else b"upgrade"
        self._relay_response_body(rest, response_head(line, fields, framing_line, connection))

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
            self.large_reads = self.large_reads + 1 if len(data) >= LARGE_BYTES else 0
            if self.large_reads >= LARGE_READS_TO_START and self.upstream is not None:
                self.large_reads = 0
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
            self._end_bulk()  # readable, and yet nothing to splice: an urgent byte is in the way; recv steps over it
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
