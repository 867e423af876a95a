"""Reloading: a whole new crew or no change at all, and nobody notices but by what was changed."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from child import Child, until
from dataplane.origins import Origin, answering, echo, origin
from dataplane.wire import Wire, request
from fingerpost import Keyring
from relay import FINGERPOST, NewRelay, Relay, descendants


@pytest.fixture(scope="module")
def app() -> Iterator[Origin]:
    with origin(answering(echo)) as running:
        yield running


class Configured:
    """A proxy with a TOML file that can be changed.

    Attributes:
        relay: The proxy.
        file: Its settings.
    """

    def __init__(self, new_relay: NewRelay, directory: Path, **settings: object) -> None:
        self.file = directory / "fingerpost.toml"
        self.socket = directory / "control.sock"
        self.write(**settings)
        flags = ("--config", str(self.file), "--control-socket", str(self.socket))
        self.relay = new_relay(*flags, "--workers", str(settings.get("workers", 1)))
        self.child = self.relay.child

    def write(self, **settings: object) -> None:
        """The whole file anew."""
        self.file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run one of fingerpost's commands on it."""
        whole = [*FINGERPOST, *words, "--control-socket", str(self.socket)]
        return subprocess.run(whole, capture_output=True, text=True, timeout=60, check=False)

    def reload(self) -> None:
        """Reload and wait until it is done."""
        ended = self.command("reload")
        assert ended.returncode == 0, ended.stderr + self.child.output()

    def status(self) -> dict[str, Any]:
        """The report."""
        report: dict[str, Any] = json.loads(self.command("status", "--json").stdout)
        return report


@pytest.fixture
def configured(new_relay: NewRelay, tmp_path: Path) -> Configured:
    return Configured(new_relay, tmp_path)


def answer(relay: Relay, app: Origin) -> int:
    with Wire(relay.connection()) as wire:
        wire.send(request(relay.host(app.target)))
        return wire.read_response().status


def test_new_settings_hold_for_new_connections_without_a_new_process_of_the_supervisor(
    configured: Configured, app: Origin
) -> None:
    relay = configured.relay
    before = descendants(configured.child.process.pid)
    assert answer(relay, app) == 200
    configured.write(allow=["10.0.0.0/8"])
    configured.reload()
    assert answer(relay, app) == 403
    until(lambda: not before & descendants(configured.child.process.pid), "the old worker has gone")
    assert configured.status()["pid"] == configured.child.process.pid
    assert configured.status()["reloads"] == 1


def test_hang_up_is_a_reload(configured: Configured, app: Origin) -> None:
    configured.write(allow=["10.0.0.0/8"])
    configured.child.process.send_signal(signal.SIGHUP)
    configured.child.wait_for_line("reloaded: 1 workers with the new settings")
    assert answer(configured.relay, app) == 403


