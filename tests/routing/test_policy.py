import ipaddress
import socket
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerpost.errors import ConfigError, NotAllowedError
from fingerpost.routing.policy import _MAX_VERDICTS, Policy

EVERYTHING = ["0.0.0.0/0", "::/0"]
DEFAULT = Policy(Policy.DEFAULT_ALLOW)


def allows(policy: Policy, address: str, port: int = 8888) -> bool:
    try:
        policy.check(address, port)
    except NotAllowedError:
        return False
    return True


def as_nat64(v4: str) -> str:
    return str(ipaddress.IPv6Address("64:ff9b::") + int(ipaddress.IPv4Address(v4)))


def as_6to4(v4: str) -> str:
    return str(ipaddress.IPv6Address(0x2002 << 112 | int(ipaddress.IPv4Address(v4)) << 80 | 1))


def as_teredo(v4: str) -> str:
    hidden = int(ipaddress.IPv4Address(v4)) ^ 0xFFFFFFFF
    return str(ipaddress.IPv6Address(0x20010000 << 96 | 0x08080808 << 64 | hidden))


def as_teredo_server(v4: str) -> str:
    return str(ipaddress.IPv6Address(0x20010000 << 96 | int(ipaddress.IPv4Address(v4)) << 64 | 0xF7F7F7F7))


def as_isatap(v4: str) -> str:
    return str(ipaddress.IPv6Address((0xFD00 << 112 | 0x5EFE << 32) + int(ipaddress.IPv4Address(v4))))


def as_mapped(v4: str) -> str:
    return f"::ffff:{v4}"


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "::1", "10.0.3.17", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
        *("fd00::17", "fc00::1"),
    ],
)
def test_loopback_and_private_networks_are_allowed_by_default(address: str) -> None:
    assert DEFAULT.check(address, 8888) == address


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "172.15.0.1", "172.32.0.1", "192.169.0.1", "100.64.0.1", "2606:4700::1", "9.255.255.255"]
)
def test_public_addresses_are_allowed_only_when_listed(address: str) -> None:
    assert not allows(DEFAULT, address)
    assert allows(Policy(EVERYTHING), address)


NEVER = [
    *("169.254.169.254", "169.254.0.1", "224.0.0.1", "239.255.255.255", "255.255.255.255", "240.0.0.1"),
    *("0.0.0.1", "0.1.2.3", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
]


@pytest.mark.parametrize(
    "address",
    [
        *NEVER,
        *("fe80::1", "febf::1", "fec0::1", "ff02::1", "ff0e::1", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
        *("fd00:42::42", "fd00:c1::a9fe:a9fe", "::2", "100::1", "64:ff9b:1::a9fe:a9fe", "4000::1", "fe00::1"),
        *("::10.0.0.1", "::ffff:0:10.0.0.1", "::169.254.169.254"),
    ],
)
def test_some_addresses_are_never_allowed(address: str) -> None:
    assert not allows(
        Policy([*EVERYTHING, f"{address}/{32 if '.' in address and ':' not in address else 128}"]), address
    )


@pytest.mark.parametrize("address", NEVER)
@pytest.mark.parametrize("embed", [as_mapped, as_nat64, as_6to4, as_teredo, as_teredo_server, as_isatap])
def test_no_ipv6_form_leads_around_that(address: str, embed: Callable[[str], str]) -> None:
    assert not allows(Policy(EVERYTHING), embed(address))


@pytest.mark.parametrize("embed", [as_nat64, as_6to4, as_teredo, as_isatap])
def test_both_an_ipv6_address_and_the_ipv4_address_in_it_must_be_allowed(embed: Callable[[str], str]) -> None:
    address = embed("8.8.8.8")
    assert allows(Policy(["::/0", "8.8.8.8"]), address)
    assert not allows(Policy(["::/0"]), address)
    assert not allows(Policy(["8.8.8.8"]), address)
    assert not allows(Policy(["::/0", "8.8.8.8:80"]), address, 443)


def test_what_is_dialled() -> None:
    assert DEFAULT.check("0.0.0.0", 80) == "127.0.0.1"
    assert DEFAULT.check("::", 80) == "::1"
    assert DEFAULT.check("::ffff:10.0.0.1", 80) == "10.0.0.1"
    assert DEFAULT.check("::ffff:0.0.0.0", 80) == "127.0.0.1"
    assert DEFAULT.check("FD00:0:0::1", 80) == "fd00::1"


def test_the_unspecified_address_is_judged_as_loopback() -> None:
    assert not allows(Policy(["10.0.0.0/8"]), "0.0.0.0")
    assert not allows(Policy(["10.0.0.0/8"]), "::")
    assert not allows(Policy(["0.0.0.0/8"]), "0.0.0.0")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "localhost",
            "127.1",
            "0x7f.1",
            "2130706433",
            "010.0.0.1",
            "10.0.0.1 ",
            "10.0.0.1:80",
            "[::1]",
            "10.0.0.0/8",
        ),
        *("fd00::1%eth0", "fe80::1%1", "::1%lo", "::ffff:10.0.0.1%1", "10.0.0.256", "\N{FULLWIDTH DIGIT ONE}0.0.0.1"),
    ],
)
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    assert not allows(Policy(EVERYTHING), text)


