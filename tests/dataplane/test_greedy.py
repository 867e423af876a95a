"""Clients and apps that take more than their share, or hold the loop by odd means: bounded memory, no spinning."""

import errno
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from child import until
from fingerpost.dataplane.connection import READ_SIZE
from fingerpost.dataplane.loop import Loop
from fingerpost.dataplane.resolver import Resolver
from fingerpost.dataplane.tls import client_context
from fingerpost.dataplane.upstream import Dialer, Pool, Upstream
from fingerpost.http1 import answers
from fingerpost.http1.answers import Answer
from fingerpost.routing.model import Target
from fingerpost.routing.policy import Policy
from relay import NewRelay, Relay

from .origins import Talk, answering, origin, says_nothing
from .running import run_until
from .tunnels import App, memory_kib, pipes, receive_bulk, send_bulk, tunnel, worker_pid
from .wire import Wire, request, response


def pass_time(seconds: float) -> None:
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, "time to pass", seconds + 5)


def cpu_s(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def cpu_share(pid: int, window_s: float = 1.0) -> float:
    """How much of a CPU a process uses, over a window."""
    begun = cpu_s(pid)
    pass_time(window_s)
    return (cpu_s(pid) - begun) / window_s


def pour(sock: socket.socket, data: bytes, most: int) -> int:
    """Send ``data`` over and over until nothing more is taken for half a second, or ``most`` bytes are."""
    sock.settimeout(0.5)
    sent = 0
    try:
        while sent < most:
            sent += sock.send(data)
    except TimeoutError:
        pass
    return sent


def test_who_pipelines_what_we_refuse_and_never_reads_is_read_no_further(new_relay: NewRelay) -> None:
    relay = new_relay("--body-stall-timeout-s", "60")
    pid = worker_pid(relay)
    before = memory_kib(pid)
    with relay.connection() as sock:
        sent = pour(sock, request("no.localhost") * 1000, 64_000_000)
        assert sent < 64_000_000
        until(lambda: cpu_share(pid, 0.3) < 0.2, "the worker to rest")  # the access log is still written
        assert memory_kib(pid) - before < 8 * 1024


def test_who_pipelines_faster_than_it_is_answered_holds_one_read_at_most(relay: Relay) -> None:
    def script(talk: Talk) -> None:
        while True:
            talk.read_request()
            talk.send(response(b"x" * 100))

    pid = worker_pid(relay)
    with origin(script) as app, relay.connection() as sock:
        one = request(relay.host(app.target))
        before = memory_kib(pid)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        pour(sock, one * 500, 20_000_000)
        until(lambda: cpu_share(pid, 0.3) < 0.2, "the worker to rest")
        assert memory_kib(pid) - before < 8 * 1024 + 4 * READ_SIZE // 1024


def test_a_late_reader_that_said_its_last_word_gets_every_answer(relay: Relay) -> None:
    with relay.connection() as sock, Wire(sock) as wire:
        count = 0
        sock.settimeout(0.5)
        piece = request("no.localhost") * 100
        try:
            while count < 30_000:
                sock.sendall(piece)
                count += 100
        except TimeoutError:
            pytest.fail("the kernel should hold this much")
        wire.say_no_more()
        sock.settimeout(10.0)
        statuses = [wire.read_response().status for _ in range(count)]
        assert set(statuses) == {404}
        assert wire.read_rest() == b""


@pytest.mark.parametrize("towards", ["app", "client"])
def test_an_urgent_byte_in_bulk_neither_spins_nor_blocks(relay: Relay, towards: str) -> None:
    pid = worker_pid(relay)
    with App() as app, tunnel(relay, app) as (client, served):
        source, sink = (client, served) if towards == "app" else (served, client)
        size = 32_000_000
        digest = _in_step(source, sink, size)
        assert digest
        assert pipes(pid) > 0
        source.send(b"!", socket.MSG_OOB)
        source.sendall(b"behind" * 50)
        sink.settimeout(10.0)
        received = b""
        while len(received) < 300:
            received += sink.recv(4096)
        assert received.replace(b"!", b"") == b"behind" * 50
        assert cpu_share(pid) < 0.2


def _in_step(source: socket.socket, sink: socket.socket, size: int) -> bool:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send_bulk, source, size)
        return receive_bulk(sink, size) == sent.result(30)


@pytest.fixture
def hasty(new_relay: NewRelay) -> Relay:
    return new_relay("--body-stall-timeout-s", "0.7", "--response-timeout-s", "2.5")


def test_an_app_that_is_silent_on_an_expectation_is_what_is_slow(hasty: Relay) -> None:
    with origin(says_nothing) as app, hasty.connection() as sock, Wire(sock) as wire:
        wire.send(request(hasty.host(app.target), "/", "Expect: 100-continue", "Content-Length: 4", method="PUT"))
        assert wire.read_response().status == 504


def test_a_late_100_gives_the_client_its_whole_time(hasty: Relay) -> None:
    def script(talk: Talk) -> None:
        head = talk.read_head()
        talk.sock.settimeout(1.5)
        with pytest.raises(TimeoutError):
            talk.sock.recv(1)  # longer than a body may stall
        talk.sock.settimeout(10)
        talk.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        talk.send(response(talk.read_request_body(head).body))
        talk.wait_for_the_end()

    with origin(script) as app, hasty.connection() as sock, Wire(sock) as wire:
        wire.send(request(hasty.host(app.target), "/", "Expect: 100-continue", "Content-Length: 4", method="PUT"))
        assert wire.read_response().status == 100
        wire.send(b"body")
        assert wire.read_response().body == b"body"


