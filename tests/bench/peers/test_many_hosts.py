"""Relays that are told each host know many of them, and never mix them up."""

from pathlib import Path

import pytest

from bench.peers.apps import App, read_head
from bench.peers.conftest import Running, ready, receive, running
from fingerpost.bench.peers import DOMAIN

_LONG = "a" * 52  # the longest labels are those of IPv6 targets


def answers(relay: Running, host: str, requests: int = 3) -> list[bytes]:
    """What the app says to several requests on one connection."""
    found = []
    for _ in range(requests):
        with relay.connect() as link:
            link.sendall(b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % host.encode())
            _, body = read_head(link)
            found.append(body + receive(link, 100))
    return found


@pytest.mark.parametrize(("name", "count"), [("nginx", 7000), ("haproxy", 7000), ("nginx", 100), ("chp", 300)])
def test_each_host_leads_to_its_own_app(
    name: str, count: int, cache: Path, apps: tuple[App, App], tmp_path: Path
) -> None:
    one, other = apps
    hosts = [f"{_LONG}{number}.{DOMAIN}" for number in range(count)]
    others = {host: (other.port if number % 2 else one.port) for number, host in enumerate(hosts)}
    with running(ready(name, cache), tmp_path, one, others=others) as relay:
        for number in (0, 1, count // 2, count // 2 + 1, count - 2, count - 1):
            expected = apps[number % 2].name
            assert answers(relay, hosts[number]) == [expected] * 3
            assert answers(relay, hosts[number].upper()) == [expected] * 3 or name == "chp"
        assert relay.status(b"GET / HTTP/1.1\r\nHost: unknown.localhost\r\nConnection: close\r\n\r\n") == 404


@pytest.mark.parametrize("name", ["nginx", "haproxy", "node", "go"])
def test_several_workers(name: str, cache: Path, apps: tuple[App, App], tmp_path: Path) -> None:
    with running(ready(name, cache), tmp_path, apps[0], workers=2) as relay:
        for _ in range(8):
            relay.tunnel().close()


@pytest.mark.parametrize("name", ["nginx", "haproxy", "chp"])
def test_an_access_log(name: str, cache: Path, apps: tuple[App, App], tmp_path: Path) -> None:
    peer = ready(name, cache)
    with running(peer, tmp_path, apps[0], access_log=tmp_path / "access.log") as relay:
        answers(relay, relay.host, 1)
        if peer.logs_to_stdout():
            relay.child.wait_for_line(r"\"status\":200|PROXY WEB")
    if not peer.logs_to_stdout():  # written at the end at the latest
        assert '"status":200' in (tmp_path / "access.log").read_text()
