"""A burst of thousands of new connections does not keep a running tunnel waiting."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable

from dataplane.tunnels import App, read_exactly, tunnel
from relay import Relay

CONNECTIONS = 3000

BURST = """
import socket, sys
port, count = int(sys.argv[1]), int(sys.argv[2])
clients = []
print("begins", flush=True)
for _ in range(count):
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", port))
    clients.append(client)
for client in clients:
    client.setblocking(True)
    client.settimeout(20)
    client.sendall(b"GET / HTTP/1.1\\r\\nHost: nothing.localhost\\r\\n\\r\\n")
answered = sum(client.recv(1000).startswith(b"HTTP/1.1 404 ") for client in clients)
print("answered", answered, flush=True)
"""


def round_trip_s(client: socket.socket, served: socket.socket) -> float:
    began = time.perf_counter()
    client.sendall(b"ping")
    read_exactly(served, 4)
    served.sendall(b"pong")
    read_exactly(client, 4)
    return time.perf_counter() - began


def test_running_tunnels_are_quick_while_thousands_connect(new_relay: Callable[..., Relay]) -> None:
    relay = new_relay("--access-log", "/dev/null")
    with App() as app, tunnel(relay, app) as (client, served):
        command = [sys.executable, "-c", BURST, str(relay.port), str(CONNECTIONS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as burst:
            assert burst.stdout is not None
            assert burst.stdout.readline() == "begins\n"
            times = []
            while burst.poll() is None:
                times.append(round_trip_s(client, served))
            assert burst.stdout.read() == f"answered {CONNECTIONS}\n"
    times.sort()
    p50, p99 = (times[len(times) * percent // 100] * 1e3 for percent in (50, 99))
    print(f"{len(times)} round trips: p50 {p50:.2f} ms, p99 {p99:.2f} ms, longest {times[-1] * 1e3:.1f} ms")
    assert len(times) > 100
    assert p99 < 100
