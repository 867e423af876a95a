"""The supervisor, run as a program with workers named by how they behave; all use the real mailbox."""

import json
import os
import signal
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from child import Child
from fingerpost.config import load
from fingerpost.config.files import Secrets
from fingerpost.control.supervisor import worker_settings
from fingerpost.dataplane.settings import WorkerSettings

SUPERVISE = """
import asyncio, json, logging, sys
from fingerpost.control.listeners import open_listeners
from fingerpost.control.supervisor import Supervisor

logging.basicConfig(level="INFO", format="%(levelname)s %(message)s")
listeners = open_listeners(["127.0.0.1:0", "127.0.0.1:0"])
orders = json.loads(sys.argv[1])
worker = [sys.executable, "-c", sys.argv[2]]
sys.exit(asyncio.run(Supervisor(orders, listeners, lambda: print("ready", flush=True), command=worker).run()))
"""

WORKER = """
import json, os, select, signal, sys
from fingerpost.dataplane.mailbox import Mailbox

box = Mailbox(int(sys.argv[1]))
settings, listeners = box.receive_start()
for address, listening in listeners:
    assert "%s:%d" % listening.getsockname() == address and not listening.getblocking()
print("worker", os.getpid(), len(listeners), len(settings.keys), flush=True)

def messages():
    while True:
        select.select([box], [], [])
        try:
            yield from box.read()
        except EOFError:
            print("orphaned", flush=True)
            sys.exit(0)

box.send({"type": "ready"})
"""

OBEDIENT = (
    WORKER
    + """
for message in messages():
    print("told", message["type"], flush=True)
    box.send({"type": "drained"})
    sys.exit(0)
"""
)
PATIENT = (
    WORKER
    + """
for message in messages():
    print("told", message["type"], flush=True)
    if message["type"] == "stop":
        sys.exit(0)
"""
)
STUBBORN = (
    WORKER
    + """
for message in messages():
    print("told", message["type"], flush=True)
"""
)
CRASHING = "import sys; sys.exit(3)"
TALKING_NONSENSE = WORKER + "box._socket.send(b'nonsense\\n'); select.select([box], [], [])"


def orders(keys: str = "", drain_timeout_s: float = 20) -> dict[str, object]:
    settings = load({"drain_timeout_s": drain_timeout_s}, {}).settings
    return worker_settings(settings, Secrets(keys, None), ["127.0.0.1:1"], 100)


def supervised(worker: str, **options: object) -> Child:
    text = json.dumps(orders(**options))  # type: ignore[arg-type]
    return Child([sys.executable, "-c", SUPERVISE, text, worker])


def test_the_orders_are_exactly_what_a_worker_takes() -> None:
    assert set(orders()) == {field.name for field in fields(WorkerSettings)}
    WorkerSettings(**json.loads(json.dumps(orders())))


def test_a_signal_drains_and_a_drained_worker_means_success() -> None:
    with supervised(OBEDIENT) as child:
        child.wait_for_line("^ready$")
        assert child.stop() == 0
        assert "told drain" in child.stdout


def test_settings_longer_than_a_read_and_a_socket_buffer_arrive_whole() -> None:
    with supervised(OBEDIENT, keys="k" * 100_000) as child:
        child.wait_for_line("^ready$")
        child.wait_for_line(r"^worker \d+ 2 100000$")


def test_a_second_signal_stops_at_once() -> None:
    with supervised(PATIENT) as child:
        child.wait_for_line("^ready$")
        child.process.send_signal(signal.SIGTERM)
        child.wait_for_line("^told drain$")
        assert child.stop(signal.SIGINT) == 0
        assert "told stop" in child.stdout


def test_a_worker_that_does_not_stop_is_killed() -> None:
    with supervised(STUBBORN) as child:
        child.wait_for_line("^ready$")
        child.process.send_signal(signal.SIGTERM)
        child.wait_for_line("^told drain$")
        assert child.stop() == 0


def test_a_worker_that_overruns_its_drain_is_killed_and_that_is_a_failure() -> None:
    with supervised(STUBBORN, drain_timeout_s=0) as child:
        child.wait_for_line("^ready$")
        assert child.stop() == 1
        assert "did not drain in time and was killed" in child.output()


def test_a_worker_that_dies_is_one_clear_line_and_status_1() -> None:
    with supervised(OBEDIENT) as child:
        pid = int(child.wait_for_line(r"^worker (\d+)")[1])
        child.wait_for_line("^ready$")
        os.kill(pid, signal.SIGKILL)
        assert child.process.wait(10) == 1
        child.stop()
        assert [line for line in child.stderr if str(pid) in line] == child.stderr
        assert "was killed by SIGKILL" in child.stderr[0]


@pytest.mark.parametrize(
    ("worker", "said"),
    [(CRASHING, "exited with status 3 before it was ready"), (TALKING_NONSENSE, "sent what is no message")],
)
def test_a_worker_that_fails_is_named_with_the_reason(worker: str, said: str) -> None:
    with supervised(worker) as child:
        assert child.process.wait(10) == 1
        child.stop()
        assert said in child.output()


def test_a_worker_whose_supervisor_is_killed_learns_of_it() -> None:
    with supervised(STUBBORN) as child:
        child.wait_for_line("^ready$")
        child.process.kill()
        child.wait_for_line("^orphaned$")


def test_orders_do_not_show_in_the_command_line() -> None:
    with supervised(OBEDIENT) as child:
        pid = child.wait_for_line(r"^worker (\d+)")[1]
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        assert command[-2].isdigit()
