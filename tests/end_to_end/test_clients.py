"""Clients and servers that other people wrote, with the proxy between them."""

import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from relay import DOMAIN, Relay
from upstreams import http_echo, nginx, websocket_echo

STATIC_BYTES = 5_000_000
LARGE_MESSAGE_BYTES = 20_000_000
TEXT = "All the ways lead somewhere.\n" * 5_000

NGINX_SERVER = """
        absolute_redirect off;
        gzip on;
        gzip_types text/plain;
        location /moved { return 302 /static.bin; }
        location /nothing { return 204; }
"""


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    with http_echo() as target:
        yield target


@pytest.fixture(scope="module")
def websocket_target() -> Iterator[str]:
    with websocket_echo() as target:
        yield target


@pytest.fixture
def websocket(relay: Relay, websocket_target: str) -> Iterator[ClientConnection]:
    with relay.websocket(websocket_target, compression=None) as connection:
        yield connection


@pytest.fixture(scope="module")
def static() -> bytes:
    return random.Random(5).randbytes(STATIC_BYTES)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, static: bytes) -> Iterator[str]:
    """An nginx with ``/static.bin`` and ``/text.txt``."""
    directory = tmp_path_factory.mktemp("nginx")
    (directory / "static.bin").write_bytes(static)
    (directory / "text.txt").write_text(TEXT)
    with nginx(directory, NGINX_SERVER) as target:
        yield target


@pytest.fixture
def http(relay: Relay) -> httpx.Client:
    return relay.http()


