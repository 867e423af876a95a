"""The demonstration's apps by themselves, over real sockets and without the proxy."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from fingerpost.demo.apps import APPS, MAX_TEXT_CHARS, MAX_WAITING_MESSAGES
from fingerpost.demo.serving import AppServers


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    with AppServers({name: make() for name, make in APPS.items()}) as servers:
        yield servers.ports


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=10.0) as client:
        yield client


def chat(port: int) -> ClientConnection:
    opened: ClientConnection = connect(f"ws://127.0.0.1:{port}/ws", proxy=None)
    return opened


def next_said(member: ClientConnection) -> dict[str, str]:
    """The next message somebody said; what the room notes in between is left out."""
    while True:
        message: dict[str, str] = json.loads(member.recv(timeout=10.0))
        if message["kind"] == "said":
            return message


@pytest.mark.parametrize("name", APPS)
def test_each_app_has_a_page_that_needs_nothing_from_elsewhere(
    ports: dict[str, int], http: httpx.Client, name: str
) -> None:
    response = http.get(f"http://127.0.0.1:{ports[name]}/")

    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "--ground:" in response.text  # the shared style is in the page
    assert "http://" not in response.text
    assert "https://" not in response.text


def test_the_page_tells_which_fields_the_app_received(ports: dict[str, int], http: httpx.Client) -> None:
    seen = http.get(f"http://127.0.0.1:{ports['page']}/seen", headers={"X-Colour": "mauve"}).json()

    assert seen["listening"] == f"127.0.0.1:{ports['page']}"
    assert ["x-colour", "mauve"] in seen["fields"]


def test_what_one_member_says_reaches_all_under_one_name(ports: dict[str, int]) -> None:
    with chat(ports["chat"]) as first, chat(ports["chat"]) as second:
        first_name = json.loads(first.recv(timeout=10.0))["name"]
        second_name = json.loads(second.recv(timeout=10.0))["name"]
        first.send("good morning")

        for member in (first, second):
            assert next_said(member) == {"kind": "said", "name": first_name, "text": "good morning"}
    assert first_name != second_name


def test_the_room_is_told_who_has_left(ports: dict[str, int]) -> None:
    with chat(ports["chat"]) as staying:
        with chat(ports["chat"]) as leaving:
            name = json.loads(leaving.recv(timeout=10.0))["name"]
        said = f"{name} has left (1 in the room)"
        while json.loads(staying.recv(timeout=10.0)) != {"kind": "note", "text": said}:
            pass


def test_long_and_binary_messages_do_not_grow_the_chat(ports: dict[str, int]) -> None:
    with chat(ports["chat"]) as member:
        member.send(b"\x00binary")
        member.send("x" * (MAX_TEXT_CHARS + 500))

        assert next_said(member)["text"] == "x" * MAX_TEXT_CHARS


def test_a_member_who_does_not_read_holds_up_nobody(ports: dict[str, int]) -> None:
    widest = "\N{COMPASS}" * (MAX_TEXT_CHARS - 10)  # 8 kB each: 1,600 of them fill any socket buffer
    with ExitStack() as stack:
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", ports["chat"]))
        url = f"ws://127.0.0.1:{ports['chat']}/ws"
        stack.enter_context(connect(url, sock=deaf, compression=None, max_queue=1, close_timeout=0.1))
        talker = stack.enter_context(chat(ports["chat"]))
        for number in range(16 * MAX_WAITING_MESSAGES):
            talker.send(f"{number} {widest}")
            assert next_said(talker)["text"].startswith(f"{number} ")


def test_the_clock_ticks_with_the_time_of_day(ports: dict[str, int], http: httpx.Client) -> None:
    before = datetime.now(UTC)
    with http.stream("GET", f"http://127.0.0.1:{ports['clock']}/ticks") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        ticks = []
        for line in response.iter_lines():
            if line.startswith("data: "):
                ticks.append(datetime.fromisoformat(line.removeprefix("data: ")))
            if len(ticks) == 2:
                break

    assert 0.9 < (ticks[1] - ticks[0]).total_seconds() < 5
    assert abs((ticks[0] - before).total_seconds()) < 5


def test_servers_stop_although_a_stream_is_open() -> None:
    with (
        httpx.Client(trust_env=False, timeout=10.0) as http,
        AppServers({"clock": APPS["clock"]()}) as servers,
        http.stream("GET", f"http://127.0.0.1:{servers.ports['clock']}/ticks") as response,
    ):
        lines = response.iter_lines()
        assert next(lines) == "retry: 1000"
        servers.__exit__(None, None, None)
        with pytest.raises(httpx.TransportError):
            list(lines)
