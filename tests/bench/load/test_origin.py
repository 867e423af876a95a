"""The apps behind the relays are real WebSocket and HTTP servers: other people's clients work with them."""

import json
import select
import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.sync.client import connect

from fingerpost.bench.load import frames
from fingerpost.bench.load.payload import PATTERN

DEADLINE_S = 20
LINES = ["GET / HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
LINES += ["Sec-WebSocket-Key: x", "", ""]
UPGRADE = "\r\n".join(LINES).encode()


def start(*arguments: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "fingerpost.bench.load.origin", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture(scope="module")
def ports() -> Iterator[list[int]]:
    with start(3, 13001, 32000) as origin:
        assert origin.stdout is not None
        yield json.loads(origin.stdout.readline())
        origin.stdin.close()  # type: ignore[union-attr]
        assert origin.wait(DEADLINE_S) == 0


def test_each_app_has_a_port_of_its_own(ports: list[int]) -> None:
    assert len(set(ports)) == 3
    for port in ports:
        assert httpx.get(f"http://127.0.0.1:{port}/?n=0000000007", timeout=DEADLINE_S).text.startswith("0000000007 ")


def test_messages_of_any_kind_and_size_come_back_as_they_were(ports: list[int]) -> None:
    sent: list[str | bytes] = [b"", b"x", b"y" * 125, b"z" * 126, PATTERN[:70_000], "text ✓", b"\0" * 65536]
    with connect(f"ws://127.0.0.1:{ports[0]}/socket", compression=None, open_timeout=DEADLINE_S) as client:
        for message in sent * 3:
            client.send(message)
        assert [client.recv(DEADLINE_S) for _ in sent * 3] == sent * 3


def test_fragments_come_back_as_one_message(ports: list[int]) -> None:
    with connect(f"ws://127.0.0.1:{ports[0]}/", compression=None) as client:
        client.send([b"one ", b"two ", b"three"])
        assert client.recv(DEADLINE_S) == b"one two three"


def test_a_ping_gets_its_pong_and_a_close_its_close(ports: list[int]) -> None:
    with connect(f"ws://127.0.0.1:{ports[0]}/", compression=None) as client:
        assert client.ping(b"alive?").wait(DEADLINE_S)
        client.close(1001, "bye")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(DEADLINE_S)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "bye")


def test_a_client_that_does_not_mask_is_cut_off(ports: list[int]) -> None:
    with connect(f"ws://127.0.0.1:{ports[0]}/", compression=None) as client:
        client.socket.sendall(bytes([0x80 | Opcode.BINARY, 1, 7]))
        with pytest.raises(ConnectionClosed):
            client.recv(DEADLINE_S)


def test_a_client_that_does_not_read_gets_everything_later(ports: list[int]) -> None:
    messages = frames.Messages(1000)
    sent = b"".join(messages.frames(1, first, 250) for first in range(0, 30_000, 250))
    wanted = b"".join(messages.echoes(1, first, 250).tobytes() for first in range(0, 30_000, 250))
    with socket.create_connection(("127.0.0.1", ports[0]), DEADLINE_S) as client:
        client.sendall(UPGRADE)
        client.recv(4096)
        client.setblocking(False)
        left, came = memoryview(sent), bytearray()
        while left and select.select([], [client], [], 0.5)[1]:
            left = left[client.send(left) :]
        assert left, "the app should have been stuck by now"
        while len(came) < len(wanted):
            readable, writable, _ = select.select([client], [client] if left else [], [], DEADLINE_S)
            assert readable or writable
            if readable:
                came += client.recv(65536)
            if writable:
                left = left[client.send(left) :]
    assert came == wanted


@pytest.mark.parametrize("missing", ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"])
def test_an_upgrade_without_one_of_its_fields_is_refused(ports: list[int], missing: str) -> None:
    with socket.create_connection(("127.0.0.1", ports[0]), DEADLINE_S) as client:
        client.sendall("\r\n".join(line for line in LINES if line != missing).encode())
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")
        assert client.recv(1) == b""


def test_it_pours_what_is_asked_for(ports: list[int]) -> None:
    body = httpx.get(f"http://127.0.0.1:{ports[1]}/pour?bytes=3000000", timeout=DEADLINE_S).content
    assert body == (PATTERN * 3)[:3_000_000]


def test_it_shows_the_head_that_it_got(ports: list[int]) -> None:
    answer = httpx.get(f"http://127.0.0.1:{ports[2]}/head", headers={"X-Mark": "here"}, timeout=DEADLINE_S)
    assert "x-mark: here" in answer.text.lower()


def test_ports_that_are_taken_are_stepped_over_or_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start(1, port, port) as origin:
            _, said = origin.communicate(timeout=DEADLINE_S)
    assert origin.returncode == 1
    assert f"only 0 of 1 ports are free from {port} to {port}" in said
