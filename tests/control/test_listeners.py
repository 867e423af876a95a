"""Listening sockets: options, honest refusals, room for descriptors."""

import os
import socket
import subprocess
import sys

import pytest

from fingerpost.control.listeners import Listeners, descriptors_needed
from fingerpost.errors import ConfigError


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_port_0_becomes_a_real_port_that_accepts() -> None:
    (listener,) = Listeners(["127.0.0.1:0"], 1)
    with listener.sockets[0], socket.create_connection(("127.0.0.1", port_of(listener.address)), timeout=5):
        listener.sockets[0].settimeout(5)
        accepted, _ = listener.sockets[0].accept()
        accepted.close()


def test_listeners_are_not_blocking_and_not_inherited_by_accident() -> None:
    (listener,) = Listeners(["127.0.0.1:0"], 1)
    with listener.sockets[0]:
        assert not listener.sockets[0].getblocking()
        assert not os.get_inheritable(listener.sockets[0].fileno())


def test_ipv4_and_ipv6_share_a_port_because_ipv6_listeners_are_ipv6_only() -> None:
    (six,) = Listeners(["[::]:0"], 1)
    with six.sockets[0]:
        (four,) = Listeners([f"0.0.0.0:{port_of(six.address)}"], 1)
        four.close()
        assert six.address.startswith("[::]:")


def test_a_port_that_somebody_listens_on_is_refused_although_both_would_share_it() -> None:
    (first,) = Listeners(["127.0.0.1:0"], 1)
    with first.sockets[0], pytest.raises(ConfigError) as caught:
        Listeners([first.address], 1)
    assert caught.value.key == "listen"
    assert caught.value.value == first.address
    assert "choose another port" in caught.value.accepted


def test_each_worker_gets_a_socket_of_its_own_and_connections_are_spread_over_them() -> None:
    (listener,) = Listeners(["127.0.0.1:0"], 3)
    address = ("127.0.0.1", port_of(listener.address))
    assert {listening.getsockname() for listening in listener.sockets} == {address}
    clients = [socket.create_connection(address, timeout=5) for _ in range(200)]
    counts = [len(accept_all(listening)) for listening in listener.sockets]
    assert sum(counts) == 200
    assert min(counts) > 20
    for client in clients:
        client.close()
    listener.close()


def accept_all(listening: socket.socket) -> list[socket.socket]:
    accepted = []
    while True:
        try:
            accepted.append(listening.accept()[0])
        except BlockingIOError:
            break
    for sock in accepted:
        sock.close()
    return accepted


def test_however_many_workers_there_are_every_socket_is_somebodys() -> None:
    (listener,) = Listeners(["127.0.0.1:0"], 4)
    for count in (1, 2, 3, 4):
        shares = [listener.share(number, count) for number in range(count)]
        assert sorted(sock.fileno() for share in shares for sock in share) == sorted(
            sock.fileno() for sock in listener.sockets
        )
    listener.grow(2)
    assert len(listener.sockets) == 4
    listener.grow(5)
    assert len(listener.sockets) == 5
    listener.close()


def test_a_port_that_all_workers_of_another_proxy_share_is_refused() -> None:
    (first,) = Listeners(["127.0.0.1:0"], 3)
    with pytest.raises(ConfigError, match="choose another port"):
        Listeners([first.address], 3)
    first.close()


def test_a_port_in_time_wait_can_be_listened_on_again() -> None:
    (listener,) = Listeners(["127.0.0.1:0"], 1)
    with (
        listener.sockets[0],
        socket.create_connection(("127.0.0.1", port_of(listener.address)), timeout=5) as client,
    ):
        listener.sockets[0].settimeout(5)
        accepted, _ = listener.sockets[0].accept()
        accepted.close()  # the side that closes first waits
        assert client.recv(1) == b""
    (again,) = Listeners([listener.address], 1)
    again.close()


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        Listeners(["192.0.2.1:8080"], 1)
    assert "an address of this machine" in caught.value.accepted


def test_when_one_address_fails_none_stays_open() -> None:
    (free,) = Listeners(["127.0.0.1:0"], 1)
    free.close()
    with pytest.raises(ConfigError):
        Listeners([free.address, "192.0.2.1:8080"], 1)
    Listeners([free.address], 1).close()


def with_limits(soft: int, hard: int, wanted: int) -> str:
    """What make_room does under these limits: in a process of its own, as limits don't come back."""
    code = (
        "import resource, sys; from fingerpost.control.listeners import make_room\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        f"try: print(make_room({wanted}), *resource.getrlimit(resource.RLIMIT_NOFILE))\n"
        "except Exception as error: print(error)"
    )
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_the_soft_limit_rises_to_what_connections_need() -> None:
    assert with_limits(256, 2000, 500) == f"500 {descriptors_needed(500)} 2000"


def test_a_sufficient_soft_limit_is_left_alone() -> None:
    assert with_limits(1900, 2000, 500) == "500 1900 2000"


def test_connections_are_lowered_to_what_the_hard_limit_has_room_for() -> None:
    assert with_limits(256, 1000, 500) == "180 1000 1000"


def test_a_hard_limit_without_room_for_one_connection_is_a_problem() -> None:
    said = with_limits(200, 257, 500)
    assert said.startswith("max_connections: 500: expected")
    assert "257" in said
