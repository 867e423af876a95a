import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerpost.errors import TargetError
from fingerpost.routing.model import Target, canonical_host


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("10.0.3.17:8888", ("http", "10.0.3.17", 8888)),
        ("HTTPS://App.Local.:443", ("https", "app.local", 443)),
        ("tcp://[FD00:0::1]:22", ("tcp", "fd00::1", 22)),
        (" a_b-c:080 ", ("http", "a_b-c", 80)),
    ],
)
def test_targets(text: str, target: tuple[str, str, int]) -> None:
    assert Target.parse(text) == target
    assert Target.parse(str(Target.parse(text))) == target


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", ":80", "a", "a:", "a:0", "a:65536", "a:-1", "a:http", "a:٣", "ftp://a:1", "://a:1", "http://a:1/"),
        *("u@a:1", "a b:1", "a..b:1", ".a:1", "-a:1", "a-:1", "é:1", "\N{KELVIN SIGN}:1", "a" * 64 + ":1"),
        *("::1:80", "fd00::1:8080", "[::1]", "[::1", "[::1]80", "[a]:1", "[10.0.0.1]:1", "[fe80::1%eth0]:1"),
        *("127.1:1", "0x7f000001:1", "2130706433:1", "127.0.0.01:1", "a.1:1", "a.0x1:1", "http://x://a:1"),
    ],
)
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(TargetError):
        Target.parse(text)


@given(st.text(max_size=30))
def test_a_target_read_from_any_text_reads_back_the_same(text: str) -> None:
    try:
        target = Target.parse(text)
    except TargetError:
        return
    assert Target.parse(str(target)) == target
    assert canonical_host(target.host) == target.host
