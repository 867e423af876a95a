"""What an exchange is made of, and how it ends: whole, failed, or cut off.

Every way in which an exchange can go wrong ends in `fail` (nothing has been answered yet: say what it is) or `abort`
(the response has begun: cut it off, so that nobody takes it for complete).
"""

import logging
from typing import TYPE_CHECKING

from fingerpost.dataplane.access_log import Subject
from fingerpost.dataplane.bulk import Bulk
from fingerpost.dataplane.loop import READ
from fingerpost.dataplane.upstream import Dial, Upstream
from fingerpost.http1 import answers
from fingerpost.http1.answers import Answer
from fingerpost.http1.framing import Framing
from fingerpost.routing.model import Route

if TYPE_CHECKING:
    from fingerpost.dataplane.downstream import Downstream
    from fingerpost.dataplane.worker import Worker

log = logging.getLogger("fingerpost.exchange")


class Outcome:
    """The state of an exchange.

    Attributes:
        route: Where the request goes.
        method: As the client sent it; so are ``path`` (in origin form), ``host`` and ``http10``.
        keep_alive: Whether the client's connection may go on afterwards.
        switching: The protocols offered for a switch, or empty.
        request_framing: The request body that is still coming, or None.
        response_framing: The response body that is coming, or None until the final head is here.
        first: The request as it went upstream at first: head and what was there of the body. Kept while it may
            have to be sent again.
        awaiting_continue: The client waits for the app's 100 before it sends the body.
        started_at: The loop's clock; so is ``first_byte_at``, of the response.
    """

    __slots__ = (
        "awaiting_continue",
        "bulk",
        "bytes_in",
        "bytes_out",
        "chunked_out",
        "dial",
        "downstream",
        "first",
        "first_byte_at",
        "head_partial",
        "host",
        "http10",
        "keep_alive",
        "large_reads",
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
        self.awaiting_continue = False
        self.large_reads = 0

    def finish(self, reason: str) -> None:
        """The response has gone out whole."""
        if self.bulk is not None:
            self._end_bulk()
        self._log(reason)
        self.downstream.on_exchange_done(keep=self.keep_alive and self.request_framing is None)

    def fail(self, answer: Answer, reason: str) -> None:
        """Nothing has been answered: answer with what went wrong. Otherwise the same as `abort`."""
        if self.response_framing is not None:
            self.abort(reason)
            return
        self._drop_upstream()
        log.debug("%s: %d %s", self.downstream.client_text, answer.status, reason)
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

    def on_bug(self) -> None:
        """A handler raised: this exchange and its two connections are closed, with an answer if there was none."""
        self.keep_alive = False
        self.fail(answers.PROXY_BUG, "internal error")

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
