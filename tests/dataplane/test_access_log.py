"""One JSON line for each request, refused ones too; and a log that can't be written stops nobody."""

import json
import os
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from child import until
from dataplane import origins
from dataplane.origins import Origin, answering, echo, origin
from dataplane.wire import Message, Wire, request
from fingerpost.label.legacy import seal_legacy
from relay import DOMAIN, NewRelay, Relay

FIELDS = [
    *("time", "client", "host", "label_kind", "target", "method", "path", "status", "bytes_in", "bytes_out"),
    *("first_byte_s", "duration_s", "reused", "close_reason"),
]


@pytest.fixture(scope="module")
def app() -> Iterator[Origin]:
    with origin(answering(echo)) as running:
        yield running


def ask(relay: Relay, data: bytes) -> tuple[Message, str]:
    """The answer, and the client's address as the log has it."""
    with Wire(relay.connection()) as wire:
        host, port = wire.sock.getsockname()
        wire.send(data)
        return wire.read_response(), f"{host}:{port}"


def record_of(relay: Relay, client: str) -> dict[str, Any]:
    return relay.wait_for_record(lambda record: record["client"] == client)


def test_a_request_is_one_line_with_everything_about_it(relay: Relay, app: Origin) -> None:
    before = datetime.now(UTC)
    data = request(relay.host(app.target), "/a/b?token=secret", method="POST", body=b"0123456789")
    answer, client = ask(relay, data)
    record = record_of(relay, client)

    assert list(record) == FIELDS
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
    assert abs((datetime.fromisoformat(record["time"]) - before).total_seconds()) < 5
    assert record["host"] == relay.host(app.target)
    assert (record["label_kind"], record["target"]) == ("sealed", f"http://{app.target}")
    assert (record["method"], record["path"], record["status"]) == ("POST", "/a/b", 200)
    assert record["bytes_in"] == len(data)
    assert record["bytes_out"] == len(answer.head) + len(answer.body)
    assert 0 <= record["first_byte_s"] <= record["duration_s"] < 5
    assert (record["reused"], record["close_reason"]) == (False, "done")
    assert "secret" not in "".join(relay.child.stdout)


def test_each_of_many_pipelined_requests_is_one_line(relay: Relay, app: Origin) -> None:
    host = relay.host(app.target)
    with Wire(relay.connection()) as wire:
        client = "{}:{}".format(*wire.sock.getsockname())
        wire.send(b"".join(request(host, f"/{number}", method="PUT", body=b"x" * number) for number in range(50)))
        sizes = [len(answer.head + answer.body) for answer in (wire.read_response() for _ in range(50))]
        relay.wait_for_record(lambda record: (record["client"], record["path"]) == (client, "/49"))

    records = [record for record in relay.records() if record["client"] == client]
    assert [record["path"] for record in records] == [f"/{number}" for number in range(50)]
    assert [record["bytes_out"] for record in records] == sizes
    assert [record["bytes_in"] for record in records] == [
        len(request(host, f"/{number}", method="PUT", body=b"x" * number)) for number in range(50)
    ]
    assert all(record["reused"] for record in records[1:])


def test_a_legacy_label_is_said_to_be_one(app: Origin, new_relay: NewRelay, tmp_path: Path) -> None:
    (tmp_path / "legacy").write_bytes(b"thisissecretkey")
    (tmp_path / "legacy").chmod(0o600)
    relay = new_relay("--legacy-key-file", str(tmp_path / "legacy"))
    _, client = ask(relay, request(f"{seal_legacy(app.target, b'thisissecretkey')}.{DOMAIN}"))

    assert record_of(relay, client)["label_kind"] == "legacy"


@pytest.mark.parametrize(
    ("data", "status", "host", "method", "path"),
    [
        (request(f"nowhere.{DOMAIN}", "/x?y"), 404, f"nowhere.{DOMAIN}", "GET", "/x"),
        (request("example.org", "*", method="OPTIONS"), 421, "example.org", "OPTIONS", "*"),
        (request(f"nowhere.{DOMAIN}", '/"\\?q'), 404, f"nowhere.{DOMAIN}", "GET", '/"\\'),
        (request('a"\\\x80\xff,"status":200'), 400, 'a"\\\x80\xff,"status":200', "GET", "/"),
        (request("x", method="CONNECT"), 405, "x", "CONNECT", None),
        (b"nonsense\r\n\r\n", 400, None, None, None),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000, 431, None, None, None),
    ],
)
def test_a_refusal_is_a_line_too(
    relay: Relay, data: bytes, status: int, host: str | None, method: str | None, path: str | None
) -> None:
    answer, client = ask(relay, data)
    record = record_of(relay, client)

    assert list(record) == FIELDS
    assert (answer.status, record["status"]) == (status, status)
    assert (record["host"], record["method"], record["path"]) == (host, method, path)
    assert (record["label_kind"], record["target"], record["first_byte_s"]) == (None, None, None)
    assert record["bytes_out"] == len(answer.head) + len(answer.body)
    assert record["close_reason"] not in ("", "done")


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (origins.closes_after_the_request, 502),
        (origins.saying(b"garbage\r\n\r\n"), 502),
        (origins.dies_mid_body, 200),
    ],
)
def test_what_an_app_does_wrong_is_said_in_the_close_reason(relay: Relay, script: origins.Script, status: int) -> None:
    with origin(script) as app, Wire(relay.connection()) as wire:
        client = "{}:{}".format(*wire.sock.getsockname())
        wire.send(request(relay.host(app.target)))
        record = record_of(relay, client)

    assert (record["status"], record["target"]) == (status, f"http://{app.target}")
    assert "the app" in record["close_reason"]


