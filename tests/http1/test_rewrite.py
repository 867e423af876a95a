"""What goes on to the other side, line by line; that all readers agree on all of it is in test_oracles."""

import pytest

from fingerpost.http1 import rewrite
from fingerpost.http1.head import RequestFields, parse_response
from fingerpost.http1.rewrite import Client, loops, offered_upgrade, request_tail, response_head

STRANGER = Client(b"192.0.2.7", b"https", b"443", trusted=False)
PROXY = Client(b"192.0.2.1", b"http", b"80", trusted=True)
CLAIMS = (
    b"X-Forwarded-For: 203.0.113.9", b"X-Forwarded-Proto: gopher", b"X-Forwarded-Host: evil.test",
    b"X-Forwarded-Port: 1", b"Forwarded: for=203.0.113.9", b"X-Real-IP: 203.0.113.9", b"X-Forwarded-Ssl: on",
    b"X_Forwarded_For: 203.0.113.9", b"x_real-ip: 203.0.113.9", b"X-Forwarded_Ssl: on",
)  # fmt: skip


def fields(*lines: bytes) -> RequestFields:
    return RequestFields(b"".join(b"\r\n" + line for line in (b"Host: A.test:81", *lines)), 64)


def tail(
    *lines: bytes, client: Client = STRANGER, upgrade: bytes = b"", http10: bool = False
) -> dict[bytes, list[bytes]]:
    """The upstream fields, lower-case name → values; checks that they end as a head does."""
    data = request_tail(fields(*lines), client, b"me", upgrade, http10)
    assert data.endswith(b"\r\n\r\n")
    named: dict[bytes, list[bytes]] = {}
    for line in data[:-4].split(b"\r\n"):
        name, _, value = line.partition(b": ")
        named.setdefault(name.lower(), []).append(value)
    return named


def test_host_is_unchanged_and_first() -> None:
    data = request_tail(fields(b"A: b"), STRANGER, b"me", b"", False)
    assert data.startswith(b"Host: A.test:81\r\nA: b\r\n")
    assert data.lower().count(b"\r\nhost:") == 0


def test_fields_are_passed_on_as_they_came() -> None:
    data = request_tail(fields(b"b:  2 ", b"A:1", b"B: \xe4"), STRANGER, b"me", b"", False)
    assert b"\r\nb:  2 \r\nA:1\r\nB: \xe4\r\n" in data


def test_nothing_of_the_clients_own_hop_is_passed_on() -> None:
    named = tail(
        b"Connection: keep-alive, X-Own", b"X-Own: 1", b"Keep-Alive: 1", b"Proxy-Connection: 1", b"TE: gzip",
        b"Proxy-Authorization: 1", b"HTTP2-Settings: 1", b"Upgrade: websocket",
    )  # fmt: skip
    assert set(named) == set(tail())


def test_there_is_one_framing_and_it_is_written_anew() -> None:
    assert b"content-length" not in tail()
    assert b"transfer-encoding" not in tail()
    length = tail(b"content-length:\t007 ")
    assert length[b"content-length"] == [b"7"]
    assert b"transfer-encoding" not in length
    assert tail(b"Content-Length: 0")[b"content-length"] == [b"0"]
    chunked = tail(b"transfer-encoding:CHUNKED")
    assert chunked[b"transfer-encoding"] == [b"chunked"]
    assert b"content-length" not in chunked


def test_framing_stays_when_connection_names_it() -> None:
    assert tail(b"Content-Length: 7", b"Connection: content-length")[b"content-length"] == [b"7"]


# --- who the client is --------------------------------------------------------------------------------------


@pytest.mark.parametrize("claims", [(), CLAIMS])
def test_of_a_stranger_the_app_hears_what_we_saw(claims: tuple[bytes, ...]) -> None:
    named = tail(*claims)
    about = {name: values for name, values in named.items() if b"for" in name or b"real" in name}
    assert about == {
        b"x-forwarded-for": [b"192.0.2.7"],
        b"x-forwarded-proto": [b"https"],
        b"x-forwarded-host": [b"A.test:81"],
        b"x-forwarded-port": [b"443"],
    }


def test_of_a_trusted_proxys_client_the_app_hears_what_the_proxy_said() -> None:
    named = tail(*CLAIMS, b"X-Forwarded-For: 198.51.100.2", client=PROXY)
    about = {name: values for name, values in named.items() if b"for" in name or b"real" in name}
    assert about == {
        b"x-forwarded-for": [b"203.0.113.9, 198.51.100.2, 192.0.2.1"],
        b"x-forwarded-proto": [b"gopher"],
        b"x-forwarded-host": [b"evil.test"],
        b"x-forwarded-port": [b"1"],
        b"forwarded": [b"for=203.0.113.9"],
        b"x-real-ip": [b"203.0.113.9"],
        b"x-forwarded-ssl": [b"on"],
    }


def test_what_a_trusted_proxy_leaves_out_we_say_ourselves() -> None:
    named = tail(client=PROXY)
    assert named[b"x-forwarded-for"] == [b"192.0.2.1"]
    assert named[b"x-forwarded-proto"] == [b"http"]
    assert named[b"x-forwarded-host"] == [b"A.test:81"]
    assert named[b"x-forwarded-port"] == [b"80"]


