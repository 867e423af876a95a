"""What a load needs is known before it starts, and what is missing is said with how to get it."""

import socket

import pytest

from fingerpost.bench import needs
from fingerpost.bench.errors import BenchError
from fingerpost.bench.needs import Ports, Shape


def test_a_load_that_fits_is_not_complained_about() -> None:
    needs.check(Shape(6, 100), Ports())


def test_too_few_descriptors_are_said_with_how_many_are_needed_and_how_to_get_them() -> None:
    limit = needs.descriptor_limit()
    with pytest.raises(BenchError, match=rf"the hard limit here is {limit:,}; raise it \(ulimit -Hn \d+") as raised:
        needs.check(Shape(6, limit), Ports())
    assert f"{2 * limit + 700:,} descriptors" in str(raised.value)


def test_for_capacity_what_the_relay_can_hold_is_the_question_and_no_need() -> None:
    count = needs.descriptor_limit() // 2
    needs.check(Shape(100, min(count, 20_000), bounded_by_relay=True), Ports())


def test_too_few_connection_ports_are_said() -> None:
    low, high = needs.connection_ports()
    with pytest.raises(BenchError, match=r"local ports .*ip_local_port_range"):
        needs.check(Shape(6, high - low + 2, bounded_by_relay=True), Ports())


def test_too_few_ports_for_servers_are_said() -> None:
    with pytest.raises(BenchError, match="--first-port"):
        needs.check(Shape(60_000, 1, bounded_by_relay=True), Ports())
    with pytest.raises(BenchError, match="only 36 are left from 65500 on"):
        needs.check(Shape(100, 1), Ports(65_500, exact=True))


def test_servers_on_exact_ports_take_them_from_connections() -> None:
    low, high = needs.connection_ports()
    room = high - low + 1
    needs.check(Shape(100, room - 1000, bounded_by_relay=True), Ports())
    with pytest.raises(BenchError, match="local ports"):
        needs.check(Shape(1000, room - 1000, bounded_by_relay=True), Ports(low, exact=True))


def test_a_port_in_use_is_said_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BenchError, match=rf"port {port} can't be listened on"):
            needs.check(Shape(1, 1), Ports(port, exact=True))
    needs.check(Shape(1, 1), Ports(port, exact=True))


def test_as_many_processes_as_descriptors_ask_for() -> None:
    limit = needs.descriptor_limit()
    assert needs.origins_needed(Shape(6, 100)) == needs.clients_needed(Shape(6, 100)) == 1
    assert needs.clients_needed(Shape(1, limit)) == 2
    assert needs.origins_needed(Shape(limit, limit)) >= 3
