import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import Blowfish
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from hypothesis import given
from hypothesis import strategies as st

from fingerpost.errors import ConfigError, LabelError, TargetError
from fingerpost.label.legacy import check_legacy_key, open_legacy, seal_legacy
from fingerpost.routing.model import Target

KEY = b"thisissecretkey"
KNOWN = [
    ("3fafc4c50e97eba68130981c7e0fe481", Target("http", "127.0.0.1", 13001)),
    ("7a4fe220e12bb0c312a47e3885990a10", Target("http", "0.0.0.0", 8080)),
]


def encrypted(blocks: bytes) -> str:
    return Cipher(Blowfish(KEY), modes.ECB()).encryptor().update(blocks).hex()


@pytest.mark.parametrize(("label", "target"), KNOWN)
def test_known_labels_open_in_either_case_and_are_made_again(label: str, target: Target) -> None:
    assert open_legacy(label, KEY) == target
    assert open_legacy(label.upper(), KEY) == target
    assert seal_legacy(target, KEY) == label


@given(st.ip_addresses(v=4).map(str), st.integers(1, 65535))
def test_what_is_sealed_opens(host: str, port: int) -> None:
    target = Target("http", host, port)
    assert open_legacy(seal_legacy(target, KEY), KEY) == target


@pytest.mark.parametrize("host", ["app", "app-1.svc_2", "[::1]"])
def test_names_and_ipv6_open_too(host: str) -> None:
    target = Target.parse(f"{host}:80")
    assert open_legacy(seal_legacy(target, KEY), KEY) == target


@pytest.mark.parametrize(
    "text", [b"10.0.0.1:8000\0\0\0", b"10.0.0.1:80\0\0\0\0\0", b"10.10.10.10:8080", b"a:1\5\5\5\5\5"]
)
def test_zero_padding_and_none_open_too(text: bytes) -> None:
    assert open_legacy(encrypted(text), KEY) == Target.parse(text.rstrip(b"\0\5").decode())


@pytest.mark.parametrize(
    "text",
    [
        b"\0" * 8,
        b"\x08" * 8,
        b"10.0.0.1",
        b"tcp://a:1\7\7\7\7\7\7\7",
        b" a:1\4\4\4\4",
        b"a:0\5\5\5\5\5",
        b"a:99999\1",
        b"::1:80\2\2",
        b"a\0b:80\2\2",
        b"\xc3\xa9:80\3\3\3",
    ],
)
def test_another_text_does_not_open(text: bytes) -> None:
    with pytest.raises(LabelError):
        open_legacy(encrypted(text), KEY)


@given(
    st.text()
    | st.text("0123456789abcdef")
    | st.integers(1, 3).flatmap(lambda n: st.binary(min_size=8 * n, max_size=8 * n).map(bytes.hex))
)
def test_garbage_raises_nothing_but_a_label_error(label: str) -> None:
    try:
        target = open_legacy(label, KEY)
    except LabelError:
        return
    assert Target.parse(str(target)) == target  # by chance, about one in many millions


@pytest.mark.parametrize(
    "label", ["", "3fafc4c50e97eba68130981c7e0fe4", "zz" * 16, "00" * 32, "\N{FULLWIDTH DIGIT THREE}" * 16]
)
def test_what_is_not_hex_of_one_to_three_blocks_does_not_open(label: str) -> None:
    with pytest.raises(LabelError, match="not hex"):
        open_legacy(label, KEY)


def test_another_key_does_not_open() -> None:
    for label, _ in KNOWN:
        with pytest.raises(LabelError):
            open_legacy(label, b"another key")


def test_the_longest_text_fits_a_dns_label_and_a_longer_one_is_refused() -> None:
    assert len(seal_legacy("a" * 20 + ":80", KEY)) == 48
    with pytest.raises(TargetError, match="23 characters and this is 24 long"):
        seal_legacy("a" * 21 + ":80", KEY)


@pytest.mark.parametrize("scheme", ["https", "tcp"])
def test_another_scheme_is_refused(scheme: str) -> None:
    with pytest.raises(TargetError, match="only http"):
        seal_legacy(f"{scheme}://a:1", KEY)


@pytest.mark.parametrize("key", [b"", b"abc", b"a" * 57])
def test_a_key_of_unusable_length_is_found_early_and_not_quoted(key: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^legacy_key_file: the key: expected .*4 to 56 bytes"):
        check_legacy_key(key)


@pytest.mark.parametrize("key", [b"abcd", b"a" * 56, KEY])
def test_other_keys_are_fine(key: bytes) -> None:
    check_legacy_key(key)
    assert open_legacy(seal_legacy("a:1", key), key) == Target("http", "a", 1)