@pytest.mark.parametrize(
    ("rule", "allowed", "refused"),
    [
        ("10.0.0.0/8:80", [("10.1.2.3", 80)], [("10.1.2.3", 81), ("11.0.0.1", 80)]),
        (
            "10.0.0.0/8:80,8000-8002",
            [("10.0.0.1", p) for p in (80, 8000, 8002)],
            [("10.0.0.1", p) for p in (7999, 8003)],
        ),
        ("10.0.0.5", [("10.0.0.5", 1)], [("10.0.0.6", 1)]),
        ("10.0.0.5:80", [("10.0.0.5", 80)], [("10.0.0.5", 81)]),
        ("fd00::/8", [("fd00::8000", 1)], [("fc00::1", 1)]),
        ("[fd00::/8]:8000", [("fd00::1", 8000)], [("fd00::1", 8001)]),
        ("[fd00::1]", [("fd00::1", 8001)], [("fd00::2", 8001)]),
        ("fd00::8000", [("fd00::8000", 1)], [("fd00::", 8000)]),
        (" 10.0.0.0/8:1-65535 ", [("10.0.0.1", 1), ("10.0.0.1", 65535)], [("11.0.0.1", 1)]),
    ],
)
def test_rules(rule: str, allowed: list[tuple[str, int]], refused: list[tuple[str, int]]) -> None:
    policy = Policy([rule])
    assert [allows(policy, *destination) for destination in allowed] == [True] * len(allowed)
    assert [allows(policy, *destination) for destination in refused] == [False] * len(refused)


@pytest.mark.parametrize(
    "rule",
    [
        *("", "*", "all", "localhost", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/8:", "10.0.0.0/8:0", "10.0.0.0/8:65536"),
        *("10.0.0.0/8:80-", "10.0.0.0/8:90-80", "10.0.0.0/8:80,", "10.0.0.0/8:http", "10.0.0.0/8:80:81", "10.0.0/8"),
        *("[10.0.0.0/8]:80", "[fd00::/8", "fd00::/8]:80", "[fd00::/8]:", "fd00::/8:80", "fd00::1/8", "fe80::1%eth0"),
    ],
)
def test_a_rule_of_another_form_names_itself_and_the_form(rule: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Policy([rule])
    assert (caught.value.key, caught.value.value) == ("allow", rule)
    assert "CIDR[:PORTS]" in caught.value.accepted


def test_no_rule_allows_nothing() -> None:
    assert not allows(Policy([]), "127.0.0.1")


def test_own_listeners_are_never_allowed() -> None:
    policy = Policy(EVERYTHING, ["10.0.0.1:8080", "[fd00::1]:8080", "[::ffff:10.0.0.2]:8080"])
    for address in ("10.0.0.1", "fd00::1", "10.0.0.2", "::ffff:10.0.0.1", as_nat64("10.0.0.1")):
        assert not allows(policy, address, 8080)
        assert allows(policy, address, 8081)
    assert allows(policy, "10.0.0.3", 8080)


@pytest.mark.parametrize("listener", ["127.0.0.1:8080", "0.0.0.0:8080", "[::]:8080"])
def test_the_unspecified_address_does_not_lead_to_an_own_listener(listener: str) -> None:
    assert not allows(Policy(EVERYTHING, [listener]), "0.0.0.0", 8080)


@pytest.mark.parametrize("listener", ["0.0.0.0:8080", "[::]:8080", "[::ffff:0.0.0.0]:8080"])
def test_a_wildcard_listener_is_that_port_on_every_address_of_this_machine(listener: str) -> None:
    policy = Policy(EVERYTHING, [listener], is_own_address={"10.0.0.1", "fd00::1", "127.0.0.1"}.__contains__)
    for address in ("10.0.0.1", "fd00::1", "127.0.0.1", "::ffff:10.0.0.1", as_6to4("10.0.0.1")):
        assert not allows(policy, address, 8080)
        assert allows(policy, address, 8081)
    assert allows(policy, "10.0.0.3", 8080)


def test_which_addresses_are_this_machines_is_found_out_by_binding() -> None:
    policy = Policy(EVERYTHING, ["0.0.0.0:8080"])
    assert not allows(policy, "127.0.0.1", 8080)
    assert not allows(policy, "127.1.2.3", 8080)
    assert allows(policy, "203.0.113.7", 8080)  # RFC 5737: nobody's
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("203.0.113.7", 9)) if _has_route() else probe.bind(("127.0.0.1", 0))
        own = probe.getsockname()[0]
    assert not allows(policy, own, 8080)


def _has_route() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.7", 9))
        except OSError:
            return False
    return True


def test_an_answer_that_could_not_be_found_is_a_refusal_that_is_not_remembered() -> None:
    asked = []

    def is_own(address: str) -> bool:
        asked.append(address)
        if len(asked) == 1:
            raise NotAllowedError("no descriptor left")
        return False

    policy = Policy(EVERYTHING, ["0.0.0.0:8080"], is_own_address=is_own)
    assert not allows(policy, "10.0.0.1", 8080)
    assert allows(policy, "10.0.0.1", 8080)


@pytest.mark.parametrize("listener", ["", "8080", "localhost:8080", "10.0.0.1", "10.0.0.1:http"])
def test_a_listener_of_another_form_is_an_error(listener: str) -> None:
    with pytest.raises(ConfigError, match=r"^listen: "):
        Policy([], [listener])


def test_what_is_remembered_is_bounded_and_stays_right() -> None:
    policy = Policy(["10.0.0.0/8:1-9000"])
    for port in range(1, 9000):
        assert policy.check("10.0.0.1", port) == "10.0.0.1"
    assert len(policy._allowed) <= _MAX_VERDICTS
    for _ in range(2):
        assert allows(policy, "::ffff:10.0.0.1", 80)
        assert not allows(policy, "10.0.0.1", 9001)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_what_is_allowed_can_be_dialled_and_is_no_special_address(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    try:
        dialled = ipaddress.ip_address(Policy(EVERYTHING).check(str(address), port))
    except NotAllowedError:
        return
    assert not any((dialled.is_link_local, dialled.is_multicast, dialled.is_unspecified))


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        ipaddress.ip_address(Policy(EVERYTHING).check(text, 80))
    except NotAllowedError:
        pass
