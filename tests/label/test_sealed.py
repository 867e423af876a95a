import base64
import ipaddress
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerpost.errors import ConfigError, LabelError, LabelExpiredError, TargetError
from fingerpost.label.expiry import EPOCH_S
from fingerpost.label.keyring import Keyring, add_key
from fingerpost.label.sealed import MIN_LABEL_CHARS, Opened, open_label, seal, seal_url
from fingerpost.routing.model import Target

DOMAIN = "apps.example.com"
KEYRING = Keyring([(9, bytes(range(64)))])
BASE32 = "abcdefghijklmnopqrstuvwxyz234567"

short_names = st.from_regex(r"[a-z]([a-z0-9-]{0,6}[a-z0-9])?(\.[a-z]([a-z0-9_-]{0,5}[a-z0-9])?)?", fullmatch=True)
hosts = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    short_names.filter(lambda name: len(name) <= 16),
)
targets = st.builds(Target, st.sampled_from(["http", "https", "tcp"]), hosts, st.integers(1, 65535))
ends = st.none() | st.integers(1, 2**24 - 1).map(lambda minutes: EPOCH_S + 60 * minutes)


def flipped(label: str, bit: int) -> str:
    """The label with one of its bits turned over."""
    number = int.from_bytes(base64.b32decode(label.upper() + "=" * (-len(label) % 8)), "big") ^ 1 << bit
    raw = number.to_bytes(len(label) * 5 // 8, "big")
    return base64.b32encode(raw).decode().rstrip("=").lower()


def forged(body: bytes, first: int = 1 << 5 | 9) -> str:
    """A label of any body, made with the right key."""
    sealed = KEYRING.ciphers[9].encrypt(body, [bytes([first]), DOMAIN.encode()])
    return base64.b32encode(bytes([first]) + sealed).decode().rstrip("=").lower()


@given(targets, ends)
def test_what_is_sealed_opens(target: Target, expires_at: int | None) -> None:
    label = seal(target, KEYRING, domain=DOMAIN, expires_at=expires_at)
    assert re.fullmatch(r"[a-z2-7]{40,63}", label)
    assert open_label(label, KEYRING, domain=DOMAIN, now=0) == Opened(target, expires_at, 9)
    assert open_label(label.upper().encode(), KEYRING, domain=DOMAIN.upper(), now=0).target == target


@given(targets, ends)
def test_the_same_thing_makes_the_same_label(target: Target, expires_at: int | None) -> None:
    first = seal(target, KEYRING, domain=DOMAIN, expires_at=expires_at)
    assert first == seal(str(target), KEYRING, domain=f"*.{DOMAIN}.", expires_at=expires_at)


@given(targets, ends, st.data())
def test_a_label_with_one_bit_changed_does_not_open(
    target: Target, expires_at: int | None, data: st.DataObject
) -> None:
    label = seal(target, KEYRING, domain=DOMAIN, expires_at=expires_at)
    bit = data.draw(st.integers(0, len(label) * 5 // 8 * 8 - 1))
    changed = flipped(label, bit)
    assert changed != label
    with pytest.raises(LabelError):
        open_label(changed, KEYRING, domain=DOMAIN, now=0)


@given(targets, st.data())
def test_a_shortened_or_lengthened_label_does_not_open(target: Target, data: st.DataObject) -> None:
    label = seal(target, KEYRING, domain=DOMAIN)
    shorter = label[: data.draw(st.integers(0, len(label) - 1))]
    longer = label + data.draw(st.text(BASE32, min_size=1, max_size=20))
    for other in (shorter, longer):
        with pytest.raises(LabelError):
            open_label(other, KEYRING, domain=DOMAIN, now=0)


@given(targets, st.data())
def test_the_unused_bits_of_the_last_character_have_to_be_zero(target: Target, data: st.DataObject) -> None:
    label = seal(target, KEYRING, domain=DOMAIN)
    last = data.draw(st.sampled_from([character for character in BASE32 if character != label[-1]]))
    with pytest.raises(LabelError):
        open_label(label[:-1] + last, KEYRING, domain=DOMAIN, now=0)


@given(targets, st.sampled_from(["example.com", "apps.example.org", "x.apps.example.com", "localhost"]))
def test_a_label_opens_under_no_other_domain(target: Target, other: str) -> None:
    with pytest.raises(LabelError, match="for this domain"):
        open_label(seal(target, KEYRING, domain=DOMAIN), KEYRING, domain=other, now=0)


@given(targets, st.sampled_from([9, 10]))
def test_a_label_opens_with_no_other_key(target: Target, key_id: int) -> None:
    other = Keyring([(key_id, os.urandom(64))])
    with pytest.raises(LabelError, match="key k"):
        open_label(seal(target, other, domain=DOMAIN), KEYRING, domain=DOMAIN, now=0)


@given(st.text() | st.binary() | st.text(BASE32, min_size=38, max_size=65))
def test_nothing_else_opens_and_nothing_but_a_label_error_is_raised(label: str | bytes) -> None:
    with pytest.raises(LabelError):
        open_label(label, KEYRING, domain=DOMAIN, now=0)


@pytest.mark.parametrize(
    "character",
    ["_", "-", "+", " ", "=", "0", "1", "8", "é", "\N{LATIN SMALL LETTER LONG S}", "\N{KELVIN SIGN}", "٣", "\n"],
)
@pytest.mark.parametrize("position", [0, 20, 43])
def test_no_character_outside_of_base32_is_tolerated(character: str, position: int) -> None:
    label = seal("10.0.3.17:8888", KEYRING, domain=DOMAIN)
    for text in (label[:position] + character + label[position + 1 :], label[:position] + character + label[position:]):
        with pytest.raises(LabelError):
            open_label(text, KEYRING, domain=DOMAIN, now=0)


@given(st.binary(min_size=8, max_size=22))
def test_an_authentic_body_opens_only_if_sealing_would_have_made_it(body: bytes) -> None:
    label = forged(body)
    try:
        target, expires_at, _ = open_label(label, KEYRING, domain=DOMAIN, now=0)
    except LabelError:
        return
    assert seal(target, KEYRING, domain=DOMAIN, expires_at=expires_at) == label


@pytest.mark.parametrize(
    "body",
    [
        bytes.fromhex("10 000000 0050 0a000001"),  # unknown flag
        bytes.fromhex("80 000000 0050 0a000001"),
        bytes.fromhex("0c 000000 0050 0a000001"),  # unknown scheme
        bytes.fromhex("03 000000 0050 0a000001"),  # unknown kind
        bytes.fromhex("00 000000 0000 0a000001"),  # port 0
        bytes.fromhex("00 000000 0050 0a00000100"),  # five bytes of IPv4
        bytes.fromhex("01 000000 0050 0a000001"),  # four bytes of IPv6
        bytes.fromhex("02 000000 0050") + b"abc\0",  # padded without need
        bytes.fromhex("02 000000 0050") + b"\0\0",
        bytes.fromhex("02 000000 0050") + b"ABC",
        bytes.fromhex("02 000000 0050") + b"10.0.0.1",  # an address as a name
        bytes.fromhex("02 000000 0050") + b"a\xffb",
    ],
)
def test_an_authentic_body_of_another_form_does_not_open(body: bytes) -> None:
    with pytest.raises(LabelError, match="unknown form"):
        open_label(forged(body), KEYRING, domain=DOMAIN, now=0)


@pytest.mark.parametrize("version", [0, 2, 3, 4, 5, 6, 7])
def test_another_version_does_not_open(version: int) -> None:
    label = forged(bytes.fromhex("00 000000 0050 0a000001"), version << 5 | 9)
    with pytest.raises(LabelError, match=f"version {version}"):
        open_label(label, KEYRING, domain=DOMAIN, now=0)


def test_the_layout_is_the_documented_one() -> None:
    label = seal("tcp://10.0.3.17:8888", KEYRING, domain=DOMAIN, expires_at=EPOCH_S + 60)
    raw = base64.b32decode(label.upper() + "=" * (-len(label) % 8))
    assert raw[0] == 0b001_01001
    body = KEYRING.ciphers[9].decrypt(raw[1:], [raw[:1], DOMAIN.encode()])
    assert body == bytes([2 << 2 | 0]) + (1).to_bytes(3, "big") + (8888).to_bytes(2, "big") + bytes([10, 0, 3, 17])


def test_a_label_sealed_by_an_earlier_release_still_opens() -> None:
    label = "fe7kddpaxyo7zoycvp276gcd2353ms36z3uj2izyxt7q"
    assert open_label(label, KEYRING, domain=DOMAIN, now=0).target == Target("http", "10.0.3.17", 8888)


@pytest.mark.parametrize(
    ("target", "chars"),
    [("a:1", 40), ("ab:1", 40), ("abc:1", 42), ("10.0.3.17:8888", 44), ("[::1]:1", 63), ("a" * 16 + ":65535", 63)],
)
def test_lengths(target: str, chars: int) -> None:
    label = seal(target, KEYRING, domain=DOMAIN, ttl="30d")
    assert len(label) == chars >= MIN_LABEL_CHARS
    assert str(open_label(label, KEYRING, domain=DOMAIN).target) == f"http://{target}"


def test_a_host_name_that_does_not_fit_says_what_to_do() -> None:
    with pytest.raises(
        TargetError, match=r"room for a host name of 16 characters and this one has 17; use the host's IP"
    ):
        seal("a" * 17 + ":80", KEYRING, domain=DOMAIN)


@pytest.mark.parametrize(
    "target", ["", "10.0.0.1", "ftp://a:1", "a:0", Target("http", "a b", 1), Target("gopher", "a", 1)]
)
def test_no_target_no_label(target: str | Target) -> None:
    with pytest.raises(TargetError):
        seal(target, KEYRING, domain=DOMAIN)


@pytest.mark.parametrize(
    "domain", ["", ".", "10.0.0.1", "[::1]", "a b", "a..b", "é.fr", "a" * 64, ".".join(["a" * 60] * 4)]
)
def test_no_domain_no_label(domain: str) -> None:
    with pytest.raises(ConfigError, match=r"^domain: "):
        seal("a:1", KEYRING, domain=domain)


def test_an_expired_label_says_so_from_its_last_second_on() -> None:
    label = seal("a:1", KEYRING, domain=DOMAIN, expires_at=EPOCH_S + 600)
    assert open_label(label, KEYRING, domain=DOMAIN, now=EPOCH_S + 599.9).expires_at == EPOCH_S + 600
    with pytest.raises(LabelExpiredError):
        open_label(label, KEYRING, domain=DOMAIN, now=EPOCH_S + 600)
    with pytest.raises(LabelExpiredError):
        open_label(label, KEYRING, domain=DOMAIN)


def test_rotation_seals_with_the_newest_key_and_opens_with_all() -> None:
    old = seal("a:1", KEYRING, domain=DOMAIN)
    rotated = Keyring.parse(add_key(KEYRING.dump())[0])
    new = seal("a:1", rotated, domain=DOMAIN)
    assert old != new
    assert open_label(old, rotated, domain=DOMAIN).key_id == 9
    assert open_label(new, rotated, domain=DOMAIN).key_id == 10
    with pytest.raises(LabelError, match="no key k10"):
        open_label(new, KEYRING, domain=DOMAIN)


@pytest.mark.parametrize(
    ("domain", "public_url", "before", "after"),
    [
        (DOMAIN, None, "https://", ".apps.example.com"),
        (f"*.{DOMAIN.upper()}", None, "https://", ".apps.example.com"),
        ("localhost", None, "http://", ".localhost"),
        ("dev.localhost", None, "http://", ".dev.localhost"),
        ("notlocalhost", None, "https://", ".notlocalhost"),
        ("localhost", "http://localhost:8080", "http://", ".localhost:8080"),
        ("localhost", "http://[::1]:8080/", "http://", ".localhost:8080"),
        (DOMAIN, "HTTPS://apps.example.com/", "https://", ".apps.example.com"),
    ],
)
def test_urls(domain: str, public_url: str | None, before: str, after: str) -> None:
    label = seal("a:1", KEYRING, domain=domain)
    assert seal_url("a:1", KEYRING, domain=domain, public_url=public_url) == before + label + after


@pytest.mark.parametrize(
    "public_url", ["", "localhost:8080", "ftp://a", "http://a/b", "http://u@a", "http://a:b", "http://a?b"]
)
def test_another_public_url_is_refused(public_url: str) -> None:
    with pytest.raises(ConfigError, match=r"^public_url: "):
        seal_url("a:1", KEYRING, domain=DOMAIN, public_url=public_url)


def test_ipv4_mapped_ipv6_keeps_all_its_bytes() -> None:
    opened = open_label(seal("[::ffff:10.0.0.1]:1", KEYRING, domain=DOMAIN), KEYRING, domain=DOMAIN)
    assert ipaddress.ip_address(opened.target.host) == ipaddress.ip_address("::ffff:10.0.0.1")
