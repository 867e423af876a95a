"""`status`, `reload` and `stop`: how they find a proxy, what they show, and who may use them."""

import json
import os
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

from child import Child, clean_environment, until
from dataplane.tunnels import App, tunnel
from relay import FINGERPOST, NewRelay, Relay


def run(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(
        [*FINGERPOST, *words],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment() | environment,
        check=False,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


def test_status_shows_every_worker_and_what_it_does(new_relay: NewRelay, path: Path) -> None:
    relay = new_relay("--workers", "2", "--control-socket", str(path))
    with App() as app, tunnel(relay, app):
        report = json.loads(run("status", "--json", "--control-socket", str(path)).stdout)
        assert report["pid"] == relay.child.process.pid
        assert report["listen"] == [f"127.0.0.1:{relay.port}"]
        assert [worker["state"] for worker in report["workers"]] == ["serving", "serving"]
        assert sum(worker["tunnels_running"] for worker in report["workers"]) == 1
        assert sum(worker["connections"] for worker in report["workers"]) == 1
        assert report["totals"]["tunnels"] == 1
        assert all(worker["memory_bytes"] > 1 << 20 for worker in report["workers"])
        table = run("status", "--control-socket", str(path)).stdout
        for worker in report["workers"]:
            assert str(worker["pid"]) in table


def test_status_counts_running_exchanges(new_relay: NewRelay, path: Path) -> None:
    relay = new_relay("--control-socket", str(path))
    with App() as app, relay.connection() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % relay.host(app.target).encode())
        with app.accept():
            report = json.loads(run("status", "--json", "--control-socket", str(path)).stdout)
    assert report["workers"][0]["exchanges_running"] == 1


def test_totals_outlive_the_worker_that_counted_them(new_relay: NewRelay, path: Path) -> None:
    relay = new_relay("--control-socket", str(path))
    with App() as app, tunnel(relay, app):
        pass
    until(lambda: totals(path)["tunnels"] == 1, "counted")
    run("reload", "--control-socket", str(path))
    os.kill(workers(path)[0], 9)
    until(lambda: bool(workers(path)), "another one")
    assert totals(path)["tunnels"] == 1


def totals(path: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads(run("status", "--json", "--control-socket", str(path)).stdout)["totals"]
    return found


def workers(path: Path) -> list[int]:
    report = json.loads(run("status", "--json", "--control-socket", str(path)).stdout)
    return [worker["pid"] for worker in report["workers"] if worker["state"] == "serving"]


def test_stop_is_a_drain(new_relay: NewRelay, path: Path) -> None:
    relay = new_relay("--control-socket", str(path))
    with App() as app, tunnel(relay, app):
        assert run("stop", "--control-socket", str(path)).returncode == 0
        relay.child.wait_for_line("draining for up to 30 s")
        assert relay.child.process.poll() is None
    assert relay.child.process.wait(10) == 0
    assert not path.exists()


def test_stop_now_does_not_wait(new_relay: NewRelay, path: Path) -> None:
    relay = new_relay("--control-socket", str(path))
    with App() as app, tunnel(relay, app):
        began = time.monotonic()
        assert run("stop", "--now", "--control-socket", str(path)).returncode == 0
        assert relay.child.process.wait(10) == 0
        assert time.monotonic() - began < 8


def test_the_socket_is_its_owners_alone(new_relay: NewRelay, path: Path) -> None:
    new_relay("--control-socket", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_a_name_the_only_proxy_is_found_and_of_several_one_must_be_chosen(
    relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    serve = [*FINGERPOST, "serve", "--workers", "1", "--listen", "127.0.0.1:0"]
    serve += ["--key-file", str(relay.directory / "keys")]
    with Child(serve) as first:
        first.wait_for_line("listening on")
        directory = tmp_path / "fingerpost"
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert [path.name for path in directory.iterdir()] == [f"{first.process.pid}.sock"]
        assert json.loads(run("status", "--json").stdout)["pid"] == first.process.pid
        with Child(serve) as second:
            second.wait_for_line("listening on")
            ended = run("status")
            assert ended.returncode == 2
            assert "choose by --control-socket" in ended.stderr
    assert list(directory.iterdir()) == []


def test_a_directory_that_others_can_write_to_is_not_trusted(
    relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "fingerpost").mkdir()
    (tmp_path / "fingerpost").chmod(0o777)
    serve = [*FINGERPOST, "serve", "--workers", "1", "--listen", "127.0.0.1:0"]
    with Child([*serve, "--key-file", str(relay.directory / "keys")]) as child:
        child.wait_for_line("listening on")
        assert list((tmp_path / "fingerpost").iterdir()) == []


def test_a_socket_that_nobody_answers_is_one_line(path: Path) -> None:
    ended = run("status", "--control-socket", str(path))
    assert ended.returncode == 2
    assert ended.stderr == (
        f"fingerpost: control_socket: {path}: expected the socket of a running proxy (No such file or directory)\n"
    )


def test_a_second_proxy_with_the_same_socket_is_refused(new_relay: NewRelay, path: Path) -> None:
    relay = new_relay("--control-socket", str(path))
    second = run(
        *("serve", "--listen", "127.0.0.1:0", "--key-file", str(relay.directory / "keys")),
        *("--control-socket", str(path)),
    )
    assert second.returncode == 2
    assert f"control_socket: {path}: expected a path at which no other running instance answers" in second.stderr


def test_a_socket_that_a_killed_proxy_left_is_replaced(new_relay: NewRelay, path: Path) -> None:
    first = new_relay("--control-socket", str(path))
    first.child.process.kill()
    first.child.process.wait(10)
    assert path.exists()
    second = new_relay("--control-socket", str(path))
    assert json.loads(run("status", "--json", "--control-socket", str(path)).stdout)["pid"] == second.child.process.pid


@pytest.mark.parametrize("said", [b"nonsense\n", b"[]\n", b"x" * 100_000, b"", b'{"command": "dance"}\n'])
def test_nonsense_on_the_socket_harms_nobody(new_relay: NewRelay, path: Path, said: bytes) -> None:
    relay = new_relay("--control-socket", str(path))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.settimeout(10)
        try:
            connection.sendall(said)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(1000)
        except OSError:
            answer = b""
    assert b'"ok": true' not in answer
    assert totals(path)["exchanges"] == 0
    assert relay.stop() == 0
