"""https targets: whom the proxy trusts, and that TLS loses neither a byte nor an end."""

import os
import random
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import trustme
from websockets.sync.server import ServerConnection, serve

from dataplane.tunnels import (
    BLOCK,
    DEADLINE_S,
    SWITCHING,
    App,
    fill,
    is_reset,
    memory_kib,
    read_exactly,
    read_head,
    read_response,
    read_to_end,
    receive_bulk,
    request,
    send_bulk,
    upgrade_request,
    worker_pid,
)
from relay import Relay, start_relay

BODY_BYTES = 50_000_000


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[Relay]:
    """A proxy that trusts the test's authority alone."""
    directory = tmp_path_factory.mktemp("relay")
    bundle = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    running = start_relay(directory, "--upstream-ca", str(bundle))
    yield running
    assert running.stop() == 0, running.child.output()


def context_for(authority: trustme.CA, *names: str, tls12: bool = False) -> ssl.SSLContext:
    """A server's context with a certificate for ``names``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    if tls12:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


class TlsApp(App):
    """An `App` whose connections speak TLS; a handshake that fails leaves the socket as it is."""

    def __init__(self, context: ssl.SSLContext, host: str = "127.0.0.1") -> None:
        super().__init__()
        self.context = context
        self.target = f"https://{host}:{self.port}"
        self._pool = ThreadPoolExecutor(1)

    def greet(self) -> ssl.SSLSocket:
        """Accept and shake hands."""
        return self.context.wrap_socket(self.accept(), server_side=True, suppress_ragged_eofs=False)


@pytest.fixture(params=["TLS 1.3", "TLS 1.2"])
def app(request: pytest.FixtureRequest, authority: trustme.CA) -> Iterator[TlsApp]:
    with TlsApp(context_for(authority, "127.0.0.1", tls12=request.param == "TLS 1.2")) as listening:
        yield listening


@pytest.fixture
def connection(relay: Relay, app: TlsApp) -> Iterator[tuple[socket.socket, ssl.SSLSocket]]:
    """A client that has asked for ``/``, and the app's connection on which the request was read."""
    with relay.connection() as client:
        client.sendall(request(relay, app.target))
        with app.greet() as served:
            assert read_head(served).startswith(b"GET / ")
            yield client, served


def attempt(relay: Relay, app: TlsApp) -> tuple[int, bytes]:
    """Ask while the app shakes hands as well as it can: status and head."""
    with relay.connection() as client, ThreadPoolExecutor(1) as pool:
        client.sendall(request(relay, app.target))

        def answer() -> None:
            try:
                with app.greet() as served:
                    read_head(served)
                    served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            except (ssl.SSLError, OSError, AssertionError):
                pass  # the proxy didn't like it; what the client gets says why

        answering = pool.submit(answer)
        status, head, _ = read_response(client)
        answering.result(DEADLINE_S)
    return status, head


# --- whom it trusts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "host"), [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost")])
def test_a_certificate_of_the_authority_for_address_or_name_is_good(
    relay: Relay, authority: trustme.CA, name: str, host: str
) -> None:
    with TlsApp(context_for(authority, name), host) as app:
        assert attempt(relay, app)[0] == 200


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (["127.0.0.2"], "127.0.0.1"),
        (["localhost"], "127.0.0.1"),
        (["127.0.0.1"], "localhost"),
        (["other.example"], "localhost"),
        (["*.localhost"], "localhost"),
    ],
)
def test_a_certificate_for_something_else_is_502(
    relay: Relay, authority: trustme.CA, names: list[str], host: str
) -> None:
    with TlsApp(context_for(authority, *names), host) as app:
        status, head = attempt(relay, app)
        assert status == 502
        assert b"error=tls_certificate_error" in head
        record = relay.wait_for_record(lambda record: record["target"] == app.target)
        assert "mismatch" in record["close_reason"]


def test_a_certificate_of_another_authority_is_502(relay: Relay) -> None:
    with TlsApp(context_for(trustme.CA(), "127.0.0.1")) as app:
        status, head = attempt(relay, app)
    assert status == 502
    assert b"error=tls_certificate_error" in head


