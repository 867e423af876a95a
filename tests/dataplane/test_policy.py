"""Where the proxy may connect to: the policy is asked about addresses, for every label and after every look-up."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.origins import Origin, answering, echo, origin
from dataplane.wire import Message, Wire, request
from fingerpost.label.legacy import seal_legacy
from relay import DOMAIN, NewRelay, Relay


@pytest.fixture(scope="module")
def app() -> Iterator[Origin]:
    with origin(answering(echo)) as running:
        yield running


def ask(relay: Relay, host: str) -> Message:
    with Wire(relay.connection()) as wire:
        wire.send(request(host))
        return wire.read_response()


def is_forbidden(relay: Relay, target: str) -> bool:
    """Whether a label for ``target`` gets 403; every 403 is the same."""
    answer = ask(relay, relay.host(target))
    if answer.status != 403:
        return False
    assert answer.one(b"proxy-status") == b"fingerpost; error=destination_ip_prohibited"
    assert answer.body == b"403 Forbidden: This destination is not allowed here.\n"
    return True


@pytest.mark.parametrize(
    "target",
    [
        "169.254.169.254:80",
        "169.254.0.1:8080",
        "[fe80::1]:80",
        "[::ffff:169.254.169.254]:80",
        "224.0.0.1:80",
        "[ff02::1]:80",
        "255.255.255.255:80",
        "100.100.100.200:80",
        "8.8.8.8:53",
        "[2001:4860:4860::8888]:53",
        "tcp://169.254.169.254:80",
        "https://169.254.169.254:443",
    ],
)
def test_link_local_multicast_broadcast_and_public_addresses_are_forbidden(relay: Relay, target: str) -> None:
    assert is_forbidden(relay, target)


def test_no_permission_covers_link_local_addresses(new_relay: NewRelay) -> None:
    relay = new_relay("--allow", "0.0.0.0/0", "--allow", "::/0")

    for target in ("169.254.169.254:80", "224.0.0.1:80", "255.255.255.255:80", "[fe80::1]:80"):
        assert is_forbidden(relay, target), target


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", "[::ffff:127.0.0.1]"])
def test_the_proxys_own_listener_is_forbidden_under_every_name(relay: Relay, host: str) -> None:
    # `localhost` may have an IPv6 address too, where nobody listens: what counts is that none leads here.
    answer = ask(relay, relay.host(f"{host}:{relay.port}"))

    assert answer.status == 403 or (host == "localhost" and answer.status == 502)


def test_a_wildcard_listener_is_forbidden_at_every_address_of_this_machine(new_relay: NewRelay) -> None:
    relay = new_relay(listen="0.0.0.0:0")

    for address in ("127.0.0.1", "127.0.0.2", "127.9.9.9", "0.0.0.0"):
        assert is_forbidden(relay, f"{address}:{relay.port}"), address


def test_all_of_several_listeners_are_forbidden(new_relay: NewRelay) -> None:
    relay = new_relay("--listen", "127.0.0.3:0")
    found = relay.child.wait_for_line(r"listening on http://127\.0\.0\.3:(\d+)")

    assert is_forbidden(relay, f"127.0.0.1:{relay.port}")
    assert is_forbidden(relay, f"127.0.0.3:{found[1]}")


def test_names_are_looked_up_and_what_they_lead_to_is_judged(relay: Relay, app: Origin, new_relay: NewRelay) -> None:
    assert ask(relay, relay.host(f"localhost:{app.port}")).status == 200

    elsewhere = new_relay("--allow", "10.0.0.0/8")
    assert is_forbidden(elsewhere, f"localhost:{app.port}")
    assert is_forbidden(elsewhere, app.target)


def test_a_name_is_tried_at_each_of_its_allowed_addresses(app: Origin, new_relay: NewRelay) -> None:
    relay = new_relay("--allow", "127.0.0.0/8")  # not ::1, which `localhost` may be as well

    for _ in range(3):
        assert ask(relay, relay.host(f"localhost:{app.port}")).status == 200


def test_ports_can_be_allowed_alone(app: Origin, new_relay: NewRelay) -> None:
    with origin(answering(echo)) as other:
        relay = new_relay("--allow", f"127.0.0.0/8:{app.port}")

        assert ask(relay, relay.host(app.target)).status == 200
        assert is_forbidden(relay, other.target)
        assert other.accepted == 0


def test_the_unspecified_address_means_loopback(relay: Relay, app: Origin) -> None:
    assert ask(relay, relay.host(f"0.0.0.0:{app.port}")).status == 200


def test_ipv6_targets_are_relayed(relay: Relay) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with origin(answering(echo), "::1") as app:
        assert ask(relay, relay.host(app.target)).status == 200


def test_legacy_labels_open_only_when_asked_and_are_judged_alike(
    relay: Relay, app: Origin, new_relay: NewRelay, tmp_path: Path
) -> None:
    key = b"thisissecretkey"
    (tmp_path / "legacy").write_bytes(key)
    (tmp_path / "legacy").chmod(0o600)
    old = new_relay("--legacy-key-file", str(tmp_path / "legacy"))

    assert ask(old, f"{seal_legacy(app.target, key)}.{DOMAIN}").status == 200
    assert ask(old, f"{seal_legacy(f'0.0.0.0:{app.port}', key)}.{DOMAIN}").status == 200
    assert ask(old, old.host(app.target)).status == 200
    assert ask(old, f"{seal_legacy('169.254.169.254:80', key)}.{DOMAIN}").status == 403
    assert ask(old, f"{seal_legacy(f'127.0.0.1:{old.port}', key)}.{DOMAIN}").status == 403
    assert ask(old, f"{seal_legacy(app.target, b'another key')}.{DOMAIN}").status == 404
    assert ask(relay, f"{seal_legacy(app.target, key)}.{DOMAIN}").status == 404