def test_a_reload_is_done_when_the_old_workers_accept_no_more(configured: Configured, app: Origin) -> None:
    supervisor = configured.child.process.pid
    (old,) = descendants(supervisor)
    configured.write(allow=["10.0.0.0/8"])
    os.kill(old, signal.SIGSTOP)  # it still has its listener, and can't be told to close it
    command = [*FINGERPOST, "reload", "--control-socket", str(configured.socket)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as reloading:
        until(lambda: configured.status()["reloads"] == 1, "new workers")
        with pytest.raises(subprocess.TimeoutExpired):
            reloading.wait(0.5)
        os.kill(old, signal.SIGCONT)
        assert reloading.wait(30) == 0
    assert answer(configured.relay, app) == 403


@pytest.mark.parametrize("how", ["command", "signal"])
def test_settings_that_cannot_be_used_change_nothing_and_every_problem_is_told(
    configured: Configured, app: Origin, how: str
) -> None:
    before = descendants(configured.child.process.pid)
    configured.write(allow=["everything"], max_fields=1)
    if how == "command":
        ended = configured.command("reload")
        assert ended.returncode == 2
        said = ended.stderr
    else:
        configured.child.process.send_signal(signal.SIGHUP)
        configured.child.wait_for_line("nothing is reloaded: max_fields")
        said = configured.relay.stderr
    assert "max_fields" in said
    assert "everything: expected CIDR" in said
    assert "Traceback" not in said
    assert descendants(configured.child.process.pid) == before
    assert answer(configured.relay, app) == 200


def test_a_key_file_that_cannot_be_read_on_reload_changes_nothing(configured: Configured, app: Origin) -> None:
    keys = configured.relay.directory / "keys"
    keys.rename(keys.with_suffix(".away"))
    ended = configured.command("reload")
    assert ended.returncode == 2
    assert "key_file" in ended.stderr
    assert answer(configured.relay, app) == 200
    keys.with_suffix(".away").rename(keys)
    configured.reload()


def test_keys_are_read_anew(configured: Configured, app: Origin) -> None:
    relay = configured.relay
    keyring = Keyring.generate()
    (relay.directory / "keys").write_text(keyring.dump())
    configured.reload()
    assert answer(relay, app) == 404
    relay.keyring = keyring
    assert answer(relay, app) == 200


@pytest.fixture
def by_file(new_relay: NewRelay, tmp_path: Path) -> Iterator[Configured]:
    """A proxy whose workers are set by its file: a flag would win over that."""
    configured = Configured(new_relay, tmp_path)
    configured.relay.stop()
    command = [*FINGERPOST, "serve", "--config", str(configured.file), "--listen", "127.0.0.1:0"]
    command += ["--key-file", str(configured.relay.directory / "keys"), "--control-socket", str(configured.socket)]
    configured.write(workers=1)
    with Child(command) as child:
        configured.child = child
        configured.relay.port = int(child.wait_for_line(r"listening on http://\S+:(\d+)")[1])
        yield configured
        assert child.stop() == 0


def test_workers_get_more_and_fewer_and_every_socket_stays_served(by_file: Configured, app: Origin) -> None:
    supervisor = by_file.child.process.pid
    for count in (3, 1, 2):
        by_file.write(workers=count)
        by_file.reload()
        until(lambda: len(descendants(supervisor)) == count, f"{count} workers")  # noqa: B023
        assert [answer(by_file.relay, app) for _ in range(30)] == [200] * 30


def test_workers_that_do_not_come_up_leave_the_old_ones_with_all_connections(by_file: Configured, app: Origin) -> None:
    """More workers had meant more sockets: those must not be left to queue what nobody accepts."""
    before = descendants(by_file.child.process.pid)
    by_file.write(workers=4, access_log=str(by_file.socket))  # which can't be opened as a file
    ended = by_file.command("reload")
    assert ended.returncode == 2
    assert "exited with status 1 before it was ready" in ended.stderr
    assert descendants(by_file.child.process.pid) == before
    assert [answer(by_file.relay, app) for _ in range(30)] == [200] * 30


def test_addresses_come_and_go(new_relay: NewRelay, tmp_path: Path) -> None:
    configured = Configured(new_relay, tmp_path)
    keys = configured.relay.directory / "keys"
    command = [*FINGERPOST, "serve", "--workers", "2", "--config", str(configured.file)]
    command += ["--key-file", str(keys), "--control-socket", str(tmp_path / "other.sock")]
    configured.socket = tmp_path / "other.sock"
    configured.write(listen=["127.0.0.1:0"])
    with Child(command) as child, origin(answering(echo)) as app:
        first = int(child.wait_for_line(r"listening on http://127\S+:(\d+)")[1])
        configured.write(listen=["127.0.0.1:0", "[::1]:0"])
        configured.reload()
        second = int(child.wait_for_line(r"listening on http://\[::1\]:(\d+)")[1])
        relay = Relay(child, first, configured.relay.keyring, tmp_path)
        assert answer(relay, app) == 200
        configured.write(listen=["[::1]:0"])
        until(lambda: configured.command("reload").returncode == 0, "reloaded")
        assert child.stop() == 0
    assert second != first


def test_an_address_that_is_taken_changes_nothing(configured: Configured, app: Origin) -> None:
    before = descendants(configured.child.process.pid)
    configured.write(listen=["127.0.0.1:0"])
    other = Wire(configured.relay.connection())
    with other:
        ended = configured.command("reload")
        assert ended.returncode == 0  # the flag wins over the file
    until(lambda: not before & descendants(configured.child.process.pid), "the old worker has gone")
    assert answer(configured.relay, app) == 200


def test_what_can_not_be_changed_says_so(new_relay: NewRelay, tmp_path: Path) -> None:
    configured = Configured(new_relay, tmp_path)
    configured.write(pid_file=str(tmp_path / "pid"))
    ended = configured.command("reload")
    assert ended.returncode == 0
    assert "warning: pid_file: stays none until a restart" in ended.stderr


def test_the_access_log_is_opened_anew(new_relay: NewRelay, tmp_path: Path, app: Origin) -> None:
    log = tmp_path / "log"
    configured = Configured(lambda *flags: new_relay(*flags, "--access-log", str(log)), tmp_path)
    assert answer(configured.relay, app) == 200
    until(lambda: log.read_text().endswith("\n"), "a line")
    log.rename(tmp_path / "log.1")
    configured.reload()
    assert answer(configured.relay, app) == 200
    until(lambda: log.exists() and log.read_text().endswith("\n"), "a line in the new file")
    assert len((tmp_path / "log.1").read_text().splitlines()) == 1


def test_twenty_reloads_in_a_row_leave_one_crew_and_no_descriptors(configured: Configured, app: Origin) -> None:
    pid = configured.child.process.pid
    configured.reload()
    until(lambda: len(descendants(pid)) == 1, "one worker")
    before = len(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(20):
        configured.reload()
        assert answer(configured.relay, app) == 200
    until(lambda: len(descendants(pid)) == 1, "one worker")
    until(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before, "no more descriptors than before")
    assert len(re.findall("ERROR", configured.relay.stderr)) == 0
