"""Strictness must cost nobody anything: heads as browsers, tools and libraries send them, all accepted."""

import pytest

from .oracles import Oracle, h11_request, llhttp_request
from .reading import feedings, read_request
from .test_oracles import assert_request_read_alike

CHROMIUM = """\
GET /lab/tree/notebook.ipynb?reset HTTP/1.1
Host: pr-123.apps.example.com
Connection: keep-alive
Cache-Control: max-age=0
sec-ch-ua: "Chromium";v="130", "Not?A_Brand";v="99"
sec-ch-ua-mobile: ?0
sec-ch-ua-platform: "Linux"
Upgrade-Insecure-Requests: 1
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8
Sec-Fetch-Site: none
Sec-Fetch-Mode: navigate
Sec-Fetch-User: ?1
Sec-Fetch-Dest: document
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-GB,en-US;q=0.9,en;q=0.8
Cookie: _xsrf=2|7586b241|47c967|1732374000; username="2|1:0|10:1732374000|23:username|44:eyJ1c2Vy|f3a1"
If-None-Match: W/"5e1a-1732374000"

"""

CHROMIUM_WEBSOCKET = """\
GET /api/kernels/5a0f6a0c/channels?session_id=6ff1 HTTP/1.1
Host: pr-123.apps.example.com
Connection: Upgrade
Pragma: no-cache
Cache-Control: no-cache
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0
Upgrade: websocket
Origin: https://pr-123.apps.example.com
Sec-WebSocket-Version: 13
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-GB,en-US;q=0.9,en;q=0.8
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits
Sec-WebSocket-Protocol: v1.kernel.websocket.jupyter.org

"""

FIREFOX = """\
POST /api/contents HTTP/1.1
Host: pr-123.apps.example.com:8443
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0
Accept: application/json
Accept-Language: de,en-US;q=0.7,en;q=0.3
Accept-Encoding: gzip, deflate, br
Content-Type: application/json
X-XSRFToken: 2|7586b241|47c967
Content-Length: 15
Origin: https://pr-123.apps.example.com:8443
DNT: 1
Connection: keep-alive
Sec-GPC: 1
Priority: u=0
TE: trailers

{"type":"file"}"""

FIREFOX_WEBSOCKET = """\
GET /ws HTTP/1.1
Host: pr-123.apps.example.com
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0
Accept: */*
Sec-WebSocket-Version: 13
Origin: https://pr-123.apps.example.com
Sec-WebSocket-Extensions: permessage-deflate
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Connection: keep-alive, Upgrade
Upgrade: websocket

"""

