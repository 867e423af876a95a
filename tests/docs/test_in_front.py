"""The configurations for nginx and HAProxy do what the page says: TLS in front, upgrades, the real client's scheme."""

import os
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import trustme
from websockets.sync.client import connect

from child import Child, until
from docs.pages import ROOT, blocks
from docs.terminal import free_port
from fingerpost import seal
from fingerpost.demo.apps import chat_app, page_app
from fingerpost.demo.serving import AppServers
from relay import Loopback, Relay

DOMAIN = "apps.example.com"
OPERATING = ROOT / "docs" / "operating.md"
NGINX_AROUND = "daemon off; pid {directory}/pid; error_log stderr; events {{}} http {{ access_log off;\n{block}\n}}\n"


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def apps() -> Iterator[dict[str, int]]:
    with AppServers({"page": page_app(), "chat": chat_app()}) as servers:
        yield servers.ports


def write(kind: str, directory: Path, authority: trustme.CA, port: str, proxy_port: int) -> str:
    """The page's configuration with a port and a certificate that can be had here."""
    certificate = authority.issue_cert(f"*.{DOMAIN}")
    base = directory / "certificate"
    certificate.private_key_and_cert_chain_pem.write_to_path(base.with_suffix(".pem"))
    certificate.private_key_pem.write_to_path(base.with_suffix(".key"))
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(base.with_suffix(".crt"), append=True)
    (block,) = blocks(OPERATING, kind)
    text = block.text
    for theirs, ours in {
        f"/etc/ssl/{DOMAIN}": str(base),
        "listen 443": f"listen 127.0.0.1:{port}",
        "bind :443": f"bind 127.0.0.1:{port}",
        "127.0.0.1:8080": f"127.0.0.1:{proxy_port}",
    }.items():
        text = text.replace(theirs, ours)
    return text


def start(kind: str, directory: Path, text: str) -> Child:
    file = directory / "configuration"
    if kind == "nginx":
        file.write_text(NGINX_AROUND.format(directory=directory, block=text))
        return Child([program("nginx"), "-p", directory, "-c", file, "-e", "stderr"], directory=directory)
    file.write_text(text)
    return Child([program("haproxy"), "-f", file], directory=directory)


def accepts(port: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


@pytest.mark.parametrize("kind", ["nginx", "haproxy"])
def test_a_page_and_a_websocket_through_it(
    kind: str, tmp_path: Path, authority: trustme.CA, apps: dict[str, int], new_relay: Callable[..., Relay]
) -> None:
    program(kind)
    relay = new_relay("--domain", DOMAIN, "--trusted-proxies", "127.0.0.1")
    port = free_port()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)

    def host(app: str) -> str:
        return f"{seal(f'127.0.0.1:{apps[app]}', relay.keyring, domain=DOMAIN)}.{DOMAIN}:{port}"

    with start(kind, tmp_path, write(kind, tmp_path, authority, port, relay.port)) as front:
        until(lambda: accepts(port), f"{kind} accepts: {front.output()}")
        with httpx.Client(transport=Loopback(trust), trust_env=False) as client:
            seen = client.get(f"https://{host('page')}/seen", headers={"X-Forwarded-For": "9.9.9.9"}).json()
        fields = dict(seen["fields"])
        assert fields["host"] == fields["x-forwarded-host"] == host("page")
        assert fields["x-forwarded-proto"] == "https"
        assert fields["x-forwarded-port"] == port
        assert fields["x-forwarded-for"] == "127.0.0.1, 127.0.0.1"

        connection = socket.create_connection(("127.0.0.1", int(port)))
        with connect(f"wss://{host('chat')}/ws", sock=connection, ssl=trust, proxy=None) as websocket:
            assert '"you"' in str(websocket.recv(timeout=10.0))
