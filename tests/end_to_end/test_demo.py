"""`fingerpost demo` as a user starts it: links that work, a live view, a clean end."""

import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from child import Child, clean_environment, until
from relay import FINGERPOST, Loopback, descendants

LINK = r"^\s*({}) +(http://\S+\.localhost:(\d+)/)$"
APP_NAMES = ("page", "chat", "clock")


@pytest.fixture
def demo() -> Iterator[Child]:
    with Child([*FINGERPOST, "demo", "--listen", "127.0.0.1:0"]) as child:
        yield child


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(transport=Loopback(), trust_env=False, timeout=20.0) as client:
        yield client


def link(demo: Child, name: str) -> str:
    return demo.wait_for_line(LINK.format(name))[2]


@pytest.mark.parametrize("name", APP_NAMES)
def test_every_link_leads_to_its_app(demo: Child, http: httpx.Client, name: str) -> None:
    response = http.get(link(demo, name))

    assert response.status_code == 200
    assert f"<title>fingerpost: a {name}</title>" in response.text


def test_a_pipe_gets_one_line_for_each_exchange(demo: Child, http: httpx.Client) -> None:
    assert http.get(link(demo, "page") + "seen?secret=1").status_code == 200

    line = demo.wait_for_line(r"page +GET +/seen +200 ")
    assert "secret" not in line.string
    assert "\x1b" not in "".join(demo.stdout)


def test_the_chat_and_the_clock_are_relayed_live(demo: Child, http: httpx.Client) -> None:
    chat = link(demo, "chat").replace("http", "ws", 1) + "ws"
    port = int(demo.wait_for_line(LINK.format("chat"))[3])
    with connect(chat, sock=socket.create_connection(("127.0.0.1", port)), proxy=None) as websocket:
        assert '"you"' in str(websocket.recv(timeout=10.0))
    with http.stream("GET", link(demo, "clock") + "ticks") as response:
        ticks = (line for line in response.iter_lines() if line == "event: tick")
        assert [next(ticks), next(ticks)] == ["event: tick"] * 2

    demo.wait_for_line(r"chat +GET +/ws +101 ")
    demo.wait_for_line(r"clock +GET +/ticks +200 ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_at_once_and_leaves_nothing_behind(
    demo: Child, http: httpx.Client, number: signal.Signals
) -> None:
    with http.stream("GET", link(demo, "clock") + "ticks") as response:
        assert response.status_code == 200
        running = descendants(demo.process.pid)
        assert running

        assert demo.stop(number, deadline_s=10.0) == 0

    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in running), "its processes are gone")
    assert not any("Traceback" in line for line in demo.stderr)


def test_a_terminal_gets_a_table(http: httpx.Client) -> None:
    reading, terminal = pty.openpty()
    os.set_blocking(reading, False)
    environment = clean_environment() | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    demo = subprocess.Popen(
        [*FINGERPOST, "demo", "--listen", "127.0.0.1:0"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment,
        start_new_session=True,
    )
    os.close(terminal)
    screen = bytearray()

    def shows(pattern: bytes) -> bool:
        try:
            screen.extend(os.read(reading, 65536))
        except BlockingIOError:
            pass
        return re.search(pattern, screen) is not None

    try:
        until(lambda: shows(rb"Ctrl-C stops"), "the invitation is on the screen", 20.0)
        url = re.search(rb"(http://\w+\.localhost:\d+/)", screen)
        assert url
        assert http.get(url[1].decode()).status_code == 200
        until(lambda: shows(rb"duration"), "the table's head is on the screen")
        until(lambda: shows(rb"page.*GET.*/.*200"), "the exchange is in the table")
    finally:
        demo.send_signal(signal.SIGINT)
        try:
            status = demo.wait(10.0)
        finally:
            demo.kill()
            os.close(reading)
    assert status == 0


def test_a_port_in_use_is_named_and_another_suggested() -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        address = f"127.0.0.1:{occupied.getsockname()[1]}"
        ended = subprocess.run(
            [*FINGERPOST, "demo", "--listen", address],
            capture_output=True,
            text=True,
            timeout=20,
            env=clean_environment(),
            check=False,
        )

    assert ended.returncode == 2
    assert address in ended.stderr
    assert "nothing else listens" in ended.stderr
    assert "--listen 127.0.0.1:0" in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "websockets"])
def test_a_missing_extra_is_one_helpful_line(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; from fingerpost.cli import main; main(['demo'])"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=20,
        env=clean_environment(),
        check=False,
    )

    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert missing in ended.stderr
    assert "pip install 'fingerpost[demo]'" in ended.stderr
