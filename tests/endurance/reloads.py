"""Reloads beside nginx and HAProxy: what each costs those who are connected, and what is left of old workers.

    PYTHONPATH=tests python -m endurance.reloads --reloads 20

Each proxy has two workers and the same traffic, is reloaded once a second as its own documentation says, and is looked
at five seconds after the last reload, while the traffic goes on.
"""

import argparse
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from child import Child, accepts, until
from dataplane.origins import origin
from dataplane.procfs import resident_mib
from endurance.lineage import Lineage
from endurance.traffic import Traffic, echo_unrecorded
from fingerpost import Keyring
from relay import Relay, descendants
from upstreams import websocket_echo

NGINX = """
daemon off; master_process on; {user} worker_processes 2; pid {directory}/pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
    map $http_upgrade $connection_header {{ default upgrade; "" ""; }}
    upstream http {{ server {http}; keepalive 64; }}
    upstream websocket {{ server {websocket}; }}
    server {{
        listen 127.0.0.1:{port} reuseport; server_name http.localhost; client_max_body_size 0;
        location / {{ proxy_pass http://http; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
    server {{
        listen 127.0.0.1:{port}; server_name websocket.localhost;
        location / {{ proxy_pass http://websocket; proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_header; }}
    }}
}}
"""

HAPROXY = """
global
    nbthread 2
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout tunnel 300s
frontend all
    bind 127.0.0.1:{port}
    use_backend websocket if {{ hdr_beg(host) websocket. }}
    default_backend http
backend http
    server app {http}
backend websocket
    server app {websocket}
"""


class Peer(Relay):
    """Another proxy at an address, for `Traffic`: it knows its apps by Host."""

    names: dict[str, str]

    def host(self, target: str) -> str:
        """What a client sends as Host to reach an app."""
        return f"{self.names[target]}.localhost:{self.port}"


class Outcome(NamedTuple):
    """What the reloads cost."""

    failures: Counter[str]
    done: int
    processes_before: int
    processes_after: int
    memory_before_mib: float
    memory_after_mib: float


@contextmanager
def fingerpost(directory: Path, _http: str, _websocket: str) -> Iterator[tuple[Relay, int, Callable[[], object]]]:
    """The proxy of this project."""
    lineage = Lineage(directory, "--access-log", str(directory / "log"))
    yield lineage.relay, lineage.child.process.pid, lambda: lineage.command("reload")
    lineage.stop()


@contextmanager
def other(
    program: str, directory: Path, http: str, websocket: str
) -> Iterator[tuple[Relay, int, Callable[[], object]]]:
    """Nginx or HAProxy, each in the form that its documentation has for reloads."""
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        raise FileNotFoundError(program)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = directory / "config"
    template, reload_signal = (NGINX, signal.SIGHUP) if program == "nginx" else (HAPROXY, signal.SIGUSR2)
    user = "user root;" if os.geteuid() == 0 else ""  # else its workers couldn't write below our directory
    config.write_text(template.format(directory=directory, port=port, http=http, websocket=websocket, user=user))
    flags: list[str | Path] = ["-W", "-db", "-f", config]
    if program == "nginx":
        flags = ["-p", directory, "-c", config, "-e", "stderr"]
    with Child([path, *flags], directory=directory) as child:
        peer = Peer(child, port, Keyring.generate(), directory)
        peer.names = {http: "http", websocket: "websocket"}
        until(lambda: accepts(port), f"{program} accepts")
        yield peer, child.process.pid, lambda: child.process.send_signal(reload_signal)
        os.killpg(child.process.pid, signal.SIGKILL)


def measure(
    running: tuple[Relay, int, Callable[[], object]], http: str, websocket: str, reloads: int, tunnels: int
) -> Outcome:
    """Reload under traffic, and look at what is left."""
    relay, pid, reload = running
    with Traffic(relay, http, websocket, clients=3, idle_tunnels=tunnels) as traffic:
        until(lambda: all(traffic.done[kind] for kind in ("upload", "websocket", "kept connection")), "traffic")
        processes, memory_mib = _weigh(pid)
        for _ in range(reloads):
            reload()
            time.sleep(1.0)
        time.sleep(5.0)
        processes_after, memory_after_mib = _weigh(pid)
        failures = Counter(failure.kind for failure in list(traffic.failures))
        failures["idle tunnel"] = traffic.count_broken_tunnels()
        done = sum(traffic.done.values())
    return Outcome(failures, done, processes, processes_after, memory_mib, memory_after_mib)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Reloads under traffic, beside nginx and HAProxy.")
    parser.add_argument("--reloads", type=int, default=20, help="how many, one a second (20)")
    parser.add_argument("--tunnels", type=int, default=100, help="idle WebSockets besides the traffic (100)")
    options = parser.parse_args()
    print(f"{'':12}{'failed of':>10} {'done':>8}  {'broken tunnels':>15}  {'processes':>10}  {'memory, MiB':>14}")
    with origin(echo_unrecorded) as http, websocket_echo() as websocket:
        for name in ("fingerpost", "nginx", "haproxy"):
            with tempfile.TemporaryDirectory(prefix="reloads-") as text, ExitStack() as opened:
                directory = Path(text)
                try:
                    context = fingerpost if name == "fingerpost" else lambda *args, name=name: other(name, *args)
                    running = opened.enter_context(context(directory, http.target, websocket))
                except FileNotFoundError:
                    print(f"{name:12}not installed")
                    continue
                found = measure(running, http.target, websocket, options.reloads, options.tunnels)
                requests = sum(count for kind, count in found.failures.items() if "tunnel" not in kind)
                requests -= found.failures["websocket"]
                broken = f"{found.failures['websocket']} + {found.failures['idle tunnel']}"
                processes = f"{found.processes_before} → {found.processes_after}"
                memory = f"{found.memory_before_mib:.0f} → {found.memory_after_mib:.0f}"
                print(f"{name:12}{requests:10} {found.done:8}  {broken:>15}  {processes:>10}  {memory:>14}", flush=True)
    return 0


def _weigh(pid: int) -> tuple[int, float]:
    processes = {pid, *descendants(pid)}
    return len(processes), sum(map(resident_mib, processes))


if __name__ == "__main__":
    sys.exit(main())