def test_without_upstream_ca_the_systems_authorities_decide(
    new_relay: Callable[..., Relay], authority: trustme.CA
) -> None:
    with TlsApp(context_for(authority, "127.0.0.1")) as app:
        status, head = attempt(new_relay(), app)
    assert status == 502
    assert b"error=tls_certificate_error" in head


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"220 hello\r\n"])
def test_a_server_without_tls_is_502(relay: Relay, said: bytes) -> None:
    with App() as app, relay.connection() as client:
        client.sendall(request(relay, f"https://{app.target}"))
        with app.accept() as served:
            assert served.recv(1)[0] == 22  # a ClientHello
            if not said:
                read_exactly(served, 400)
            served.sendall(said)
            with suppress(OSError):  # the proxy may have had enough
                served.shutdown(socket.SHUT_WR)
            status, head, _ = read_response(client)
    assert status == 502
    assert b"error=tls_protocol_error" in head


def test_a_server_that_is_silent_in_the_handshake_is_504(new_relay: Callable[..., Relay]) -> None:
    relay = new_relay("--connect-timeout-s", "0.5")
    with App() as app, relay.connection() as client:
        client.sendall(request(relay, f"https://{app.target}"))
        with app.accept() as served:
            status, head, _ = read_response(client)
            assert read_exactly(served, 1 << 20)  # and it lets go
    assert status == 504
    assert b"error=connection_timeout" in head


# --- bodies -------------------------------------------------------------------------------------------------------


def test_50_megabytes_to_the_app_and_back(
    relay: Relay, app: TlsApp, connection: tuple[socket.socket, ssl.SSLSocket]
) -> None:
    client, served = connection
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY_BYTES
    with ThreadPoolExecutor(1) as pool:
        served.sendall(head)
        sent = pool.submit(send_bulk, served, BODY_BYTES)
        read_head(client)
        assert receive_bulk(client, BODY_BYTES) == sent.result(DEADLINE_S)

        upload = request(relay, app.target, b"PUT")[:-2] + b"Content-Length: %d\r\n\r\n" % BODY_BYTES
        client.sendall(upload)
        sent = pool.submit(send_bulk, client, BODY_BYTES)
        assert read_head(served).startswith(b"PUT ")  # on the same connection
        assert receive_bulk(served, BODY_BYTES) == sent.result(DEADLINE_S)
        served.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")
        assert read_response(client)[::2] == (201, b"ok")


def test_a_response_in_records_of_odd_sizes_is_never_left_lying_in_openssl(
    connection: tuple[socket.socket, ssl.SSLSocket],
) -> None:
    client, served = connection
    sizes = random.Random(9)
    with ThreadPoolExecutor(1) as pool:
        body = BLOCK * 4

        def send_in_odd_records() -> None:
            served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            at = 0
            while at < len(body):
                at += served.send(body[at : at + sizes.randint(1, 16384)])

        sending = pool.submit(send_in_odd_records)
        read_head(client)
        assert read_exactly(client, len(body)) == body
        sending.result(DEADLINE_S)


def test_a_response_that_waits_for_a_slow_client_is_complete_when_it_reads(
    relay: Relay, connection: tuple[socket.socket, ssl.SSLSocket]
) -> None:
    """The last records are decrypted while the client takes nothing: no event tells of them afterwards."""
    client, served = connection
    before = memory_kib(worker_pid(relay))
    with ThreadPoolExecutor(1) as pool:

        def send_in_odd_records() -> int:
            served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            at = 0
            while at < len(body):
                at += served.send(body[at : at + 10_007])
            return at

        body = BLOCK * 40
        sending = pool.submit(send_in_odd_records)
        read_head(client)
        for size in (1000, 2_000_000, 1000, 10_000_000, 1):
            assert len(read_exactly(client, size)) == size
            client.settimeout(0.2)
            assert len(client.recv(1, socket.MSG_PEEK)) == 1
            client.settimeout(DEADLINE_S)
        assert memory_kib(worker_pid(relay)) - before < 4096
        assert len(read_exactly(client, len(body) - 12_002_001)) == len(body) - 12_002_001
        assert sending.result(DEADLINE_S) == len(body)


@pytest.mark.parametrize("size", [65536 - 16384, 65536, 65536 + 1, 131072, 16384, 100_000])
def test_a_response_whose_last_record_comes_with_others_is_complete(
    relay: Relay, connection: tuple[socket.socket, ssl.SSLSocket], size: int
) -> None:
    client, served = connection
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size - 100)
    body = os.urandom(size - 100)
    pid = worker_pid(relay)
    os.kill(pid, signal.SIGSTOP)
    try:
        served.sendall(head)
        for at in range(0, len(body), 7919):
            served.sendall(body[at : at + 7919])
    finally:
        os.kill(pid, signal.SIGCONT)
    assert read_response(client)[::2] == (200, body)


