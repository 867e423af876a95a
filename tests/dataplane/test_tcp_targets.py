"""``tcp`` targets: the head leads the way and then goes to the app like every byte behind it, unread."""

import os
import select
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from child import until
from dataplane.tunnels import (
    DEADLINE_S,
    App,
    fill,
    is_reset,
    read_exactly,
    read_response,
    read_to_end,
    receive_bulk,
    reset,
    send_bulk,
    tcp_head,
    tcp_tunnel,
    transfer,
)
from relay import Relay

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"


@pytest.mark.parametrize(
    "behind",
    [b"", b"\0", HTTP2_PREFACE, b"GET / HTTP/1.1\r\nHost: elsewhere\r\n\r\n", bytes(range(256)) * 100, b"\r\n\n\r"],
    ids=["nothing", "a zero", "HTTP/2", "another request", "every byte", "line ends"],
)
def test_the_head_and_what_is_behind_it_arrive_unmodified(relay: Relay, app: App, behind: bytes) -> None:
    with tcp_tunnel(relay, app, behind=behind) as (client, served):
        assert read_exactly(served, len(behind)) == behind
        served.sendall(HTTP2_PREFACE)
        assert read_exactly(client, len(HTTP2_PREFACE)) == HTTP2_PREFACE


def test_a_head_in_single_bytes_arrives_whole(relay: Relay, app: App) -> None:
    head = tcp_head(relay, app)
    with relay.connection() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head + b"and on":
            client.sendall(bytes([byte]))
        with app.accept() as served:
            assert read_exactly(served, len(head) + 6) == head + b"and on"


def test_early_bytes_of_any_size_stay_in_order(relay: Relay, app: App) -> None:
    early = os.urandom(3_000_000)
    with ThreadPoolExecutor(1) as pool, relay.connection() as client:
        head = tcp_head(relay, app)
        sending = pool.submit(client.sendall, head + early + b"end")
        with app.accept() as served:
            assert read_exactly(served, len(head)) == head
            assert read_exactly(served, len(early) + 3) == early + b"end"
            sending.result(DEADLINE_S)


def test_an_app_may_speak_first(relay: Relay, app: App) -> None:
    with relay.connection() as client:
        client.sendall(tcp_head(relay, app))
        with app.accept() as served:
            served.sendall(b"220 ready\r\n")
            assert read_exactly(client, 11) == b"220 ready\r\n"


def test_bytes_that_look_like_an_answer_are_not_read_as_one(relay: Relay, app: App) -> None:
    with tcp_tunnel(relay, app) as (client, served):
        for piece in (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 nonsense\r\n\r\n", b"and more"):
            served.sendall(piece)
            assert read_exactly(client, len(piece)) == piece


def test_half_close_travels_both_ways(relay: Relay, app: App) -> None:
    with tcp_tunnel(relay, app) as (client, served):
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(served) == b"question"
        served.sendall(b"answer")
        served.shutdown(socket.SHUT_WR)
        assert read_to_end(client) == b"answer"
    with tcp_tunnel(relay, app) as (client, served):
        served.sendall(b"banner")
        served.shutdown(socket.SHUT_WR)
        assert read_to_end(client) == b"banner"
        client.sendall(b"thanks")
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(served) == b"thanks"


def test_a_client_that_has_ended_before_the_app_is_connected_still_gets_its_answer(relay: Relay, app: App) -> None:
    with relay.connection() as client:
        head = tcp_head(relay, app)
        client.sendall(head + b"all")
        client.shutdown(socket.SHUT_WR)
        with app.accept() as served:
            assert read_to_end(served) == head + b"all"
            served.sendall(b"answer")
        assert read_to_end(client) == b"answer"


def test_a_reset_is_passed_on(relay: Relay, app: App) -> None:
    with tcp_tunnel(relay, app) as (client, served):
        reset(client)
        assert is_reset(served)
    with tcp_tunnel(relay, app) as (client, served):
        reset(served)
        assert is_reset(client)


def test_bulk_both_ways(relay: Relay, app: App) -> None:
    with tcp_tunnel(relay, app) as (client, served):
        transfer(client, served, 50_000_000)
        transfer(served, client, 50_000_000)


def test_a_reader_that_stops_stops_the_writer(relay: Relay, app: App) -> None:
    with tcp_tunnel(relay, app) as (client, served), ThreadPoolExecutor(1) as pool:
        taken = fill(client, 200_000_000)
        assert taken < 100_000_000
        assert len(read_exactly(served, taken)) == taken
        sent = pool.submit(send_bulk, client, 1_000_000)
        assert receive_bulk(served, 1_000_000) == sent.result(DEADLINE_S)


def test_the_log_line_has_no_status_and_counts_the_head_once(relay: Relay, app: App) -> None:
    head = tcp_head(relay, app)
    with tcp_tunnel(relay, app, behind=b"12345") as (client, served):
        assert read_exactly(served, 5) == b"12345"
        served.sendall(b"123")
        assert read_exactly(client, 3) == b"123"
    record = relay.wait_for_record(lambda record: record["target"] == f"tcp://{app.target}")
    assert record["status"] is None
    assert (record["method"], record["path"], record["label_kind"]) == ("POST", "/a", "sealed")
    assert (record["bytes_in"], record["bytes_out"]) == (len(head) + 5, 3)
    assert record["close_reason"] == "done"
    assert record["first_byte_s"] is None


def test_no_app_is_502_as_for_any_target(relay: Relay, app: App) -> None:
    with app:
        head = tcp_head(relay, app)
    with relay.connection() as client:
        client.sendall(head)
        status, answer, _ = read_response(client)
    assert status == 502
    assert b"error=connection_refused" in answer


def test_a_malformed_head_reaches_no_app(relay: Relay, app: App) -> None:
    with relay.connection() as client:
        client.sendall(tcp_head(relay, app).replace(b"x-odd: 1", b"x odd: 1"))
        assert read_response(client)[0] == 400
    with tcp_tunnel(relay, app) as (client, served):  # the first connection that the app sees is this one
        client.sendall(b"me")
        until(lambda: bool(select.select([served], [], [], 0)[0]), "the bytes")
        assert read_exactly(served, 2) == b"me"
