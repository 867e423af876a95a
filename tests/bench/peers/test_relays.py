"""Every relay relays: an upgrade, bytes both ways, much, in pieces; and survives what is not to be relayed."""

import hashlib
import os
import socket
import threading

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import Blowfish
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from bench.peers.apps import App, read_head, upgrade_head
from bench.peers.conftest import LEGACY_KEY, Running, receive
from child import until
from fingerpost.bench.peers import DOMAIN
from fingerpost.label.legacy import seal_legacy

OURS = ["go", "node", "go-reverseproxy"]
TUNNELS = ["go", "node"]
ALL = ["fingerpost", *OURS, "nginx", "haproxy", "chp"]
_BULK_BYTES = 8_000_000


def all_relays(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("relay", names, indirect=True)


@all_relays(*ALL)
def test_an_upgrade_and_messages_both_ways(relay: Running) -> None:
    with relay.tunnel() as link:
        for size in (1, 20, 1024, 100_000):
            message = os.urandom(size)
            link.sendall(message)
            assert receive(link, size) == message


@all_relays(*ALL)
def test_what_comes_right_behind_the_head_is_relayed_too(relay: Running) -> None:
    with relay.connect() as link:
        link.sendall(upgrade_head(relay.host))
        head, said = read_head(link)
        link.sendall(b"early")
        assert head.startswith(b"HTTP/1.1 101 ")
        expected = relay.app.name + b"early"
        assert said + receive(link, len(expected) - len(said)) == expected


@all_relays(*ALL)
def test_much_both_ways_at_once_arrives_unaltered(relay: Running) -> None:
    sent = os.urandom(_BULK_BYTES)
    with relay.tunnel() as link:
        sending = threading.Thread(target=link.sendall, args=(sent,))
        sending.start()
        digest, left = hashlib.sha256(), len(sent)
        while left and (data := link.recv(min(left, 262_144))):
            digest.update(data)
            left -= len(data)
        sending.join()
    assert left == 0
    assert digest.digest() == hashlib.sha256(sent).digest()


@all_relays(*OURS)
def test_a_head_in_pieces(relay: Running) -> None:
    request = upgrade_head(relay.host)
    with relay.connect() as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(request), 7):
            link.sendall(request[start : start + 7])
        assert read_head(link)[0].startswith(b"HTTP/1.1 101 ")


@all_relays(*TUNNELS)
def test_the_client_ends_its_way_and_still_hears_the_app(relay: Running) -> None:
    with relay.tunnel() as link:
        link.sendall(b"the last")
        link.shutdown(socket.SHUT_WR)
        assert receive(link, 1000) == b"the lastheard 8"


@all_relays(*TUNNELS)
def test_the_app_ends_its_way_and_still_hears_the_client(relay: Running) -> None:
    with relay.tunnel("/first") as link:
        assert link.recv(1) == b""
        sent = os.urandom(300_000)
        link.sendall(sent)
        link.shutdown(socket.SHUT_WR)
        until(lambda: sent in relay.app.heard, "the app has heard everything")


@all_relays(*TUNNELS)
def test_a_client_that_is_gone_is_gone_for_the_app_too(relay: Running) -> None:
    link = relay.tunnel()
    said = os.urandom(16)
    link.sendall(said)
    assert receive(link, 16) == said
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset instead of an end
    link.close()
    until(lambda: said in relay.app.heard, "the app's connection has ended")


@all_relays(*OURS)
def test_a_refused_upstream_is_502_and_the_relay_goes_on(relay: Running) -> None:
    for _ in range(5):
        assert relay.status(upgrade_head(relay.dead_host)) == 502
    relay.child.wait_for_line("(?i)refused")
    relay.tunnel().close()


