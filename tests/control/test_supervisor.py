"""The supervisor, run as a program with workers named by how they behave; all use the real mailbox."""

import json
import os
import re
import select
import signal
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

import pytest

from child import Child, until
from fingerpost.config import load
from fingerpost.config.files import Secrets
from fingerpost.control.orders import worker_orders
from fingerpost.dataplane.settings import WorkerSettings

SUPERVISE = """
import asyncio, json, logging, sys
from fingerpost.config import load
from fingerpost.config.files import Secrets
from fingerpost.control.listeners import Listeners
from fingerpost.control.plan import Plan
from fingerpost.control.supervisor import Supervisor

logging.basicConfig(level="INFO", format="%(levelname)s %(message)s")
flags, keys = json.loads(sys.argv[1])
plan = Plan(load(flags, {}).settings, Secrets(keys, None), None, 100, [])
worker = [sys.executable, "-c", sys.argv[2]]
listeners = Listeners(["127.0.0.1:0", "127.0.0.1:0"], plan.settings.workers)
on_ready = lambda listeners: print("ready", *[listener.address for listener in listeners], flush=True)
sys.exit(asyncio.run(Supervisor(plan, lambda: plan, listeners, on_ready, command=worker).run()))
"""

WORKER = """
import json, os, select, signal, sys
from fingerpost.dataplane.mailbox import Mailbox

box = Mailbox(int(sys.argv[1]))
settings, listeners, _ = box.receive_start()
for address, listening in listeners:
    assert "%s:%d" % listening.getsockname() == address and not listening.getblocking()
def say(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())  # in one piece: several workers share it

say("worker", os.getpid(), len(listeners), len(settings.keys))

def messages():
    while True:
        select.select([box], [], [], 0.2)
        box.send({"type": "counters"})
        try:
            yield from box.read()
        except EOFError:
            say("orphaned")
            sys.exit(0)

box.send({"type": "ready"})
"""

OBEDIENT = (
    WORKER
    + """
for message in messages():
    say("told", message["type"])
    box.send({"type": "drained"})
    sys.exit(0)
"""
)
PATIENT = (
    WORKER
    + """
for message in messages():
    say("told", message["type"])
    if message["type"] == "stop":
        sys.exit(0)
"""
)
STUBBORN = (
    WORKER
    + """
for message in messages():
    say("told", message["type"])
"""
)
CRASHING = "import sys; sys.exit(3)"
TALKING_NONSENSE = WORKER + "box._socket.send(b'nonsense\\n'); select.select([box], [], [])"
HANGING = WORKER + "select.select([], [], [])"
SHORT_LIVED = WORKER + "sys.exit(4)"
ACCEPTING = (
    WORKER
    + """
import socket
for _, listening in listeners:
    listening.setblocking(True)
while True:
    for readable in select.select([box, *(listening for _, listening in listeners)], [], [], 0.2)[0]:
        if readable is not box:
            client, _ = readable.accept()
            client.sendall(b"%d" % os.getpid())
            client.close()
    box.send({"type": "counters"})
    if any(message["type"] == "drain" for message in box.read()):
        sys.exit(0)
"""
)


def supervised(worker: str, count: int = 1, keys: str = "", drain_timeout_s: float = 20) -> Child:
    flags = {"workers": count, "drain_timeout_s": drain_timeout_s}
    return Child([sys.executable, "-c", SUPERVISE, json.dumps([flags, keys]), worker])


def pids(child: Child) -> list[int]:
    """Of all workers that have started so far."""
    return [int(line.split()[1]) for line in child.stdout if line.startswith("worker ")]


def test_the_orders_are_exactly_what_a_worker_takes() -> None:
    orders = worker_orders(load({}, {}).settings, Secrets("", None), ["127.0.0.1:1"], 100)
    assert set(orders) == {field.name for field in fields(WorkerSettings)}
    WorkerSettings(**json.loads(json.dumps(orders)))


def test_a_signal_drains_and_a_drained_worker_means_success() -> None:
    with supervised(OBEDIENT) as child:
        child.wait_for_line("^ready ")
        assert child.stop() == 0
        assert "told drain" in child.stdout


def test_settings_longer_than_a_read_and_a_socket_buffer_arrive_whole() -> None:
    with supervised(OBEDIENT, keys="k" * 100_000) as child:
        child.wait_for_line("^ready ")
        child.wait_for_line(r"^worker \d+ 2 100000$")


def test_a_second_signal_stops_at_once() -> None:
    with supervised(PATIENT) as child:
        child.wait_for_line("^ready ")
        child.process.send_signal(signal.SIGTERM)
        child.wait_for_line("^told drain$")
        assert child.stop(signal.SIGINT) == 0
        assert "told stop" in child.stdout


def test_a_worker_that_does_not_stop_is_killed() -> None:
    with supervised(STUBBORN) as child:
        child.wait_for_line("^ready ")
        child.process.send_signal(signal.SIGTERM)
        child.wait_for_line("^told drain$")
        assert child.stop() == 0


