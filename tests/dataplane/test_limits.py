"""Limits and time-outs, each with a short setting: what is too much, too slow or too silent, and what it costs."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from child import until
from dataplane import origins
from dataplane.origins import Origin, Talk, answering, echo, origin
from dataplane.procfs import forget_peak, open_files, peak_mib, resident_mib, worker_pid
from dataplane.wire import Message, Wire, request
from relay import DOMAIN, NewRelay, Relay, start_relay

HEAD_BYTES, FIELDS = 4096, 20


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A proxy with little patience for clients."""
    sizes = ("--max-head-bytes", str(HEAD_BYTES), "--max-fields", str(FIELDS))
    times = ("--head-timeout-s", "0.5", "--keepalive-timeout-s", "0.5", "--body-stall-timeout-s", "0.5")
    apps = ("--response-timeout-s", "0.7", "--stream-idle-timeout-s", "0.7", "--pool-idle-timeout-s", "0.5")
    running = start_relay(tmp_path_factory.mktemp("relay"), *sizes, *times, *apps)
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def app() -> Iterator[Origin]:
    with origin(answering(echo)) as running:
        yield running


@pytest.fixture
def wire(relay: Relay) -> Iterator[Wire]:
    with Wire(relay.connection()) as connection:
        yield connection


def refusal(wire: Wire) -> tuple[int, bytes | None]:
    """Status and error of an answer after which the proxy closes."""
    answer = wire.read_response()
    assert answer.one(b"connection") == b"close"
    assert wire.read_rest() == b""
    return answer.status, answer.one(b"proxy-status")


TOO_LARGE = (431, b"fingerpost; error=http_request_error")
TOO_SLOW = (408, b"fingerpost; error=http_request_error")
AT_LIMIT = (503, b"fingerpost; error=connection_limit_reached")


# Heads


def sized_request(host: str, size: int) -> bytes:
    """A request whose head has exactly so many bytes without the empty line."""
    bare = len(request(host, "/", "X: ")) - 4
    return request(host, "/", "X: " + "x" * (size - bare))


def test_a_head_of_just_the_allowed_size_passes_and_one_byte_more_gets_431(relay: Relay, app: Origin) -> None:
    host = relay.host(app.target)
    with Wire(relay.connection()) as wire:
        wire.send(sized_request(host, HEAD_BYTES))
        assert wire.read_response().status == 200
        wire.send(sized_request(host, HEAD_BYTES + 1))
        assert refusal(wire) == TOO_LARGE


def test_a_head_without_an_end_gets_431_as_soon_as_it_is_too_long(relay: Relay, app: Origin, wire: Wire) -> None:
    wire.send(request(relay.host(app.target))[:-2] + b"X: ")
    wire.send(b"x" * HEAD_BYTES)

    assert refusal(wire) == TOO_LARGE


def test_a_request_line_without_an_end_gets_431(relay: Relay, wire: Wire) -> None:
    wire.send(b"GET /" + b"a" * 1_000_000)

    assert refusal(wire) == TOO_LARGE


def test_as_many_fields_as_allowed_pass_and_one_more_gets_431(relay: Relay, app: Origin, wire: Wire) -> None:
    host = relay.host(app.target)
    wire.send(request(host, "/", *["X: y"] * (FIELDS - 1)))
    assert wire.read_response().status == 200
    wire.send(request(host, "/", *["X: y"] * FIELDS))
    assert refusal(wire) == TOO_LARGE


@pytest.mark.parametrize("sent", [b"G", b"GET / HTTP/1.1\r\nHost: x", b"GET / HTTP/1.1\r\nHost: x\r\n\r"])
def test_silence_in_the_middle_of_a_head_gets_408(wire: Wire, sent: bytes) -> None:
    wire.send(sent)

    assert refusal(wire) == TOO_SLOW


def test_a_head_that_comes_slowly_gets_408_though_it_never_pauses_for_long(relay: Relay, app: Origin) -> None:
    seen = len(app.heads)
    with Wire(relay.connection()) as wire:
        wire.sock.settimeout(0.05)
        for byte in request(relay.host(app.target)):
            wire.send(bytes([byte]))
            try:
                wire.sock.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                continue
            break
        wire.sock.settimeout(5)
        assert refusal(wire) == TOO_SLOW
    assert len(app.heads) == seen


def test_silence_in_the_middle_of_a_second_head_gets_408(relay: Relay, app: Origin, wire: Wire) -> None:
    data = request(relay.host(app.target))
    wire.send(data + data[:20])
    assert wire.read_response().status == 200

    assert refusal(wire) == TOO_SLOW


def test_a_connection_on_which_nothing_is_said_is_closed_without_a_word(wire: Wire) -> None:
    assert wire.read_rest() == b""