def test_a_destination_that_is_not_allowed_is_named_in_the_log_alone(relay: Relay) -> None:
    answer, client = ask(relay, request(relay.host("169.254.169.254:80")))
    record = record_of(relay, client)

    assert (record["status"], record["target"]) == (403, "http://169.254.169.254:80")
    assert "link-local" in record["close_reason"]
    assert b"169.254" not in answer.head + answer.body


def test_a_client_that_goes_is_said_in_the_close_reason(relay: Relay) -> None:
    with origin(origins.hangs_mid_body) as app:
        wire = Wire(relay.connection())
        client = "{}:{}".format(*wire.sock.getsockname())
        wire.send(request(relay.host(app.target)))
        wire.read_head()
        wire.reset()
        record = record_of(relay, client)

    assert (record["status"], record["close_reason"]) == (200, "the client is gone")
    assert record["bytes_out"] > 0


def test_the_log_is_a_file_that_is_appended_to(app: Origin, new_relay: NewRelay, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text('{"path": "/before"}\n')
    relay = new_relay("--access-log", str(log))
    ask(relay, request(relay.host(app.target), "/during"))
    until(lambda: log.read_text().count("\n") == 2, "the line is written")
    ask(relay, request(relay.host(app.target), "/last"))
    relay.stop()  # what was not written yet is written at the end

    assert [json.loads(line)["path"] for line in log.read_text().splitlines()] == ["/before", "/during", "/last"]


# A log that can't be written


def test_a_full_disk_stops_the_log_says_so_once_and_stops_nobody(app: Origin, new_relay: NewRelay) -> None:
    relay = new_relay("--access-log", "/dev/full")
    data = request(relay.host(app.target)) * 100
    with Wire(relay.connection()) as wire:
        wire.send(data)
        assert [wire.read_response().status for _ in range(100)] == [200] * 100
        relay.child.wait_for_line("access log /dev/full: No space left on device")
        for _ in range(20):
            wire.send(data)
            assert [wire.read_response().status for _ in range(100)] == [200] * 100
    assert relay.stop() == 0

    assert relay.stderr.count("access log") == 1


def test_a_reader_of_the_log_that_stops_stops_nobody(new_relay: NewRelay, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    relay = new_relay("--access-log", str(fifo))
    one = request(f"nowhere.{DOMAIN}", "/" + "x" * 300)  # refused, and so a line that costs little else
    with Wire(relay.connection()) as wire:
        for _ in range(400):
            wire.send(one * 100)
            assert [wire.read_response().status for _ in range(100)] == [404] * 100
            if "can't keep up" in relay.stderr:
                break
        else:
            pytest.fail("all lines were kept in memory")

        os.set_blocking(reader, True)
        stop = threading.Event()
        threading.Thread(target=drain, args=(reader, stop), daemon=True).start()
        relay.child.wait_for_line(r"is written again; \d+ lines were dropped")
        wire.send(one)
        assert wire.read_response().status == 404
    stop.set()
    assert relay.stop() == 0
    assert relay.stderr.count("can't keep up") == 1


def drain(reader: int, stop: threading.Event) -> None:
    while not stop.is_set() and os.read(reader, 1 << 16):
        pass
    os.close(reader)


def test_a_reader_of_the_log_that_goes_stops_nobody(app: Origin, new_relay: NewRelay, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    relay = new_relay("--access-log", str(fifo))
    os.close(reader)
    assert ask(relay, request(relay.host(app.target)))[0].status == 200
    relay.child.wait_for_line("access log .*: Broken pipe")

    assert ask(relay, request(relay.host(app.target)))[0].status == 200
    assert relay.stop() == 0


def test_the_lines_of_several_workers_stay_whole_in_a_pipe(new_relay: NewRelay) -> None:
    relay = new_relay("--workers", "4")
    refused = request(f"nothing.{DOMAIN}", "/" + "x" * 200) * 300

    def ask() -> None:
        for _ in range(10):
            with Wire(relay.connection()) as wire:
                wire.send(refused)
                for _ in range(300):
                    assert wire.read_response().status == 404

    clients = [threading.Thread(target=ask) for _ in range(6)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    relay.child.wait_for(lambda: len([line for line in relay.child.stdout if "xxx" in line]) >= 18_000, "all lines")
    lines = [line for line in relay.child.stdout if "listening on" not in line]
    assert len(lines) == 18_000
    assert {json.loads(line)["status"] for line in lines} == {404}