@pytest.fixture
def curl(relay: Relay, tmp_path: Path) -> Callable[..., bytes]:
    """Runs curl for a path of a target through the proxy, with any more arguments; returns its output."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed")

    def run(*arguments: str, target: str, path: str = "/") -> bytes:
        label = relay.label(target)
        resolve = ["--resolve", f"{label}.{DOMAIN}:{relay.port}:127.0.0.1"]
        command = [program, "--silent", "--show-error", "--noproxy", "*", "--max-time", "30", *resolve]
        ended = subprocess.run(
            [*command, *arguments, relay.url(target, path)],
            capture_output=True,
            timeout=40,
            cwd=tmp_path,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr.decode()
        return ended.stdout

    return run


# curl


def test_curl_gets_a_page_with_the_fields_of_its_request_seen_by_the_app(
    curl: Callable[..., bytes], relay: Relay, echo: str
) -> None:
    seen = httpx.Response(200, content=curl("-H", "X-Colour: mauve", target=echo, path="/seen?a=1&a=2")).json()

    assert (seen["method"], seen["path"], seen["query"]) == ("GET", "/seen", "a=1&a=2")
    assert ["x-colour", "mauve"] in seen["fields"]
    assert ["host", relay.host(echo)] in seen["fields"]


def test_curl_uploads_a_file_whose_length_it_knows(
    curl: Callable[..., bytes], echo: str, static: bytes, tmp_path: Path
) -> None:
    (tmp_path / "upload.bin").write_bytes(static)

    assert curl("--data-binary", "@upload.bin", target=echo, path="/body") == static


def test_curl_uploads_in_chunks_and_waits_for_100_continue(
    curl: Callable[..., bytes], echo: str, static: bytes, tmp_path: Path
) -> None:
    (tmp_path / "upload.bin").write_bytes(static)
    fields = ("-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue")

    assert curl("-T", "upload.bin", *fields, target=echo, path="/body") == static


def test_curl_head_gets_the_fields_and_no_body(curl: Callable[..., bytes], web: str) -> None:
    head = curl("--head", target=web, path="/static.bin").decode()

    assert head.startswith("HTTP/1.1 200")
    assert f"content-length: {STATIC_BYTES}\r\n" in head.lower()


def test_curl_speaks_http_1_0(curl: Callable[..., bytes], echo: str) -> None:
    pieces = curl("--http1.0", target=echo, path="/pieces?n=1000")

    assert pieces == b"".join(b"piece %d\n" % number for number in range(1000))


def test_curl_is_told_that_a_forged_label_does_not_exist(curl: Callable[..., bytes], relay: Relay, echo: str) -> None:
    label = relay.label(echo)
    forged = label[:-4] + ("aaaa" if label[-4:] != "aaaa" else "bbbb")

    said = curl("--include", "-H", f"Host: {forged}.{DOMAIN}", target=echo)

    assert said.startswith(b"HTTP/1.1 404 ")
    assert b"\r\nproxy-status: fingerpost;" in said.lower()
    assert b"127.0.0.1" not in said


# httpx


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_httpx_methods_arrive_as_they_are(http: httpx.Client, relay: Relay, echo: str, method: str) -> None:
    response = http.request(method, relay.url(echo, "/seen"))

    assert response.status_code == 200
    assert response.headers["x-method"] == method


def test_httpx_bodies_of_many_sizes_come_back(http: httpx.Client, relay: Relay, echo: str) -> None:
    for size in (0, 1, 1023, 1024, 65_535, 65_536, 65_537, 1_000_000):
        body = random.Random(size).randbytes(size)
        assert http.post(relay.url(echo, "/body"), content=body).content == body


def test_httpx_streams_a_body_of_unknown_length(http: httpx.Client, relay: Relay, echo: str) -> None:
    blocks = [b"%06d" % number * 1000 for number in range(300)]

    assert http.post(relay.url(echo, "/body"), content=iter(blocks)).content == b"".join(blocks)


def test_httpx_reaches_two_apps_over_one_connection(new_relay: Callable[..., Relay], echo: str, web: str) -> None:
    relay = new_relay()
    http = relay.http()
    for _ in range(20):
        assert http.get(relay.url(echo, "/seen")).json()["path"] == "/seen"
        assert http.get(relay.url(web, "/text.txt")).text == TEXT

    relay.child.wait_for(lambda: len(relay.records()) == 40, "40 records in the access log")
    assert len({record["client"] for record in relay.records()}) == 1
    assert {record["target"] for record in relay.records()} == {f"http://{echo}", f"http://{web}"}


# websockets


@pytest.mark.parametrize("message", ["Grüße aus dem Tunnel \N{COMPASS}", b"\x00\x01\xff binary", "", b""])
def test_websocket_messages_come_back_as_the_kind_they_were(websocket: ClientConnection, message: str | bytes) -> None:
    websocket.send(message)

    assert websocket.recv(timeout=10.0) == message


def test_a_large_websocket_message_comes_back(websocket: ClientConnection) -> None:
    message = random.Random(20).randbytes(LARGE_MESSAGE_BYTES)
    websocket.send(message)
    received = websocket.recv(timeout=30.0)

    assert len(received) == LARGE_MESSAGE_BYTES
    assert received == message


def test_many_websocket_messages_keep_their_order(websocket: ClientConnection) -> None:
    for number in range(5_000):
        websocket.send(f"{number}")
        if number >= 50:
            assert websocket.recv(timeout=10.0) == f"{number - 50}"
    assert [websocket.recv(timeout=10.0) for _ in range(50)] == [f"{n}" for n in range(4_950, 5_000)]


def test_compression_is_agreed_between_the_ends(relay: Relay, websocket_target: str) -> None:
    with relay.websocket(websocket_target, compression="deflate") as connection:
        assert [extension.name for extension in connection.protocol.extensions] == ["permessage-deflate"]
        connection.send(TEXT)
        assert connection.recv(timeout=10.0) == TEXT


def test_a_close_from_the_app_arrives_with_code_and_reason(websocket: ClientConnection) -> None:
    websocket.send("close 4001 enough for today")
    with pytest.raises(ConnectionClosed) as closed:
        websocket.recv(timeout=10.0)

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "enough for today")


def test_a_close_from_the_client_is_answered_by_the_app(websocket: ClientConnection) -> None:
    websocket.close(4002, "good night")

    assert (websocket.close_code, websocket.close_reason) == (4002, "good night")


# nginx behind the proxy


def test_nginx_serves_a_large_file(http: httpx.Client, relay: Relay, web: str, static: bytes) -> None:
    response = http.get(relay.url(web, "/static.bin"))

    assert response.content == static
    assert response.headers["content-length"] == str(STATIC_BYTES)
    assert response.headers["server"].startswith("nginx")


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1000000-2999999", 1_000_000, 3_000_000),
        ("bytes=-17", STATIC_BYTES - 17, STATIC_BYTES),
    ],
)
def test_nginx_serves_a_range(
    http: httpx.Client, relay: Relay, web: str, static: bytes, wanted: str, start: int, end: int
) -> None:
    response = http.get(relay.url(web, "/static.bin"), headers={"Range": wanted})

    assert response.status_code == 206
    assert response.headers["content-range"] == f"bytes {start}-{end - 1}/{STATIC_BYTES}"
    assert response.content == static[start:end]


def test_nginx_serves_several_ranges_in_one_multipart_body(
    http: httpx.Client, relay: Relay, web: str, static: bytes
) -> None:
    response = http.get(relay.url(web, "/static.bin"), headers={"Range": "bytes=0-9,100-109"})

    assert response.status_code == 206
    assert response.headers["content-type"].startswith("multipart/byteranges")
    assert static[0:10] in response.content
    assert static[100:110] in response.content


def test_a_range_beyond_the_end_is_refused_by_nginx_itself(http: httpx.Client, relay: Relay, web: str) -> None:
    response = http.get(relay.url(web, "/static.bin"), headers={"Range": f"bytes={STATIC_BYTES}-"})

    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{STATIC_BYTES}"


def test_nginx_compresses_in_chunks(http: httpx.Client, relay: Relay, web: str) -> None:
    response = http.get(relay.url(web, "/text.txt"), headers={"Accept-Encoding": "gzip"})

    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["transfer-encoding"] == "chunked"
    assert response.text == TEXT


def test_nginx_answers_304_without_a_body_and_the_connection_goes_on(
    http: httpx.Client, relay: Relay, web: str
) -> None:
    url = relay.url(web, "/text.txt")
    tag = http.get(url, headers={"Accept-Encoding": "identity"}).headers["etag"]
    for _ in range(3):
        response = http.get(url, headers={"If-None-Match": tag, "Accept-Encoding": "identity"})
        assert (response.status_code, response.content) == (304, b"")
    assert http.get(url).text == TEXT


def test_a_redirect_from_nginx_leads_through_the_proxy_again(
    http: httpx.Client, relay: Relay, web: str, static: bytes
) -> None:
    response = http.get(relay.url(web, "/moved"), follow_redirects=True)

    assert str(response.url) == relay.url(web, "/static.bin")
    assert response.content == static


def test_nginx_answers_204_and_the_connection_goes_on(http: httpx.Client, relay: Relay, web: str) -> None:
    for _ in range(3):
        response = http.get(relay.url(web, "/nothing"))
        assert (response.status_code, response.content) == (204, b"")
