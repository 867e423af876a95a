import pytest

from fingerpost.errors import ConfigError, LabelError, LabelExpiredError, MessageError
from fingerpost.label.expiry import EPOCH_S
from fingerpost.label.keyring import Keyring
from fingerpost.label.legacy import seal_legacy
from fingerpost.label.sealed import seal
from fingerpost.routing.model import Route, Target
from fingerpost.routing.resolve import _MAX_RECENT, Router

DOMAIN = "apps.example.com"
KEYRING = Keyring([(0, bytes(range(64)))])
LEGACY_KEY = b"thisissecretkey"
TARGET = Target("http", "10.0.3.17", 8888)
SEALED = seal(TARGET, KEYRING, domain=DOMAIN)
LEGACY = seal_legacy(TARGET, LEGACY_KEY)


def host_of(label: str, rest: str = "") -> bytes:
    return f"{label}.{DOMAIN}{rest}".encode()


def test_a_sealed_label_leads_to_its_target() -> None:
    router = Router([DOMAIN], KEYRING, None)
    for _ in range(2):
        assert router.find(host_of(SEALED), 0) == Route(SEALED, "sealed", TARGET, None)
    assert router.find(host_of(SEALED.upper(), ".:8080"), 0) == Route(SEALED, "sealed", TARGET, None)


def test_a_sealed_label_leads_nowhere_under_another_served_domain() -> None:
    router = Router([DOMAIN, "example.com"], KEYRING, None)
    with pytest.raises(LabelError):
        router.find(f"{SEALED}.example.com".encode(), 0)


def test_a_remembered_route_still_expires() -> None:
    label = seal(TARGET, KEYRING, domain=DOMAIN, expires_at=EPOCH_S + 60)
    router = Router([DOMAIN], KEYRING, None)
    assert router.find(host_of(label), EPOCH_S + 59).expires_at == EPOCH_S + 60
    for _ in range(2):
        with pytest.raises(LabelExpiredError):
            router.find(host_of(label), EPOCH_S + 60)


def test_a_route_that_expired_before_it_was_first_asked_for_says_so() -> None:
    label = seal(TARGET, KEYRING, domain=DOMAIN, expires_at=EPOCH_S + 60)
    with pytest.raises(LabelExpiredError):
        Router([DOMAIN], KEYRING, None).find(host_of(label), EPOCH_S + 61)


def test_legacy_labels_open_only_with_a_legacy_key() -> None:
    assert Router([DOMAIN], KEYRING, LEGACY_KEY).find(host_of(LEGACY), 0) == Route(LEGACY, "legacy", TARGET, None)
    assert Router([DOMAIN], None, LEGACY_KEY).find(host_of(LEGACY), 0).target == TARGET
    with pytest.raises(LabelError):
        Router([DOMAIN], KEYRING, None).find(host_of(LEGACY), 0)
    with pytest.raises(LabelError):
        Router([DOMAIN], None, LEGACY_KEY).find(host_of(SEALED), 0)


def test_a_legacy_label_that_could_be_base32_opens() -> None:
    key = b"key 428678"  # found by trying: about one in a million makes a label without 0, 1, 8 and 9
    label = seal_legacy("long-name-of-app:8888", key)
    assert not set(label) - set("abcdefghijklmnopqrstuvwxyz234567")
    assert len(label) == 48
    route = Router([DOMAIN], KEYRING, key).find(host_of(label), 0)
    assert route == Route(label, "legacy", Target("http", "long-name-of-app", 8888), None)


@pytest.mark.parametrize("label", ["x", "a" * 44, "e" * 63, "0" * 32, "a_b", SEALED[:-2] + "aa"])
def test_any_other_label_leads_nowhere(label: str) -> None:
    for router in (Router([DOMAIN], KEYRING, LEGACY_KEY), Router([DOMAIN], None, None)):
        with pytest.raises(LabelError):
            router.find(host_of(label), 0)


@pytest.mark.parametrize(("host", "status"), [(b"", 400), (b"a b", 400), (b"example.org", 421), (b"[::1]", 421)])
def test_another_host_is_refused(host: bytes, status: int) -> None:
    with pytest.raises(MessageError) as caught:
        Router([DOMAIN], KEYRING, None).find(host, 0)
    assert caught.value.status == status


def test_what_is_remembered_is_bounded_and_holds_no_failures() -> None:
    router = Router([DOMAIN], KEYRING, None)
    for port in range(1, 100):
        with pytest.raises(LabelError):
            router.find(host_of("a" * 44, f":{port}"), 0)
    assert not router._recent
    for port in range(_MAX_RECENT + 10):
        assert router.find(host_of(SEALED, f":{port}"), 0).target == TARGET
        assert len(router._recent) <= _MAX_RECENT
    assert len(router._recent) == 10


def test_unusable_settings_are_found_at_the_start() -> None:
    with pytest.raises(ConfigError, match="domain"):
        Router(["127.0.0.1"], KEYRING, None)
    with pytest.raises(ConfigError, match="legacy_key_file"):
        Router([DOMAIN], None, b"abc")