def test_a_slow_upload_that_was_answered_early_can_end_and_read_the_answer(relay: Relay) -> None:
    def script(talk: Talk) -> None:
        talk.read_head()
        talk.send(response(b"too large", "Connection: close", status="413 Content Too Large"))
        talk.wait_for_the_end()

    with origin(script) as app, relay.connection() as sock, Wire(sock) as wire:
        wire.send(request(relay.host(app.target), "/", "Content-Length: 100000000", method="POST"))
        end = time.monotonic() + 3.5  # longer than a silent client would be given
        while time.monotonic() < end:
            sock.sendall(b"x" * 10_000)
            pass_time(0.02)
        assert wire.read_response().status == 413


def test_an_idle_connection_does_not_keep_a_large_head(relay: Relay) -> None:
    pid = worker_pid(relay)
    with origin(answering(response())) as app:
        host = relay.host(app.target)
        wires = [Wire(relay.connection()) for _ in range(200)]
        before = memory_kib(pid)
        for wire in wires:
            wire.send(request(host, "/", "X-Large: " + "x" * 30_000))
            assert wire.read_response().status == 200
        assert memory_kib(pid) - before < 200 * 20
        for wire in wires:
            wire.sock.close()


@pytest.mark.parametrize("banner", [b"SSH-2.0-x\r\n", b"\0\1\2\r\n", b"HTTP/2 200\r\n", b"x"])
def test_an_app_that_speaks_something_else_is_a_502_at_once(relay: Relay, banner: bytes) -> None:
    def script(talk: Talk) -> None:
        talk.read_head()
        talk.send(banner)
        talk.wait_for_the_end()

    with origin(script) as app, relay.connection() as sock, Wire(sock) as wire:
        begun = time.monotonic()
        wire.send(request(relay.host(app.target)))
        assert wire.read_response().status == 502
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize("first", [b"\r\n", b"\x16\x03\x01", b" ", b"\0"])
def test_what_cannot_become_a_request_is_a_400_at_once(relay: Relay, first: bytes) -> None:
    with relay.connection() as sock, Wire(sock) as wire:
        wire.send(first)
        assert wire.read_response().status == 400


def test_a_body_of_a_byte_now_and_then_is_bounded_in_time(new_relay: NewRelay) -> None:
    relay = new_relay("--body-timeout-s", "1.5")
    with origin(says_nothing) as app, relay.connection() as sock, Wire(sock) as wire:
        wire.send(request(relay.host(app.target), "/", "Content-Length: 100000", method="POST"))
        sock.settimeout(0.1)
        end = time.monotonic() + 10
        answer = b""
        while not answer and time.monotonic() < end:
            sock.send(b"x")
            try:
                answer = sock.recv(4096)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408 ")


# Dialling, with a loop of the test's own: names that lead to several addresses


class Asker:
    def __init__(self) -> None:
        self.upstream: Upstream | None = None
        self.failure: Answer | None = None

    def connected(self, upstream: Upstream) -> None:
        self.upstream = upstream

    def not_connected(self, answer: Answer, reason: str) -> None:
        self.failure = answer

    def on_upstream_event(self, event: int) -> None:
        """Nothing is said here."""

    def on_bug(self) -> None:
        raise AssertionError


@pytest.fixture
def silent() -> Iterator[int]:
    """The port on 127.0.0.2 of a listener whose queue is full: a connect to it is never answered."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.2", 0))
        listening.listen(0)
        waiting = []
        for _ in range(8):
            sock = socket.socket()
            sock.setblocking(False)
            assert sock.connect_ex(listening.getsockname()) in (0, errno.EINPROGRESS)
            waiting.append(sock)
        yield listening.getsockname()[1]
        for sock in waiting:
            sock.close()


def dialer(loop: Loop, look_up: Callable[[str], list[str]], most: int = 10) -> Dialer:
    pool = Pool(loop, 4.0, 10, 10)
    resolver = Resolver(loop, 5.0, look_up)
    return Dialer(loop, pool, Policy(Policy.DEFAULT_ALLOW), resolver, client_context(None), most, 2.0)


def test_a_silent_address_leaves_time_for_the_one_behind_it(silent: int) -> None:
    from fingerpost.dataplane.upstream import Dial

    with socket.create_server(("127.0.0.1", silent)):
        loop, asker = Loop(), Asker()
        Dial(dialer(loop, lambda _: ["127.0.0.2", "127.0.0.1"]), Target("http", "both.test", silent), asker).start()
        run_until(loop, lambda: asker.upstream is not None or asker.failure is not None, 5.0)
        assert asker.upstream is not None
        asker.upstream.close()


def test_the_limit_for_a_target_holds_while_its_name_is_looked_up() -> None:
    from fingerpost.dataplane.upstream import Dial

    with socket.create_server(("127.0.0.1", 0)) as app:
        loop = Loop()
        target = Target("http", "app.test", app.getsockname()[1])
        dials = dialer(loop, lambda _: ["127.0.0.1"], most=2)
        askers = [Asker() for _ in range(6)]
        for asker in askers:
            Dial(dials, target, asker).start()
        run_until(loop, lambda: all(asker.upstream or asker.failure for asker in askers), 5.0)
        assert sum(asker.upstream is not None for asker in askers) == 2
        assert [asker.failure for asker in askers if asker.failure] == [answers.AT_LIMIT] * 4
        for asker in askers:
            if asker.upstream is not None:
                asker.upstream.close()
