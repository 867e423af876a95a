import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerpost.errors import ConfigError, LabelError, MessageError
from fingerpost.label.host import canonical_domain, canonical_domains, find_label

DOMAINS = canonical_domains(["example.com", "*.apps.example.com", "localhost", "EXAMPLE.com."])


def test_domains_are_canonical_and_the_longest_comes_first() -> None:
    assert DOMAINS == ("apps.example.com", "example.com", "localhost")


@pytest.mark.parametrize(
    ("host", "label", "domain"),
    [
        (b"x.example.com", "x", "example.com"),
        (b"X.Example.COM", "x", "example.com"),
        (b"x.example.com:8443", "x", "example.com"),
        (b"x.example.com.", "x", "example.com"),
        (b"x.example.com.:80", "x", "example.com"),
        (b"x.example.com:", "x", "example.com"),
        (b"x.apps.example.com", "x", "apps.example.com"),
        (b"apps2.example.com", "apps2", "example.com"),
        (b"pr-123.localhost:8080", "pr-123", "localhost"),
        (b"a_b.localhost", "a_b", "localhost"),
        (b"a" * 63 + b".localhost", "a" * 63, "localhost"),
    ],
)
def test_a_label_is_found_under_the_longest_domain(host: bytes, label: str, domain: str) -> None:
    assert find_label(host, DOMAINS) == (label, domain)


@pytest.mark.parametrize(
    "host",
    [
        *(b"", b" ", b":80", b"x .localhost", b" x.localhost", b"x.localhost ", b"x.localhost\n", b"x\x00.localhost"),
        *(b"user@x.localhost", b"user:pw@x.localhost", b"x.localhost:80:80", b"x.localhost:http", b"x.localhost:-1"),
        *(b"x.localhost:65536", b"x.localhost:000080", b"x.localhost: 80", b"x.localhost:+8"),
        *(b"x.localhost/", b"x.localhost?", b"x.localhost#", b"http://x.localhost"),
        *(b"x%.localhost", b"x%4.localhost", b"x%zz.localhost", b"\xc3\xa9.localhost", b"\xff", b"x\\.localhost"),
        *(b"[::1", b"::1", b"::1]", b"[]", b"[x]", b"[::1]x", b"[::1]:x", b"[1::2::3]", b"[127.0.0.1]", b"[v1]"),
        *(b"[fe80::1%25eth0]", b"[fe80::1%eth0]", b"x.[::1].localhost", b'"x".localhost', b"<x>.localhost"),
    ],
)
def test_a_malformed_host_is_400(host: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        find_label(host, DOMAINS)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "host",
    [
        *(b"example.org", b"x.example.org", b"xexample.com", b"x.notlocalhost", b"localhost.evil.org", b"com"),
        *(b"127.0.0.1", b"127.0.0.1:8080", b"[::1]", b"[::1]:8080", b"[v1.x:y]:80", b"10.0.0.1.", b"."),
        *(b"x.localhost..", b"x.local%68ost", b"a!$&'()*+;=b"),
    ],
)
def test_a_host_under_no_served_domain_is_421(host: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        find_label(host, DOMAINS)
    assert caught.value.status == 421


@pytest.mark.parametrize(
    "host",
    [
        *(b"localhost", b"example.com.", b"APPS.example.com:80"),  # bare, the last although it is a label below another
        *(b"a.b.localhost", b"a.b.apps.example.com", b".localhost", b"a..localhost", b".a.localhost"),
        *(b"x.localhost,y.localhost", b"a%20b.localhost", b"a!.localhost", b"a" * 64 + b".localhost"),
    ],
)
def test_what_is_not_exactly_one_label_below_a_domain_has_none(host: bytes) -> None:
    with pytest.raises(LabelError):
        find_label(host, DOMAINS)


@given(st.binary() | st.text("ax.:[]@%0 -_!localhost").map(lambda text: text.encode() + b".localhost"))
def test_any_bytes_are_a_label_or_one_of_our_errors(host: bytes) -> None:
    try:
        label, domain = find_label(host, DOMAINS)
    except (MessageError, LabelError):
        return
    assert host.lower().startswith(f"{label}.{domain}".encode())


@given(st.from_regex(r"[a-z0-9_-]{1,63}", fullmatch=True), st.sampled_from(DOMAINS[:1] + DOMAINS[2:]))
def test_every_label_is_found(label: str, domain: str) -> None:
    assert find_label(f"{label}.{domain}".encode(), DOMAINS) == (label, domain)


@pytest.mark.parametrize(
    "domain", ["", "*", "*.", "..", "a b", "127.0.0.1", "::1", "[::1]", "a.*", "é.fr", "-a.com", "1.2"]
)
def test_what_is_no_domain_is_refused(domain: str) -> None:
    with pytest.raises(ConfigError, match=r"^domain: "):
        canonical_domain(domain)


def test_a_domain_leaves_room_for_a_label() -> None:
    longest = ".".join(["a" * 62] * 3)  # 188 characters
    assert canonical_domain(f"*.{longest}.") == longest
    with pytest.raises(ConfigError, match="room for a label"):
        canonical_domain(f"bb.{longest}")
