"""The client's side: reads heads, routes each request by its own Host, and answers in order.

While an exchange runs it is the exchange's way to the client; between exchanges it waits for the next head, or for
its time to run out. In the end it closes so that the client can still read the last answer (`linger`).
"""

import logging
from typing import TYPE_CHECKING

from fingerpost.dataplane.access_log import Subject
from fingerpost.dataplane.connection import Connection, cut
from fingerpost.dataplane.exchange import Exchange
from fingerpost.dataplane.loop import READ, WRITE
from fingerpost.errors import LabelError, LabelExpiredError, MessageError
from fingerpost.http1 import answers, rewrite
from fingerpost.http1.answers import Answer
from fingerpost.http1.framing import request_framing
from fingerpost.http1.grammar import CRLF
from fingerpost.http1.head import RequestFields, find_head_end, origin_form, parse_request_line, searched_to
from fingerpost.routing.model import Route

if TYPE_CHECKING:
    import socket

    from fingerpost.dataplane.worker import Worker

log = logging.getLogger("fingerpost.downstream")

_LINGER_S = 2.0
"""How long the client may be silent after the last answer before the connection is closed."""

_LINGER_AT_MOST_S = 30.0
"""How long it may go on sending: enough to end an upload that was answered early, and then read the answer."""

_FIRST_HEAD_S = 1.0
"""How long a client that has connected may take to ask when the worker drains."""

_MAX_REMEMBERED_BYTES = 2048
"""What an idle connection keeps of its last request's fields. Longer ones are understood anew each time."""


