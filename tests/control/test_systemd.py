"""What systemd sees and gives, without systemd: its variables, its notify socket, its sockets, its unit files."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from child import Child, clean_environment
from fingerpost import Keyring
from relay import FINGERPOST, descendants

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "packaging" / "systemd" / "fingerpost.service"

ACTIVATE = """
import fcntl, os, socket, sys
addresses = sys.argv[1].split(",")
for number, address in enumerate(addresses):
    host, _, port = address.rpartition(":")
    listening = socket.create_server((host, int(port)))
    os.dup2(fcntl.fcntl(listening.detach(), fcntl.F_DUPFD, 50), 3 + number, inheritable=True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(addresses))}
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.touch(0o600)
    path.write_text(Keyring.generate().dump())
    return path


def serve(keys: Path, *flags: str) -> list[str]:
    socket_path = keys.with_name("control.sock")
    return [*FINGERPOST, "serve", "--key-file", str(keys), "--control-socket", str(socket_path), *flags]


class NotifySocket:
    """Where systemd listens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(20)

    def wait_for(self, line: str) -> list[str]:
        """All lines up to the first that begins like this."""
        seen: list[str] = []
        while not any(one.startswith(line) for one in seen):
            seen += self._socket.recv(4096).decode().splitlines()
        return seen

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[NotifySocket]:
    with contextlib.closing(NotifySocket(tmp_path / "notify")) as running:
        yield running


def test_it_says_when_it_is_ready_reloading_and_stopping(keys: Path, notified: NotifySocket) -> None:
    environment = clean_environment() | {"NOTIFY_SOCKET": str(notified.path)}
    with Child(serve(keys, "--listen", "127.0.0.1:0", "--workers", "1"), environment=environment) as child:
        assert notified.wait_for("READY=1") == ["READY=1"]
        assert any("listening on" in line for line in child.stdout) or child.wait_for_line("listening on")
        subprocess.run(
            [*FINGERPOST, "reload", "--control-socket", str(keys.with_name("control.sock"))], check=True, timeout=60
        )
        seen = notified.wait_for("READY=1")
        assert seen[0] == "RELOADING=1"
        assert seen[1].startswith("MONOTONIC_USEC=")
        assert child.stop() == 0
        notified.wait_for("STOPPING=1")


def test_it_feeds_the_watchdog_as_often_as_it_is_asked_to(keys: Path, notified: NotifySocket) -> None:
    environment = clean_environment() | {"NOTIFY_SOCKET": str(notified.path), "WATCHDOG_USEC": "200000"}
    with Child(serve(keys, "--listen", "127.0.0.1:0", "--workers", "1"), environment=environment):
        for _ in range(3):
            notified.wait_for("WATCHDOG=1")


def test_after_an_upgrade_the_new_process_is_the_main_one(keys: Path, notified: NotifySocket) -> None:
    environment = clean_environment() | {"NOTIFY_SOCKET": str(notified.path), "WATCHDOG_USEC": "60000000"}
    environment |= {"WATCHDOG_PID": "1"}
    control = ["--control-socket", str(keys.with_name("control.sock"))]
    with Child(serve(keys, "--listen", "127.0.0.1:0", "--workers", "1"), environment=environment) as child:
        notified.wait_for("READY=1")
        ended = subprocess.run([*FINGERPOST, "upgrade", *control], check=True, capture_output=True, text=True)
        pid = ended.stdout.split()[2]
        assert f"MAINPID={pid}" in notified.wait_for("MAINPID=")
        assert child.process.wait(20) == 0
        subprocess.run([*FINGERPOST, "stop", "--now", *control], check=True)
        notified.wait_for("STOPPING=1")


def test_sockets_of_systemd_are_served_instead_of_the_default(keys: Path) -> None:
    command = [sys.executable, "-c", ACTIVATE, "127.0.0.1:0,127.0.0.1:0"]
    with Child([*command, *serve(keys, "--workers", "2")[1:]]) as child:
        child.wait_for(lambda: sum("listening on" in line for line in child.stdout) == 2, "two listeners")
        ports = [int(line.split(" for ")[0].rpartition(":")[2]) for line in child.stdout if "listening on" in line]
        assert 8080 not in ports
        for port in ports * 10:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: nothing.localhost\r\n\r\n")
                assert client.recv(1000).startswith(b"HTTP/1.1 404 ")
        for pid in descendants(child.process.pid):
            assert b"LISTEN_" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert child.stop() == 0


def test_sockets_of_systemd_stay_through_a_reload_beside_addresses_of_ones_own(keys: Path) -> None:
    command = [sys.executable, "-c", ACTIVATE, "127.0.0.1:0"]
    control = ["--control-socket", str(keys.with_name("control.sock"))]
    with Child([*command, *serve(keys, "--workers", "2", "--listen", "127.0.0.1:0")[1:]]) as child:
        child.wait_for(lambda: sum("listening on" in line for line in child.stdout) == 2, "two listeners")
        ports = [int(line.split(" for ")[0].rpartition(":")[2]) for line in child.stdout if "listening on" in line]
        subprocess.run([*FINGERPOST, "reload", *control], check=True, timeout=60)
        for port in ports * 5:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: nothing.localhost\r\n\r\n")
                assert client.recv(1000).startswith(b"HTTP/1.1 404 ")
        assert child.stop() == 0


def test_variables_meant_for_another_process_are_ignored(keys: Path) -> None:
    environment = clean_environment() | {"LISTEN_PID": "1", "LISTEN_FDS": "2"}
    with Child(serve(keys, "--listen", "127.0.0.1:0"), environment=environment) as child:
        child.wait_for_line("listening on")


def test_a_descriptor_that_is_no_listener_is_one_clear_line(keys: Path) -> None:
    code = (
        "import fcntl, os, socket, sys\n"
        "os.dup2(fcntl.fcntl(socket.socket(socket.AF_UNIX).detach(), fcntl.F_DUPFD, 50), 3, inheritable=True)\n"
        "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'}\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *serve(keys)[1:]], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        "fingerpost: LISTEN_FDS: 3: expected a listening TCP socket (ListenStream=ADDR:PORT, Accept=no)\n"
    )


def test_the_units_are_what_systemd_understands(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    for unit in UNIT.parent.iterdir():
        text = unit.read_text().replace("/opt/fingerpost/bin/fingerpost", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    for unit in sorted(UNIT.parent.iterdir()):
        ended = subprocess.run(
            [program, "verify", tmp_path / unit.name], capture_output=True, text=True, timeout=60, check=False
        )
        assert (ended.returncode, ended.stderr) == (0, "")


def test_another_user_is_what_it_becomes_and_only_root_can(keys: Path) -> None:
    # Root's number with another group: whoever else may not be able to read the interpreter that runs this.
    command = serve(keys, "--listen", "127.0.0.1:0", "--workers", "1", "--user", "0:65534")
    if os.geteuid() != 0:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert "user: 0:65534: expected none, or a proxy that is started as root" in ended.stderr
        return
    with Child(command) as child:
        child.wait_for_line("listening on")
        for pid in (child.process.pid, *descendants(child.process.pid)):
            status = Path(f"/proc/{pid}/status").read_text()
            assert "Uid:\t0\t0\t0\t0\n" in status
            assert "Gid:\t65534\t65534\t65534\t65534\n" in status
            assert "Groups:\t65534 \n" in status
        assert child.stop() == 0


@pytest.mark.parametrize("user", ["nobody-of-that-name", "root:nobody-of-that-name", ""])
def test_a_user_that_does_not_exist_is_one_clear_line(keys: Path, user: str) -> None:
    command = serve(keys, "--listen", "127.0.0.1:0", "--user", user)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert f"user (--user): {user}: expected USER or USER:GROUP" in ended.stderr