def test_an_idle_connection_is_closed_without_a_word(relay: Relay, app: Origin, wire: Wire) -> None:
    wire.send(request(relay.host(app.target)))
    assert wire.read_response().status == 200
    assert wire.read_rest() == b""


def test_a_connection_whose_request_was_refused_stays_open_as_long_as_others(new_relay: NewRelay) -> None:
    """Not as short as an attempt to connect may take."""
    relay = new_relay("--connect-timeout-s", "0.2", "--keepalive-timeout-s", "30")
    for target in ("169.254.169.254:80", f"127.0.0.1:{relay.port}"):
        with Wire(relay.connection()) as wire:
            wire.send(request(relay.host(target)))
            assert wire.read_response().status == 403
            wire.sock.settimeout(0.6)
            with pytest.raises(TimeoutError):
                wire.sock.recv(1)


# Connections


def test_connections_beyond_the_most_in_all_get_503(new_relay: NewRelay, app: Origin) -> None:
    relay = new_relay("--max-connections", "3")
    allowed = [Wire(relay.connection()) for _ in range(3)]
    for wire in allowed:
        wire.send(request(relay.host(app.target)))
        assert wire.read_response().status == 200
    with Wire(relay.connection()) as wire:
        answer = wire.read_response()
        assert (answer.status, answer.one(b"proxy-status")) == AT_LIMIT
        assert answer.one(b"retry-after") == b"5"
        assert answer.one(b"connection") == b"close"
        assert wire.read_rest() == b""
    allowed.pop().sock.close()
    until(lambda: is_served(relay, app), "there is room again")
    for wire in allowed:
        wire.send(request(relay.host(app.target)))
        assert wire.read_response().status == 200
        wire.sock.close()


def test_a_flood_beyond_the_limit_is_one_line_in_the_log(new_relay: NewRelay) -> None:
    relay = new_relay("--max-connections", "1")
    with Wire(relay.connection()), contextlib.ExitStack() as opened:
        for _ in range(100):
            with Wire(opened.enter_context(relay.connection())) as wire:
                assert wire.read_response().status == 503
    relay.child.wait_for_line("new connections get 503: max_connections \\(1\\) is reached")
    assert relay.stderr.count("new connections get 503") == 1


def is_served(relay: Relay, app: Origin, source: str = "127.0.0.1") -> bool:
    """Whether a new connection from ``source`` gets what it asks for."""
    sock = socket.create_connection(("127.0.0.1", relay.port), timeout=10, source_address=(source, 0))
    with Wire(sock) as wire, contextlib.suppress(OSError):
        wire.send(request(relay.host(app.target)))
        return wire.read_response().status == 200
    return False


def test_connections_beyond_the_most_of_one_client_get_503_and_others_do_not(new_relay: NewRelay, app: Origin) -> None:
    relay = new_relay("--max-connections-per-client", "2")
    with Wire(relay.connection()) as one, Wire(relay.connection()) as two:
        for wire in (one, two):
            wire.send(request(relay.host(app.target)))
            assert wire.read_response().status == 200

        assert not is_served(relay, app)
        assert is_served(relay, app, "127.0.0.2")
    until(lambda: is_served(relay, app), "there is room again")


def test_trusted_proxies_have_no_limit_of_their_own(new_relay: NewRelay, app: Origin) -> None:
    relay = new_relay("--max-connections-per-client", "1", "--trusted-proxies", "127.0.0.9/32")
    with contextlib.ExitStack() as opened:
        for _ in range(5):
            sock = socket.create_connection(("127.0.0.1", relay.port), source_address=("127.0.0.9", 0))
            wire = opened.enter_context(Wire(sock))
            wire.send(request(relay.host(app.target)))
            assert wire.read_response().status == 200


def test_requests_beyond_the_most_connections_to_a_target_get_503(new_relay: NewRelay, app: Origin) -> None:
    relay = new_relay("--max-connections-per-target", "2")
    held: list[Talk] = []
    let_go = threading.Event()

    def script(talk: Talk) -> None:
        talk.read_request()
        held.append(talk)
        assert let_go.wait(10)
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        talk.wait_for_the_end()

    with origin(script) as busy, contextlib.ExitStack() as opened:
        wires = [opened.enter_context(Wire(relay.connection())) for _ in range(3)]
        for wire in wires[:2]:
            wire.send(request(relay.host(busy.target)))
        until(lambda: len(held) == 2, "two requests are with the app")

        wires[2].send(request(relay.host(busy.target)) + request(relay.host(app.target)))
        answer = wires[2].read_response()
        assert (answer.status, answer.one(b"proxy-status")) == AT_LIMIT
        assert answer.one(b"retry-after") == b"5"
        assert wires[2].read_response().status == 200
        let_go.set()
        assert [wire.read_response().status for wire in wires[:2]] == [200, 200]
        assert busy.accepted == 2