class Downstream(Connection):
    """One client connection.

    Attributes:
        worker: Everything that connections share.
        address: The client's IP address; ``port`` its port.
        client: What apps are told of it.
        exchange: The one that runs, or None.
        buffered: What has arrived and not been understood yet: part of a head, or requests that wait their turn.
    """

    __slots__ = (
        "_ended",
        "_fields",
        "_fields_block",
        "_lingering",
        "_searched",
        "_serving",
        "_tail",
        "address",
        "buffered",
        "client",
        "exchange",
        "port",
        "worker",
    )

    def __init__(
        self, worker: "Worker", sock: "socket.socket", address: str, port: int, client: rewrite.Client
    ) -> None:
        super().__init__(worker.loop, sock, READ)
        self.worker = worker
        self.address = address
        self.port = port
        self.client = client
        self.exchange: Exchange | None = None
        self.buffered = b""
        self._searched = 0
        self._serving = False
        self._lingering = 0.0  # until when what arrives is thrown away, while the last answer is on its way
        self._ended = False  # the client has said its last byte meanwhile
        # A client sends much the same fields again and again: what the last ones meant.
        self._fields_block = b""
        self._fields: RequestFields | None = None
        self._tail = b""
        self.arm(worker.settings.head_timeout_s)

    @property
    def client_text(self) -> str:
        """``address:port`` for the log."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    # --- events -----------------------------------------------------------------------------------------------

    def on_event(self, event: int) -> None:
        """Epoll's events."""
        try:
            if event & WRITE:
                self._on_writable()
                if event == WRITE or self.fd < 0 or not self.interest & READ:
                    return
            elif event != READ and self.exchange is not None and not self.interest & READ:
                self.exchange.abort("the client is gone")  # reset, or gone both ways
                return
            data = self.receive()
        except OSError:
            if self.exchange is not None:
                self.exchange.abort("the client is gone")
            else:
                self.close()
            return
        if data is None:
            return
        exchange = self.exchange  # not the one from above: that may have ended with what was written
        if self._lingering:
            self._throw_away(data)
        elif exchange is not None:
            if data:
                exchange.on_request_bytes(data)
            else:
                exchange.on_request_end()
        elif data:
            began = bool(self.buffered)
            self.buffered = self.buffered + data if began else data
            self._serve()
            if not began and self.buffered and self.exchange is None and not self._lingering:
                self.arm(self.worker.settings.head_timeout_s)  # for the whole head, however slowly it comes
        else:
            self._on_end()

    def on_deadline(self) -> None:
        """Too slow, or idle for too long."""
        if self.exchange is not None:
            self.exchange.on_deadline()
        elif self.buffered and not self._lingering:
            self._refuse(answers.HEAD_TOO_SLOW, "the head did not come in time")
        else:
            self.close()

    def on_bug(self) -> None:
        """A handler raised."""
        if self.exchange is not None:
            self.exchange.on_bug()
        self.close()

    def _on_writable(self) -> None:
        exchange = self.exchange
        if exchange is not None and exchange.bulk is not None:
            exchange.on_bulk_writable(exchange.bulk)
        elif not self.flush():
            self.arm(self.worker.settings.body_stall_timeout_s)
        elif exchange is not None:
            exchange.on_downstream_flushed()
        elif self._ended:
            self.close()
        elif self._lingering:
            self.shut_write()
        else:
            self._next()

    def _on_end(self) -> None:
        """The client closed between requests, or in the middle of a head."""
        if self.unsent:
            self.pause_reading()  # the end will be met again, behind what still has to be said and served
        elif self.buffered:
            self._refuse(answers.BAD_REQUEST, "the client closed in the middle of a head")
        else:
            self.close()

    # --- requests ---------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Begin every request that is here whole, one after the other: the next when the one before is answered."""
        self._serving = True
        while self.buffered and self.exchange is None and not self.unsent and not self._lingering and self.fd >= 0:
            data = self.buffered
            try:
                end = find_head_end(data, self._searched, self.worker.settings.max_head_bytes)
                if end < 0:
                    if not data[:1].isalpha():  # an empty line, a TLS handshake: waiting for more would be in vain
                        raise MessageError(400, "it does not begin with a method")
                    self._searched = searched_to(data)
                    break
                self.buffered = b""
                self._searched = 0
                self._begin(data, end)
            except MessageError as error:
                self.buffered = data
                self._refuse(answers.BY_STATUS[error.status], error.reason)
        self._serving = False
        if self.unsent and self.exchange is None and not self._lingering:
            self.pause_reading()  # what we said ourselves is not taken: no more is read until it is

    def _begin(self, data: bytes, end: int) -> None:
        """Understand the request at the front of ``data``, whose head ends at ``end``, and send it on its way.

        Raises:
            MessageError: It can't be understood, or must not be relayed.
        """
        line_end = data.find(CRLF)
        method, target, http10 = parse_request_line(data[:line_end])
        block = data[line_end:end]
        if block == self._fields_block and self._fields is not None:
            fields = self._fields
        else:
            fields = self._fields = RequestFields(block, self.worker.settings.max_fields)
            self._fields_block = block if len(block) <= _MAX_REMEMBERED_BYTES else b""
            self._tail = b""
        if method == b"CONNECT":
            refusal = _TurnedAwayError(answers.METHOD_REFUSED, "CONNECT is not relayed", fields.host)
            self._turn_away(refusal, method, b"", end + 4, keep=False)
            return
        path = target if target[0] == 0x2F else origin_form(method, target, fields.host)
        keep_alive = fields.keep_alive and not fields.close if http10 else not fields.close
        switching = b"" if http10 or not fields.upgrade else rewrite.offered_upgrade(fields)
        rest = data[end + 4 :]
        settings = self.worker.settings
        framing = None
        if fields.chunked or fields.content_length:
            framing = request_framing(fields, http10, settings.max_head_bytes, settings.max_fields)
        else:
            self.buffered = rest
        try:
            route = self._route(fields)
        except _TurnedAwayError as refusal:
            self._turn_away(refusal, method, path, end + 4, keep=keep_alive and not http10 and framing is None)
            return
        exchange = self.exchange = Exchange(
            self, route, method, path, fields.host, http10=http10, keep_alive=keep_alive, switching=switching
        )
        exchange.bytes_in = end + 4
        if route.target.scheme == "tcp":
            self.buffered = b""
            exchange.begin(data, None, b"")
            return
        exchange.awaiting_continue = fields.expects_continue and framing is not None and not http10 and not rest
        if http10 or not self._tail:
            self._tail = rewrite.request_tail(fields, self.client, self.worker.cdn_loop_id, switching, http10)
        head = b"%b %b HTTP/1.1\r\n%b" % (method, path, self._tail)
        if http10:
            self._tail = b""
        exchange.begin(head, framing, rest)

    def _route(self, fields: RequestFields) -> Route:
        """Where the request goes.

        Raises:
            _TurnedAwayError: Nowhere.
        """
        worker = self.worker
        host = fields.host
        try:
            route = worker.router.find(host, worker.wall_clock())
        except LabelExpiredError as error:
            raise _TurnedAwayError(answers.EXPIRED, "expired label", host, error.kind, error.target) from None
        except LabelError as error:
            raise _TurnedAwayError(answers.NO_SUCH_LABEL, str(error), host) from None
        except MessageError as error:
            raise _TurnedAwayError(answers.BY_STATUS[error.status], error.reason, host) from None
        if b"cdn-loop" in fields.special and rewrite.loops(fields, worker.cdn_loop_id):
            raise _TurnedAwayError(answers.LOOP, "the request has been here before", host)
        return route

    def _turn_away(self, refusal: "_TurnedAwayError", method: bytes, path: bytes, bytes_in: int, *, keep: bool) -> None:
        """Answer a request that is clear, but goes nowhere; the connection may go on."""
        keep = keep and refusal.answer.status != 400
        size = self.send_answer(refusal.answer, close=not keep, head_only=method == b"HEAD")
        self._log_refusal(refusal, method, path, bytes_in, size)
        if not keep:
            self._linger()
        else:
            self._wait()

    def _refuse(self, answer: Answer, reason: str) -> None:
        """Answer what is no request that could be relayed, and close."""
        bytes_in, self.buffered = len(self.buffered), b""
        size = self.send_answer(answer, close=True, head_only=False)
        self._log_refusal(_TurnedAwayError(answer, reason, b""), b"", b"", bytes_in, size)
        self._linger()

    def _log_refusal(
        self, refusal: "_TurnedAwayError", method: bytes, path: bytes, bytes_in: int, bytes_out: int
    ) -> None:
        worker = self.worker
        worker.counters.refused += 1
        status, reason = refusal.answer.status, refusal.reason
        log.debug("%s: %d %s", self.client_text, status, reason)
        if worker.access_log is not None:
            subject = Subject(
                worker.wall_clock(),
                self.client_text,
                refusal.host,
                refusal.label_kind,
                refusal.target,
                method,
                path.partition(b"?")[0],
            )
            worker.access_log.write(
                subject,
                status=status,
                bytes_in=bytes_in,
                bytes_out=bytes_out,
                first_byte_s=None,
                duration_s=0.0,
                reused=False,
                reason=reason,
            )

    # --- what exchanges say -----------------------------------------------------------------------------------

    def send_answer(self, answer: Answer, *, close: bool, head_only: bool) -> int:
        """Say something of our own; return its size in bytes."""
        accept = self._fields.find(b"accept") if self._fields is not None else b""
        data = answers.render(answer, accept, close=close, head_only=head_only)
        try:
            self.send(data)
        except OSError:
            pass  # gone; the next event says so
        return len(data)

    def on_exchange_done(self, *, keep: bool) -> None:
        """The exchange is over: go on with the next request, or close."""
        self.exchange = None
        if not self._fields_block:
            self._fields = None
            self._tail = b""
        if not keep:
            self._linger()
        elif not self._serving:
            self._next()
        else:
            self._wait()  # over as soon as it began; `_serve` goes on

    def cut(self) -> None:
        """Close at once, so that the client sees that the response is not complete."""
        self.exchange = None
        if self.fd >= 0:
            cut(self.sock)
            self.close()

    def drain(self) -> None:
        """The worker drains: go where the others go, or close if nothing is going on.

        What has come already is served. A client that has only just connected is about to ask, so it may.
        """
        if not self.is_waiting or self.worker.hand_over(self):
            return
        if not self.buffered:
            self.on_event(READ)
        if self.is_waiting and not self.buffered:
            if self._fields is None:
                self.arm(min(_FIRST_HEAD_S, self.deadline - self.loop.now))
            else:
                self._linger()

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for a request, of which a part may be here."""
        return self.fd >= 0 and self.exchange is None and not self._lingering and not self.unsent

    def take_up(self, received: bytes, deadline: float) -> None:
        """Go on with a connection that another worker has had, and with what has come of its next request."""
        self.loop.timers.arm(self, deadline)
        if received:
            self.buffered = received
            self._serve()
        if self.worker.draining:
            self.drain()

    def _leave(self) -> None:
        """Between two requests while the worker drains: go where the others go, or close."""
        if not self.worker.hand_over(self):
            self._linger()

    def _next(self) -> None:
        """Wait for the next request, or serve the one that is already here."""
        if self.worker.draining and not self.buffered:
            self._leave()
            return
        if self.buffered:
            self.arm(self.worker.settings.head_timeout_s)
            self._serve()
            if self.exchange is not None or self._lingering or self.unsent or self.fd < 0:
                return
        # Only now: whole requests that wait must be served before more of them is read, or a client that sends
        # faster than it is answered would be given ever more room.
        if not self.interest & READ:
            self.resume_reading()
        if not self.buffered:
            self.arm(self.worker.settings.keepalive_timeout_s)

    def _wait(self) -> None:
        """Give the next head its time, unless the worker drains and nothing of one is here."""
        settings = self.worker.settings
        if self.worker.draining and not self.buffered:
            self._leave()
        else:
            self.arm(settings.head_timeout_s if self.buffered else settings.keepalive_timeout_s)

    # --- the end ----------------------------------------------------------------------------------------------

    def _linger(self) -> None:
        """Close once the client has seen the end, or after a while.

        A close with unread bytes is a reset, which can destroy the answer before the client reads it (RFC 9112 §9.6).
        So: say that nothing more comes, throw away what arrives, and wait for the client's end.
        """
        if self.fd < 0:
            return
        self._lingering = self.loop.now + _LINGER_AT_MOST_S
        self.buffered = b""
        if not self.unsent:
            self.shut_write()
        self.resume_reading()
        self.arm(_LINGER_S)

    def _throw_away(self, data: bytes) -> None:
        if data:
            self.arm(min(_LINGER_S, self._lingering - self.loop.now))
        elif self.unsent:
            self._ended = True  # it has said all; we haven't
            self.pause_reading()
        else:
            self.close()

    def close(self) -> None:
        """See `Connection.close`."""
        if self.fd >= 0:
            super().close()
            self.worker.client_gone(self.address)


class _TurnedAwayError(Exception):
    """A request that goes nowhere, and what its client gets."""

    def __init__(self, answer: Answer, reason: str, host: bytes, label_kind: str = "", target: str = "") -> None:
        super().__init__(reason)
        self.label_kind = label_kind
        self.target = target
        self.answer = answer
        self.reason = reason
        self.host = host
