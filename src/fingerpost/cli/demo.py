"""`fingerpost demo`: sample apps, a proxy with a key of its own, and links to open in a browser."""

import signal
import socket
import tempfile
from pathlib import Path

import click

DOMAIN = "localhost"
ANY_PORT = "127.0.0.1:0"
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class UnusableError(click.ClickException):
    """The demonstration can't start; the message says what to do about it."""

    exit_code = 2


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
    try:
        import websockets  # noqa: F401 (uvicorn finds it by itself, and would only warn that it is missing)

        from fingerpost.demo import apps, display, proxy, serving
    except ImportError as error:
        raise UnusableError(
            f"the demo needs {error.name}, which is not installed: pip install 'fingerpost[demo]'"
        ) from error
    from rich.console import Console

    from fingerpost import Keyring, seal

    _check_free(listen)
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    keyring = Keyring.generate()
    with tempfile.TemporaryDirectory(prefix="fingerpost-demo-") as directory:
        key_file = Path(directory, "keys")
        key_file.touch(0o600)
        key_file.write_text(keyring.dump())
        servers = serving.AppServers({name: make() for name, make in apps.APPS.items()})
        with servers, proxy.ChildProxy(listen, DOMAIN, key_file) as child:
            try:
                listening_port = child.wait_until_ready()
                names = {f"http://127.0.0.1:{port}": name for name, port in servers.ports.items()}
                labels = {name: seal(target, keyring, domain=DOMAIN) for target, name in names.items()}
                links = {name: f"http://{label}.{DOMAIN}:{listening_port}/" for name, label in labels.items()}
                display.show(Console(), links, names, child.news())
            except proxy.ProxyFailedError as error:
                raise click.ClickException(str(error)) from error
            except KeyboardInterrupt:
                pass
            finally:
                # Impatience must not interrupt the orderly stop that follows: it takes two seconds at most.
                for number in ENDING_SIGNALS:
                    signal.signal(number, signal.SIG_IGN)


def _check_free(listen: str) -> None:
    from fingerpost.config.values import listen_address

    try:
        address = listen_address(listen)
    except ValueError as error:
        raise UnusableError(f"listen: {listen}: expected {error}") from error
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            raise UnusableError(
                f"listen: {address}: {error.strerror}; take any free port with --listen {ANY_PORT}"
            ) from error