# --- ends ---------------------------------------------------------------------------------------------------------


def test_a_close_delimited_body_ends_with_close_notify(connection: tuple[socket.socket, ssl.SSLSocket]) -> None:
    client, served = connection
    with ThreadPoolExecutor(1) as pool:

        def answer() -> None:
            served.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + BLOCK)
            try:
                served.unwrap()
            except OSError:
                pass  # the proxy closes without a word of its own, or has closed

        answering = pool.submit(answer)
        read_head(client)
        assert read_to_end(client) == BLOCK
        answering.result(DEADLINE_S)


def test_a_close_delimited_body_and_close_notify_that_come_together_are_complete(
    relay: Relay, connection: tuple[socket.socket, ssl.SSLSocket]
) -> None:
    client, served = connection
    served.setblocking(False)  # so that unwrap says its word and doesn't wait for the other's
    pid = worker_pid(relay)
    os.kill(pid, signal.SIGSTOP)
    try:
        served.sendall(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        with pytest.raises(ssl.SSLWantReadError):
            served.unwrap()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert read_to_end(client).endswith(b"\r\n\r\nall of it")


def test_a_close_delimited_body_without_close_notify_is_cut_off_for_the_client_too(
    relay: Relay, app: TlsApp, connection: tuple[socket.socket, ssl.SSLSocket]
) -> None:
    client, served = connection
    served.sendall(b"HTTP/1.1 200 OK\r\n\r\nnot all of it")
    read_head(client)
    assert read_exactly(client, 13) == b"not all of it"
    os.close(served.detach())
    assert is_reset(client)
    record = relay.wait_for_record(lambda record: record["target"] == app.target)
    assert record["close_reason"] == "the app closed in the middle of its response"


@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
def test_a_body_with_an_end_of_its_own_needs_no_close_notify(
    relay: Relay, connection: tuple[socket.socket, ssl.SSLSocket], framing: str
) -> None:
    """Many servers just close; together with the last bytes, too."""
    client, served = connection
    pid = worker_pid(relay)
    os.kill(pid, signal.SIGSTOP)
    try:
        if framing == "chunked":
            served.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n")
        else:
            served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole")
        os.close(served.detach())
    finally:
        os.kill(pid, signal.SIGCONT)
    assert read_head(client).startswith(b"HTTP/1.1 200 ")
    assert b"whole" in read_exactly(client, 15 if framing == "chunked" else 5)
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):  # it is still open for the next request
        client.recv(1)


# --- the pool -----------------------------------------------------------------------------------------------------


def test_a_connection_is_used_again_for_the_next_request(
    relay: Relay, app: TlsApp, connection: tuple[socket.socket, ssl.SSLSocket]
) -> None:
    client, served = connection
    for number in range(20):
        served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n%02d" % number)
        assert read_response(client)[2] == b"%02d" % number
        client.sendall(request(relay, app.target, b"POST"))
        assert read_head(served).startswith(b"POST ")


def test_a_post_is_not_sent_down_an_idle_connection_that_the_app_has_closed(
    relay: Relay, app: TlsApp, connection: tuple[socket.socket, ssl.SSLSocket]
) -> None:
    """The request is there before the news that the app has closed."""
    client, served = connection
    served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    read_response(client)
    pid = worker_pid(relay)
    os.kill(pid, signal.SIGSTOP)
    try:
        client.sendall(request(relay, app.target, b"POST"))
        served.close()
    finally:
        os.kill(pid, signal.SIGCONT)
    with app.greet() as fresh:
        assert read_head(fresh).startswith(b"POST ")
        fresh.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert read_response(client)[0] == 200


# --- tunnels ------------------------------------------------------------------------------------------------------


@pytest.fixture
def tunnel(relay: Relay, app: TlsApp) -> Iterator[tuple[socket.socket, ssl.SSLSocket]]:
    with relay.connection() as client:
        client.sendall(upgrade_request(relay, app.target))
        with app.greet() as served:
            read_head(served)
            served.sendall(SWITCHING % b"echo/1")
            read_head(client)
            yield client, served


