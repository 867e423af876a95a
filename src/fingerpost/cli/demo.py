"""`fingerpost demo`: sample apps, a proxy with a key of its own, and links to open in a browser."""

import signal
import tempfile
from pathlib import Path

import click
import websockets  # noqa: F401 (without it uvicorn would only warn, and the chat would not work)
from rich.console import Console

from fingerpost.demo.apps import APPS
from fingerpost.demo.display import show
from fingerpost.demo.proxy import ChildProxy
from fingerpost.demo.serving import AppServers
from fingerpost.label.keyring import Keyring
from fingerpost.label.sealed import seal

DOMAIN = "localhost"
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.option(
    "--listen",
    default="127.0.0.1:8080",
    show_default=True,
    metavar="ADDR:PORT",
    help="Where the proxy listens; port 0 takes a free port.",
)
def demo(listen: str) -> None:
    """Try it: sample apps behind a proxy, with links that a browser opens.

    Starts a page, a chat over WebSocket and a clock over server-sent events, each on a loopback port of its
    own, seals their addresses with a new key, and shows live what the proxy relays. Ctrl-C stops everything.
    """
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    keyring = Keyring.generate()
    with tempfile.TemporaryDirectory(prefix="fingerpost-demo-") as directory:
        key_file = Path(directory, "keys")
        key_file.touch(0o600)
        key_file.write_text(keyring.dump())
        servers = AppServers({name: make() for name, make in APPS.items()})
        with servers, ChildProxy(listen, DOMAIN, key_file) as proxy:
            try:
                listening_port = proxy.wait_until_ready()
                names = {f"http://127.0.0.1:{port}": name for name, port in servers.ports.items()}
                labels = {name: seal(target, keyring, domain=DOMAIN) for target, name in names.items()}
                links = {name: f"http://{label}.{DOMAIN}:{listening_port}/" for name, label in labels.items()}
                show(Console(), links, names, proxy.news())
            except KeyboardInterrupt:
                pass
            finally:
                # Impatience must not interrupt the orderly stop that follows: it takes two seconds at most.
                for number in ENDING_SIGNALS:
                    signal.signal(number, signal.SIG_IGN)
