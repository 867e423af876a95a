"""Which fields reach the other side: Host, hop-by-hop fields, what apps are told of the client, CDN-Loop."""

from collections.abc import Callable, Iterator

import pytest

from dataplane.origins import Origin, answering, echo, origin
from dataplane.wire import Message, Wire, request, response
from relay import NewRelay, Relay, start_relay


@pytest.fixture(scope="module")
def app() -> Iterator[Origin]:
    with origin(answering(echo)) as running:
        yield running


@pytest.fixture(scope="module")
def behind_a_balancer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A proxy that believes what 127.0.0.1 says of its clients."""
    running = start_relay(tmp_path_factory.mktemp("relay"), "--trusted-proxies", "127.0.0.1/32")
    yield running
    assert running.stop() == 0


def seen_by(app: Origin, relay: Relay, *fields: str, host: str | None = None, method: str = "GET") -> Message:
    """What the app sees of a request."""
    with Wire(relay.connection()) as wire:
        wire.send(request(host or relay.host(app.target), "/", *fields, method=method))
        assert wire.read_response().status == 200
    return app.requests[-1]


# Requests


def test_fields_pass_in_order_with_their_case_and_bytes(relay: Relay, app: Origin) -> None:
    lines = ("X-One: a", "x-TWO:b", "Cookie: a=1", "X-One: \t c  d ", "Cookie: b=2", "X-Latin: caf\xe9", "X-Empty:")
    seen = seen_by(app, relay, *lines)

    at = seen.head.index(b"X-One: a\r\n")
    passed = seen.head[at:].split(b"\r\n")[: len(lines)]
    assert [line.rstrip() for line in passed] == [line.encode("latin-1").rstrip() for line in lines]


@pytest.mark.parametrize("change", [str, str.upper, lambda host: host + "."])
def test_host_reaches_the_app_as_the_client_sent_it(relay: Relay, app: Origin, change: Callable[[str], str]) -> None:
    host = relay.host(app.target).rpartition(":")[0]
    for sent in (change(host), f"{change(host)}:{relay.port}"):
        assert seen_by(app, relay, host=sent).one(b"host") == sent.encode()


def test_hop_by_hop_fields_stay_here_those_that_connection_names_too(relay: Relay, app: Origin) -> None:
    seen = seen_by(
        app,
        relay,
        *("Connection: keep-alive, X-Private", "connection: ,, x-SECRET ,", "Keep-Alive: timeout=5"),
        *("Proxy-Connection: keep-alive", "Proxy-Authorization: Basic eDp5", "TE: gzip", "Upgrade: websocket"),
        *("HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA", "X-Private: 1", "X-Secret: 2", "X-Public: 3"),
    )

    names = {name for name, _ in seen.fields}
    private = {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"te", b"upgrade"}
    assert not names & (private | {b"http2-settings", b"x-private", b"x-secret"})
    assert seen.one(b"x-public") == b"3"


def test_connection_cannot_take_away_what_the_proxy_says(relay: Relay, app: Origin) -> None:
    named = "Host, X-Forwarded-For, CDN-Loop, Content-Length, close"
    seen = seen_by(app, relay, f"Connection: {named}", method="POST")

    assert seen.one(b"host") is not None
    assert seen.one(b"x-forwarded-for") == b"127.0.0.1"
    assert seen.one(b"cdn-loop") == b"fingerpost"


def test_te_trailers_passes_and_other_codings_do_not(relay: Relay, app: Origin) -> None:
    seen = seen_by(app, relay, "TE: trailers, gzip", "Connection: TE")

    assert (seen.one(b"te"), seen.one(b"connection")) == (b"trailers", b"TE")


# The client, as apps are told


def test_the_app_is_told_who_the_client_is(relay: Relay, app: Origin) -> None:
    host = relay.host(app.target)
    seen = seen_by(app, relay)

    assert seen.one(b"x-forwarded-for") == b"127.0.0.1"
    assert seen.one(b"x-forwarded-proto") == b"http"
    assert seen.one(b"x-forwarded-host") == host.encode()
    assert seen.one(b"x-forwarded-port") == str(relay.port).encode()


CLAIMS = (
    *("X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 5.6.7.8", "X-Forwarded-Proto: https"),
    *("X-Forwarded-Host: evil", "X-Forwarded-Port: 443", "X-Real-IP: 1.2.3.4", "Forwarded: for=1.2.3.4"),
)
IMITATIONS = ("X_Forwarded_For: 1.2.3.4", "X-Forwarded_Host: evil", "x_real_ip: 1.2.3.4", "X-Forwarded-User: root")


def test_what_an_untrusted_client_claims_is_dropped(relay: Relay, app: Origin) -> None:
    seen = seen_by(app, relay, *CLAIMS, *IMITATIONS)

    for value in (b"1.2.3.4", b"5.6.7.8", b"evil", b"root", b"https"):
        assert value not in seen.head
    assert seen.one(b"x-forwarded-for") == b"127.0.0.1"
    assert seen.one(b"x-forwarded-proto") == b"http"


def test_what_a_trusted_proxy_says_is_passed_on_with_its_own_address_added(
    behind_a_balancer: Relay, app: Origin
) -> None:
    seen = seen_by(app, behind_a_balancer, *CLAIMS, *IMITATIONS)

    assert seen.one(b"x-forwarded-for") == b"1.2.3.4, 5.6.7.8, 127.0.0.1"
    assert seen.one(b"x-forwarded-proto") == b"https"
    assert seen.one(b"x-forwarded-host") == b"evil"
    assert seen.one(b"x-forwarded-port") == b"443"
    assert seen.one(b"forwarded") == b"for=1.2.3.4"
    assert seen.one(b"x-real-ip") == b"1.2.3.4"
    assert b"X_Forwarded_For" not in seen.head


def test_a_trusted_proxy_that_says_nothing_is_the_client(behind_a_balancer: Relay, app: Origin) -> None:
    seen = seen_by(app, behind_a_balancer)

    assert seen.one(b"x-forwarded-for") == b"127.0.0.1"
    assert seen.one(b"x-forwarded-proto") == b"http"


def test_one_connection_of_a_balancer_carries_many_clients(behind_a_balancer: Relay, app: Origin) -> None:
    relay = behind_a_balancer
    with Wire(relay.connection()) as wire:
        for number in (1, 2, 2, 3):
            wire.send(request(relay.host(app.target), "/", f"X-Forwarded-For: 10.0.0.{number}"))
            assert wire.read_response().status == 200
            expected = b"10.0.0.%d, 127.0.0.1" % number
            assert app.requests[-1].one(b"x-forwarded-for") == expected


# Loops


def test_the_proxy_adds_itself_to_cdn_loop(relay: Relay, app: Origin) -> None:
    assert seen_by(app, relay).all(b"cdn-loop") == [b"fingerpost"]
    assert seen_by(app, relay, "CDN-Loop: other; v=1", "CDN-Loop: third").all(b"cdn-loop") == [
        b"other; v=1, third, fingerpost"
    ]


@pytest.mark.parametrize(
    "line",
    ["CDN-Loop: fingerpost", "cdn-loop: a, fingerpost", "CDN-Loop: x, ,fingerpost ; host=1", "CDN-Loop:fingerpost,"],
)
def test_a_request_that_was_here_before_gets_508(relay: Relay, app: Origin, line: str) -> None:
    before = len(app.heads)
    with Wire(relay.connection()) as wire:
        wire.send(request(relay.host(app.target), "/", line))
        answer = wire.read_response()

    assert (answer.status, answer.one(b"proxy-status")) == (508, b"fingerpost; error=proxy_loop_detected")
    assert len(app.heads) == before


def test_a_loop_over_a_second_proxy_ends_with_508(relay: Relay, new_relay: NewRelay) -> None:
    """The second one opens the same labels, so the label of its own address leads from one to the other and back."""
    second = new_relay("--key-file", str(relay.directory / "keys"))
    with Wire(relay.connection()) as wire:
        wire.send(request(relay.host(f"127.0.0.1:{second.port}")))
        assert wire.read_response().status == 508


def test_proxies_with_names_of_their_own_may_follow_each_other_but_not_lead_back(
    relay: Relay, app: Origin, new_relay: NewRelay
) -> None:
    second = new_relay("--key-file", str(relay.directory / "keys"), "--cdn-loop-id", "second")
    with Wire(second.connection()) as wire:
        wire.send(request(relay.host(app.target)))
        assert wire.read_response().status == 200
        assert app.requests[-1].one(b"cdn-loop") == b"second"
    with Wire(relay.connection()) as wire:
        wire.send(request(relay.host(f"127.0.0.1:{second.port}")))
        assert wire.read_response().status == 403  # the second one is asked for itself


# Responses


def test_the_apps_fields_pass_in_order_but_for_hop_by_hop_ones(relay: Relay) -> None:
    kept = ("Server: app/1", "Date: Thu, 01 Jan 2026 00:00:00 GMT", "Set-Cookie: a=1", "X-Odd:caf\xe9", "Set-Cookie: b")
    private = (
        *("Connection: X-Private, keep-alive", "X-Private: 1", "Keep-Alive: timeout=5", "Proxy-Connection: close"),
        *("Upgrade: h2c", "TE: x"),
    )
    with origin(answering(response(b"ok", *kept, *private))) as app, Wire(relay.connection()) as wire:
        wire.send(request(relay.host(app.target)))
        answer = wire.read_response()

    lines = answer.head.split(b"\r\n")[1:-2]
    assert lines == [*(line.encode("latin-1") for line in kept), b"Content-Length: 2"]