ORDINARY = {
    "Chromium, a page": CHROMIUM,
    "Chromium, a WebSocket": CHROMIUM_WEBSOCKET,
    "Firefox, fetch": FIREFOX,
    "Firefox, a WebSocket": FIREFOX_WEBSOCKET,
    "curl": "GET / HTTP/1.1\nHost: app.test:8080\nUser-Agent: curl/8.10.1\nAccept: */*\n\n",
    "curl -0": "GET / HTTP/1.0\nHost: app.test\nUser-Agent: curl/8.10.1\nAccept: */*\n\n",
    "curl, through a proxy": (
        "GET http://app.test/a?b=c HTTP/1.1\nHost: app.test\nUser-Agent: curl/8.10.1\nAccept: */*\n"
        "Proxy-Connection: Keep-Alive\n\n"
    ),
    "curl -d, large": (
        "POST /upload HTTP/1.1\nHost: app.test\nUser-Agent: curl/8.10.1\nAccept: */*\nContent-Length: 4\n"
        "Content-Type: application/x-www-form-urlencoded\nExpect: 100-continue\n\na=bc"
    ),
    "curl -T -": (
        "PUT /a HTTP/1.1\nHost: app.test\nUser-Agent: curl/8.10.1\nAccept: */*\nTransfer-Encoding: chunked\n"
        "Expect: 100-continue\n\n3\nabc\n0\n\n"
    ),
    "curl --http2": (
        "GET / HTTP/1.1\nHost: app.test\nUser-Agent: curl/8.10.1\nAccept: */*\n"
        "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\n\n"
    ),
    "java.net.http, POST": (
        "POST /a HTTP/1.1\nConnection: Upgrade, HTTP2-Settings\nContent-Length: 2\nHost: app.test\n"
        "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\nUpgrade: h2c\n"
        "User-Agent: Java-http-client/21.0.5\n\n{}"
    ),
    "wget": (
        "GET /a%20b HTTP/1.1\nHost: app.test\nUser-Agent: Wget/1.24.5\nAccept: */*\n"
        "Accept-Encoding: identity\nConnection: Keep-Alive\n\n"
    ),
    "ApacheBench -k": (
        "GET / HTTP/1.0\nConnection: Keep-Alive\nHost: app.test\nUser-Agent: ApacheBench/2.3\nAccept: */*\n\n"
    ),
    "python, urllib": (
        "GET / HTTP/1.1\nAccept-Encoding: identity\nHost: app.test\nUser-Agent: Python-urllib/3.13\n"
        "Connection: close\n\n"
    ),
    "python, requests": (
        "POST /api HTTP/1.1\nHost: app.test\nUser-Agent: python-requests/2.32.3\n"
        "Accept-Encoding: gzip, deflate\nAccept: */*\nConnection: keep-alive\nContent-Length: 0\n\n"
    ),
    "python, httpx, streamed": (
        "POST /api HTTP/1.1\nHost: app.test\nAccept: */*\nAccept-Encoding: gzip, deflate\n"
        "Connection: keep-alive\nUser-Agent: python-httpx/0.28.0\nTransfer-Encoding: chunked\n\n"
        "1\na\nA\n0123456789\n0\n\n"
    ),
    "go": "GET / HTTP/1.1\nHost: app.test\nUser-Agent: Go-http-client/1.1\nAccept-Encoding: gzip\n\n",
    "go, with trailers": (
        "POST / HTTP/1.1\nHost: app.test\nUser-Agent: Go-http-client/1.1\nTransfer-Encoding: chunked\n"
        "Trailer: X-Sum\nAccept-Encoding: gzip\n\n2\nab\n0\nX-Sum: 900150983cd24fb0\n\n"
    ),
    "node, fetch": (
        "GET / HTTP/1.1\nhost: app.test\nconnection: keep-alive\naccept: */*\naccept-language: *\n"
        "sec-fetch-mode: cors\nuser-agent: node\naccept-encoding: gzip, deflate\n\n"
    ),
    "node, http": ("DELETE /a HTTP/1.1\nHost: app.test\nConnection: close\nTransfer-Encoding: chunked\n\n0\n\n"),
    "rust, hyper": "GET / HTTP/1.1\nhost: app.test\naccept: */*\n\n",
    "a health check": "OPTIONS * HTTP/1.1\nHost: app.test\n\n",
    "WebDAV": "PROPFIND /dav/ HTTP/1.1\nHost: app.test\nDepth: 1\nContent-Length: 3\n\n<a>",
    "a field without a value": "GET / HTTP/1.1\nHost: app.test\nX-Empty:\nCookie: \n\n",
    "a name in obs-text": "GET / HTTP/1.1\nHost: app.test\nX-User: J\u00f6rg\n\n",
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in ORDINARY.items()])
@pytest.mark.parametrize("oracle", [h11_request, llhttp_request])
def test_an_ordinary_request_is_accepted_and_means_the_same_to_all(text: str, oracle: Oracle) -> None:
    data = text.replace("\n", "\r\n").encode()
    ours = read_request([data])
    assert ours is not None
    assert ours.size == len(data)
    assert_request_read_alike(data, ours, oracle)


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in ORDINARY.items()])
def test_an_ordinary_request_is_accepted_however_it_is_cut(text: str) -> None:
    data = text.replace("\n", "\r\n").encode()
    for pieces in feedings(data):
        ours = read_request(pieces)
        assert ours is not None
        assert ours.size == len(data)