def test_a_websocket_to_an_https_target(relay: Relay, authority: trustme.CA) -> None:
    def echo(websocket: ServerConnection) -> None:
        for message in websocket:
            websocket.send(message)

    context = context_for(authority, "127.0.0.1")
    with serve(echo, "127.0.0.1", 0, ssl=context, max_size=None) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever)
        target = f"https://127.0.0.1:{server.socket.getsockname()[1]}"
        with relay.websocket(target, compression=None) as websocket:
            for message in ("one", os.urandom(3_000_000), "x" * 70_000):
                websocket.send(message)
                assert websocket.recv(DEADLINE_S) == message
        server.shutdown()


def test_bulk_both_ways_through_a_tunnel(tunnel: tuple[socket.socket, ssl.SSLSocket]) -> None:
    client, served = tunnel
    with ThreadPoolExecutor(1) as pool:
        for source, sink in ((client, served), (served, client)):
            sent = pool.submit(send_bulk, source, 20_000_000)
            assert receive_bulk(sink, 20_000_000) == sent.result(DEADLINE_S)


def test_a_tunnel_in_records_of_odd_sizes_delivers_the_last_one(
    relay: Relay, tunnel: tuple[socket.socket, ssl.SSLSocket]
) -> None:
    """More than one read's worth is decrypted at once, and then nothing more comes."""
    client, served = tunnel
    pid = worker_pid(relay)
    for size in (65_537, 70_000, 130_000):
        message = os.urandom(size)
        os.kill(pid, signal.SIGSTOP)
        try:
            for at in range(0, size, 10_007):
                served.sendall(message[at : at + 10_007])
        finally:
            os.kill(pid, signal.SIGCONT)
        assert read_exactly(client, size) == message


@pytest.mark.parametrize("direction", ["to the app", "to the client"])
def test_a_reader_that_stops_loses_nothing_when_it_goes_on(
    relay: Relay, tunnel: tuple[socket.socket, ssl.SSLSocket], direction: str
) -> None:
    client, served = tunnel
    source, sink = (client, served) if direction == "to the app" else (served, client)
    before = memory_kib(worker_pid(relay))
    if direction == "to the app":
        taken = fill(source, 100_000_000)
        assert taken < 60_000_000
        assert memory_kib(worker_pid(relay)) - before < 4096
        assert read_exactly(sink, taken) == (BLOCK * (taken // len(BLOCK) + 1))[:taken]
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send_bulk, source, 40_000_000)
        sink.settimeout(0.3)
        first = sink.recv(1)
        sink.settimeout(DEADLINE_S)
        assert first == BLOCK[:1]
        rest = read_exactly(sink, 39_999_999)
        sent.result(DEADLINE_S)
    assert first + rest == (BLOCK * 40)[:40_000_000]


def test_the_apps_end_reaches_the_client(tunnel: tuple[socket.socket, ssl.SSLSocket]) -> None:
    client, served = tunnel
    served.sendall(b"last words")
    served.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        served.unwrap()
    assert read_to_end(client) == b"last words"


def come_round(relay: Relay) -> None:
    """Wait until the worker has finished what it was doing: it has one thread, so an answer means that."""
    with relay.connection() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: nothing.localhost\r\n\r\n")
        assert read_response(client)[0] == 404


def test_the_clients_end_reaches_the_app_whose_later_bytes_still_arrive(
    relay: Relay,
    tunnel: tuple[socket.socket, ssl.SSLSocket],
) -> None:
    client, served = tunnel
    client.sendall(b"last words")
    client.shutdown(socket.SHUT_WR)
    assert read_to_end(served) == b"last words"
    come_round(relay)
    served.sendall(b"answer")
    served.unwrap()
    assert read_to_end(client) == b"answer"


def test_the_clients_end_costs_nothing_that_the_app_was_saying_meanwhile(
    relay: Relay, tunnel: tuple[socket.socket, ssl.SSLSocket]
) -> None:
    client, served = tunnel
    pid = worker_pid(relay)
    os.kill(pid, signal.SIGSTOP)
    try:
        client.shutdown(socket.SHUT_WR)
        served.sendall(BLOCK[:100_000])
    finally:
        os.kill(pid, signal.SIGCONT)
    assert read_to_end(served) == b""
    come_round(relay)
    served.sendall(b"the end")
    served.unwrap()
    assert read_to_end(client) == BLOCK[:100_000] + b"the end"


def test_a_connection_cut_without_close_notify_is_a_reset_for_the_client(
    tunnel: tuple[socket.socket, ssl.SSLSocket],
) -> None:
    client, served = tunnel
    served.sendall(b"not the last words")
    assert read_exactly(client, 18) == b"not the last words"
    os.close(served.detach())
    assert is_reset(client)