# Clients that don't read, or go


def test_a_client_that_never_reads_costs_little_and_not_for_long(relay: Relay) -> None:
    pid = worker_pid(relay)
    forget_peak(pid)
    before = resident_mib(pid)
    with origin(origins.sends_without_end) as endless, contextlib.ExitStack() as opened:
        for _ in range(10):
            wire = opened.enter_context(Wire(relay.connection()))
            wire.send(request(relay.host(endless.target)))
            wire.read_head()
        until(lambda: endless.open == 0, "the app's connections are closed", 5.0)
        with pytest.raises(ConnectionResetError):
            wire.read_rest()
    assert peak_mib(pid) - before < 12.0


@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize("when", ["in its head", "in its body", "waiting", "in the response"])
def test_a_client_that_vanishes_costs_its_app_no_connection(relay: Relay, how: str, when: str) -> None:
    script = origins.says_nothing if when == "waiting" else origins.hangs_mid_body
    script = origins.sends_without_end if when == "in the response" else script
    with origin(script) as running:
        data = request(relay.host(running.target), method="POST", body=b"x" * 1000)
        wire = Wire(relay.connection())
        wire.send(data[: {"in its head": 30, "in its body": -500}.get(when, len(data))])
        if when == "in the response":
            wire.read_head()
        elif when != "in its head":
            until(lambda: running.accepted == 1, "the app has been asked")
        if how == "end":
            wire.sock.close()
        else:
            wire.reset()
        until(lambda: running.open == 0, "the app's connection is closed", 3.0)


def test_a_client_that_half_closes_and_waits_is_not_waited_for_longer_than_others(relay: Relay, wire: Wire) -> None:
    with origin(origins.says_nothing) as silent:
        wire.send(request(relay.host(silent.target)))
        wire.say_no_more()
        wire.sock.settimeout(3)
        assert wire.read_response().status == 504


# Nothing is left behind


def misbehave(relay: Relay, app: Origin) -> None:
    """Everything that clients and apps do wrong, once."""
    scripts = [
        *(origins.says_nothing, origins.closes_at_once, origins.closes_after_the_request),
        *(origins.resets_after_the_request, origins.dies_mid_head, origins.hangs_mid_head, origins.drips_its_head),
        *(origins.dies_mid_body, origins.dies_mid_chunk, origins.resets_mid_body, origins.hangs_mid_body),
        *(origins.answers_twice, origins.answers_twice_slowly, origins.reads_nothing),
        *(origins.refuses_the_body, origins.saying(b"garbage\r\n\r\n"), answering(echo)),
    ]
    for script in scripts:
        with origin(script) as running:
            host = relay.host(running.target)
            whole = request(host, method="PUT", body=b"x" * 100_000)
            for data in (request(host), whole, whole[:-1], request(host) * 10):
                swallow(relay, data)
    for data in (b"G", b"garbage\r\n\r\n", b"", request(f"nowhere.{DOMAIN}"), request(relay.host("127.0.0.1:9"))):
        swallow(relay, data)
    for target in ("nowhere.invalid:1", "169.254.169.254:80", f"127.0.0.1:{relay.port}", "localhost:9"):
        swallow(relay, request(relay.host(target)))


def swallow(relay: Relay, data: bytes) -> None:
    """Four clients: one reads the answer, one half-closes, one closes and one resets without waiting for it."""
    wires = [Wire(relay.connection()) for _ in range(4)]
    with contextlib.suppress(OSError):
        for wire in wires:
            wire.send(data)
        wires[1].say_no_more()
        wires[2].sock.close()
        wires[3].reset()
        for wire in wires[:2]:
            wire.sock.settimeout(0.02)
            with contextlib.suppress(TimeoutError):
                wire.read_rest()
    for wire in wires:
        wire.sock.close()


def test_no_descriptor_is_left_behind(relay: Relay, app: Origin) -> None:
    pid = worker_pid(relay)
    misbehave(relay, app)  # once for what stays: resolver threads, pipes
    until(lambda: open_files(pid) < 60, "the first round is over")
    settled = settle(pid)
    misbehave(relay, app)

    until(lambda: open_files(pid) <= settled, f"as many descriptors as before ({settled})", 15.0)
    assert answer(relay, app).status == 200
    assert "Traceback" not in relay.stderr


def settle(pid: int) -> int:
    """How few descriptors it comes to."""
    seen = [open_files(pid)]
    with contextlib.suppress(AssertionError):
        while True:
            until(lambda: open_files(pid) < seen[-1], "fewer", 2.5)
            seen.append(open_files(pid))
    return seen[-1]


def answer(relay: Relay, app: Origin) -> Message:
    with Wire(relay.connection()) as wire:
        wire.send(request(relay.host(app.target)))
        return wire.read_response()
