"""The apps behind the relays are real WebSocket and HTTP servers: other people's clients work with them."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.sync.client import connect

from fingerpost.bench.load.payload import PATTERN

DEADLINE_S = 20


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