def test_two_signals_in_one_moment_are_no_patience_at_all() -> None:
    with supervised(STUBBORN) as child:
        child.wait_for_line("^ready ")
        child.process.send_signal(signal.SIGINT)
        assert child.stop() == 0


def test_a_worker_that_overruns_its_drain_is_killed_and_that_is_a_failure() -> None:
    with supervised(STUBBORN, drain_timeout_s=0) as child:
        child.wait_for_line("^ready ")
        assert child.stop() == 1
        assert "did not drain in time and was killed" in child.output()


@pytest.mark.parametrize(
    ("worker", "said"),
    [(CRASHING, "exited with status 3 before it was ready"), (TALKING_NONSENSE, "sent what is no message")],
)
def test_a_worker_that_fails_at_the_start_is_named_with_the_reason_and_nothing_is_tried_again(
    worker: str, said: str
) -> None:
    with supervised(worker, 2) as child:
        if worker == TALKING_NONSENSE:
            child.wait_for_line("sent what is no message")
        else:
            assert child.process.wait(10) == 1
        child.stop()
        assert said in child.output()
        assert not any(line == "ready" for line in child.stdout) or worker == TALKING_NONSENSE


def test_every_worker_gets_a_socket_of_each_address() -> None:
    with supervised(OBEDIENT, 3) as child:
        child.wait_for_line("^ready ")
        assert len(pids(child)) == 3
        assert {line.split()[2] for line in child.stdout if line.startswith("worker ")} == {"2"}
        assert child.stop() == 0
        assert child.stdout.count("told drain") == 3


def test_a_worker_that_dies_is_one_clear_line_and_another_one_takes_its_sockets_within_a_second() -> None:
    with supervised(ACCEPTING, 2) as child:
        ports = [int(address.rpartition(":")[2]) for address in child.wait_for_line("^ready (.*)")[1].split()]
        dead, living = pids(child)
        until(lambda: {answer(ports[0]) for _ in range(20)} == {dead, living}, "both serve")
        select.select([], [], [], 1.0)  # it has lived for a while: no pause
        os.kill(dead, signal.SIGKILL)
        began = time.monotonic()
        with ExitStack() as opened:
            waiting = [opened.enter_context(connected(port)) for port in ports for _ in range(20)]
            answers = {int(sock.recv(20)) for sock in waiting}  # some of them were queued at the dead one's sockets
        assert time.monotonic() - began < 2.0  # the start of a process, on a machine that may have other work
        assert answers == {living, pids(child)[2]}
        (line,) = [line for line in child.stderr if str(dead) in line]
        assert "was killed by SIGKILL; another one starts now" in line
        assert child.stop() == 0


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def answer(port: int) -> int:
    with connected(port) as sock:
        return int(sock.recv(20))


def test_workers_that_die_as_soon_as_they_live_are_restarted_with_growing_pauses() -> None:
    with supervised(SHORT_LIVED) as child:
        child.wait_for(lambda: len(pids(child)) == 5, "the fourth that is started again")
        pauses = re.findall(r"exited with status 4; another one starts in (\S+) s", child.output())
        assert pauses[:4] == ["0.1", "0.2", "0.4", "0.8"]
        child.stop()


def test_a_worker_that_hangs_is_replaced_and_says_where_it_hung() -> None:
    with supervised(HANGING) as child:
        child.wait_for_line("^ready ")
        child.wait_for(lambda: len(pids(child)) == 2, "another one")
        assert f"worker 0 (process {pids(child)[0]}) was silent for 5 s and was killed" in child.output()
        child.process.send_signal(signal.SIGINT)
        assert child.stop() == 0


def test_a_worker_that_is_stopped_is_replaced_although_it_can_not_be_asked_where() -> None:
    with supervised(PATIENT, 2) as child:
        child.wait_for_line("^ready ")
        stopped = pids(child)[0]
        os.kill(stopped, signal.SIGSTOP)
        child.wait_for(lambda: len(pids(child)) == 3, "another one")
        assert f"(process {stopped}) was silent for 5 s and was killed" in child.output()
        child.process.send_signal(signal.SIGINT)
        assert child.stop() == 0


def test_a_supervisor_that_was_stopped_itself_blames_nobody() -> None:
    with supervised(PATIENT) as child:
        child.wait_for_line("^ready ")
        os.kill(child.process.pid, signal.SIGSTOP)
        select.select([], [], [], 6.0)
        os.kill(child.process.pid, signal.SIGCONT)
        child.process.send_signal(signal.SIGINT)
        child.wait_for_line("^told drain")
        assert len(pids(child)) == 1
        assert "silent" not in child.output()
        assert child.stop() == 0


def test_a_worker_whose_supervisor_is_killed_learns_of_it() -> None:
    with supervised(STUBBORN) as child:
        child.wait_for_line("^ready ")
        child.process.kill()
        child.wait_for_line("^orphaned$")


def test_orders_do_not_show_in_the_command_line() -> None:
    with supervised(OBEDIENT) as child:
        pid = child.wait_for_line(r"^worker (\d+)")[1]
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        assert command[-2].isdigit()
