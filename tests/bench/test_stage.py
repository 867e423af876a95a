"""A stage: apps, a relay and clients, freshly started, and nothing of it is left."""

import contextlib
import os
import signal
import socket
from pathlib import Path

import pytest

from child import until
from fingerpost.bench.errors import BenchError
from fingerpost.bench.needs import Ports, Shape
from fingerpost.bench.peers import Direct, Fingerpost
from fingerpost.bench.stage import Conditions, Cpus, set_up

ANYWHERE = Conditions(cpus=Cpus(), load_processes=1)


def test_apps_have_ports_of_their_own_in_several_processes() -> None:
    conditions = Conditions(cpus=Cpus(), load_processes=3)
    with set_up(Direct(), conditions, Shape(10, 10)) as stage:
        assert len({site.port for site in stage.sites}) == len({site.host for site in stage.sites}) == 10
        assert len(stage.load) == 3
        assert stage.still_relays()


def test_a_relay_reaches_every_app_and_all_processes_end_with_the_stage() -> None:
    with set_up(Fingerpost(), ANYWHERE, Shape(5, 5)) as stage:
        stage.clients("tunnel_client")
        processes = [*(member.pid for member in stage.load), *stage.relaying]
        assert len(stage.load) == len(stage.relaying) == 2
        assert stage.still_relays()
        assert stage.why_dead() is None
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes), "the end of all processes")


def free_port() -> int:
    """One that the kernel doesn't hand out to connections meanwhile."""
    for port in range(12_000, 13_000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


def test_apps_listen_on_just_the_ports_that_were_asked_for() -> None:
    first = free_port()
    with set_up(Direct(), Conditions(cpus=Cpus(), ports=Ports(first, exact=True)), Shape(1, 1)) as stage:
        assert [site.port for site in stage.sites] == [first]


def test_a_port_in_use_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        conditions = Conditions(cpus=Cpus(), ports=Ports(port, exact=True))
        with (
            pytest.raises(BenchError, match=f"only 0 of 1 ports are free from {port}"),
            set_up(Direct(), conditions, Shape(1, 1)),
        ):
            pass


def test_relay_and_load_are_pinned_where_enough_cpus_are_left_for_the_load() -> None:
    split = Cpus.split()
    assert bool(split.relay) == (len(os.sched_getaffinity(0)) > 1)
    assert set(split.relay) | set(split.load) <= os.sched_getaffinity(0)
    assert not set(split.relay) & set(split.load)
    assert Cpus.split(load=10_000) == Cpus()
    assert str(Cpus()) == "any for all"
    assert str(Cpus((0,), (1, 2))) == "0 for the relay, 1,2 for the load"


def test_a_load_process_that_dies_is_not_the_relays_fault() -> None:
    with set_up(Direct(), ANYWHERE, Shape(1, 1)) as stage:
        stage.check_load()
        os.kill(stage.load[0].pid, signal.SIGKILL)

        def found_dead() -> bool:
            stage.check_load()
            return False

        with pytest.raises(BenchError, match="origin, of the load, has ended: killed by SIGKILL"):
            until(found_dead, "its death")


def test_an_app_that_hangs_is_not_the_relays_fault() -> None:
    with set_up(Direct(), ANYWHERE, Shape(1, 1)) as stage:
        stage.check_load(closely=True)
        os.kill(stage.load[0].pid, signal.SIGSTOP)
        with pytest.raises(BenchError, match="an app of the load on port"):
            stage.check_load(closely=True)