def test_an_empty_claim_leaves_no_empty_place_in_the_list() -> None:
    assert tail(b"X-Forwarded-For:", client=PROXY)[b"x-forwarded-for"] == [b"192.0.2.1"]
    assert tail(b"CDN-Loop: ")[b"cdn-loop"] == [b"me"]


# --- upgrades, TE, Expect -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "offered"),
    [
        ([b"Connection: upgrade", b"Upgrade: websocket"], b"websocket"),
        ([b"Connection: upgrade", b"Upgrade: h2c"], b""),
        ([b"Connection: upgrade", b"Upgrade: H2C,, websocket"], b"websocket"),
        ([b"Connection: upgrade", b"Upgrade: h2c/1, a/2, b"], b"a/2, b"),
        ([b"Connection: upgrade", b"Upgrade: h2c", b"Upgrade: websocket"], b"websocket"),
        ([b"Connection: close", b"Upgrade: websocket"], b""),
        ([b"Connection: upgrade"], b""),
        ([b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 0"], b"websocket"),
        ([b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 5"], b""),
        ([b"Connection: upgrade", b"Upgrade: websocket", b"Transfer-Encoding: chunked"], b""),
    ],
)
def test_an_upgrade_is_offered_without_h2c_and_without_a_body(lines: list[bytes], offered: bytes) -> None:
    assert offered_upgrade(fields(*lines)) == offered


def test_an_offer_is_passed_on_with_its_connection_option() -> None:
    named = tail(b"Connection: keep-alive, upgrade", b"Upgrade: websocket", b"TE: trailers", upgrade=b"websocket")
    assert named[b"upgrade"] == [b"websocket"]
    assert named[b"connection"] == [b"Upgrade, TE"]
    assert named[b"te"] == [b"trailers"]


@pytest.mark.parametrize("value", [b"trailers", b"Trailers", b"gzip;q=0.5, trailers"])
def test_of_te_only_trailers_are_passed_on(value: bytes) -> None:
    named = tail(b"TE: " + value)
    assert named[b"te"] == [b"trailers"]
    assert named[b"connection"] == [b"TE"]


def test_an_expectation_is_passed_on_but_not_for_http_1_0() -> None:
    assert tail(b"expect:100-Continue")[b"expect"] == [b"100-continue"]
    assert b"expect" not in tail(b"Expect: 100-continue", http10=True)


# --- loops --------------------------------------------------------------------------------------------------


def test_cdn_loop_is_appended_to() -> None:
    assert tail()[b"cdn-loop"] == [b"me"]
    assert tail(b"CDN-Loop: a; b=c", b"cdn-loop: d")[b"cdn-loop"] == [b"a; b=c, d, me"]
    assert tail(b"CDN-Loop: a", b"Connection: cdn-loop")[b"cdn-loop"] == [b"a, me"]


@pytest.mark.parametrize("value", [b"me", b"a, me", b"me;v=1", b"me ; v=1, a", b"a,me", b"a\r\nCDN-Loop: me"])
def test_a_request_that_was_here_loops(value: bytes) -> None:
    assert loops(fields(b"CDN-Loop: " + value), b"me")


@pytest.mark.parametrize("value", [b"", b"a", b"me2", b"a;v=me", b"me.test"])
def test_a_request_that_was_elsewhere_does_not_loop(value: bytes) -> None:
    assert not loops(fields(b"CDN-Loop: " + value), b"me")
    assert not loops(fields(), b"me")


# --- responses ----------------------------------------------------------------------------------------------


def test_a_response_head_has_the_framing_and_connection_that_it_is_given() -> None:
    _, line, _, app = parse_response(
        b"HTTP/1.0 200 Fine\r\nA: b\r\nConnection: close, C\r\nContent-Length: 5\r\nC: d\r\nSet-Cookie: e", 64
    )
    assert response_head(line, app, b"Content-Length: 5\r\n", b"keep-alive") == (
        b"HTTP/1.1 200 Fine\r\nA: b\r\nSet-Cookie: e\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n"
    )
    assert response_head(line, app, b"", b"") == b"HTTP/1.1 200 Fine\r\nA: b\r\nSet-Cookie: e\r\n\r\n"


def test_a_response_head_without_fields_is_one_line() -> None:
    _, line, _, app = parse_response(b"HTTP/1.1 204", 64)
    assert response_head(line, app, b"", b"") == b"HTTP/1.1 204 \r\n\r\n"


def test_the_module_adds_no_field_that_a_stranger_can_set() -> None:
    """The four that are added are exactly those that are dropped, so none can stand there twice."""
    added = {line.partition(b":")[0].lower() for line in rewrite.forwarded_lines(fields(), STRANGER)}
    for name in added:
        assert tail(name + b": evil", name.replace(b"-", b"_") + b": evil")[name] != [b"evil"]
        assert len(tail(name + b": evil")[name]) == 1