@pytest.mark.parametrize(
    "label",
    ["www", "0" * 32, "f" * 16, "zz" * 16, "3fafc4c50e97eba68130981c7e0fe48", "a" * 63, "-", "127"],
)
@all_relays(*OURS)
def test_a_label_that_names_nothing_is_refused_and_the_relay_goes_on(relay: Running, label: str) -> None:
    assert relay.status(upgrade_head(f"{label}.{DOMAIN}")) == 404
    relay.tunnel().close()


@pytest.mark.parametrize(
    "request_head",
    [b"GET / HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 2_000_000],
    ids=["no Host", "no HTTP", "endless"],
)
@all_relays(*OURS)
def test_a_bad_head_is_refused_and_the_relay_goes_on(relay: Running, request_head: bytes) -> None:
    try:
        assert 400 <= relay.status(request_head) < 500
    except (ConnectionResetError, BrokenPipeError):
        assert len(request_head) > 1_000_000  # it need not read all that to say no
    relay.tunnel().close()


@all_relays(*OURS)
def test_clients_that_leave_at_once_do_no_harm(relay: Running) -> None:
    for number in range(50):
        with relay.connect() as link:
            link.sendall(upgrade_head(relay.host)[: number * 4])
    relay.tunnel().close()


@all_relays(*OURS)
def test_no_descriptor_is_left_after_many_connections(relay: Running) -> None:
    relay.tunnel().close()
    until(lambda: relay.descriptors() < 60, "earlier tests' connections have ended")
    before = relay.descriptors()
    for _ in range(8):
        links = [relay.tunnel() for _ in range(25)]
        for link in links[::2]:
            link.shutdown(socket.SHUT_WR)
        for link in links:
            link.close()
    until(lambda: relay.descriptors() <= before + 2, f"{before} descriptors as before")


@all_relays(*TUNNELS)
def test_an_idle_tunnel_takes_no_more_descriptors_than_it_says(relay: Running) -> None:
    before = relay.descriptors()
    links = [relay.tunnel() for _ in range(20)]
    for link in links:
        link.sendall(b"x" * 1024)
        receive(link, 1024)
    assert relay.descriptors() - before <= 2 * 20 + 2
    for link in links:
        link.close()


def test_the_tests_make_the_labels_that_are_known() -> None:
    assert seal_legacy("127.0.0.1:13001", LEGACY_KEY) == "3fafc4c50e97eba68130981c7e0fe481"
    assert seal_legacy("0.0.0.0:8080", LEGACY_KEY) == "7a4fe220e12bb0c312a47e3885990a10"


@all_relays(*OURS)
def test_every_form_of_a_label_leads_to_the_app(relay: Running) -> None:
    to_any_address = seal_legacy(f"0.0.0.0:{relay.app.port}", relay.plan.legacy_key)
    zeros = b"localhost:%d" % relay.app.port  # and a zero up to the end of the block
    padded_with_zeros = encrypted(zeros.ljust(16, b"\0"), relay.plan.legacy_key)
    for host in (to_any_address, f"{to_any_address.upper()}.{DOMAIN}:80", f"{padded_with_zeros}.apps.example.com"):
        relay.tunnel(host=host).close()


def encrypted(text: bytes, key: bytes) -> str:
    encryptor = Cipher(Blowfish(key), modes.ECB()).encryptor()
    return encryptor.update(text).hex()


@all_relays("nginx", "haproxy", "go-reverseproxy", "chp", "fingerpost")
def test_a_proxy_of_requests_says_whom_it_forwards_for(relay: Running, apps: tuple[App, App]) -> None:
    with relay.connect() as link:
        link.sendall(b"GET /hello HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % relay.host.encode())
        head, body = read_head(link)
        assert body + receive(link, 100) == apps[0].name
    assert head.startswith(b"HTTP/1.1 200 ")
    fields = apps[0].requests[-1].lower()
    assert all(b"\r\nx-forwarded-%b:" % name in fields for name in (b"for", b"proto", b"host", b"port"))
    assert relay.peer.adds_forwarding_fields
