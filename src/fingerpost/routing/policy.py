"""Which addresses may be dialled: the allowed networks and ports, less what must never be reached.

Asked with addresses alone, after name resolution, so that no name can lead around it.
"""

import errno
import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from typing import ClassVar, NamedTuple

from fingerpost.errors import ConfigError, NotAllowedError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAX_VERDICTS = 4096

_RULE_FORM = "CIDR[:PORTS] such as 10.0.0.0/8, 10.0.0.0/8:80,8000-9000 or [fd00::/8]:8000"
_RULE = re.compile(r"(?:\[([^\[\]]+)\]|([0-9./]+))(?::([0-9,-]+))?|([0-9a-fA-F:./]+)", re.ASCII)
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)
_LISTENER_FORM = "ADDR:PORT such as 127.0.0.1:8080 or [::1]:8080"

# What can be dialled at all: other IPv6 is link-local, multicast, unspecified or reserved (RFC 4291 §2.4).
# The last one is NAT64 (RFC 6052).
_DIALLABLE = [ipaddress.ip_network(text) for text in ("0.0.0.0/0", "::1/128", "2000::/3", "fc00::/7", "64:ff9b::/96")]
# … and what can't, whatever the operator allows.
_FORBIDDEN = [
    (ipaddress.ip_network(text), why)
    for text, why in (
        ("0.0.0.0/8", "unspecified"),
        ("169.254.0.0/16", "link-local"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "broadcast or reserved"),
        ("100.100.100.200/32", "cloud metadata"),
        ("168.63.129.16/32", "cloud metadata"),
        ("192.0.0.192/32", "cloud metadata"),
        ("fd00:ec2::/32", "cloud metadata"),
        ("fd00:c1::a9fe:a9fe/128", "cloud metadata"),
        ("fd00:42::42/128", "cloud metadata"),
        ("fd20:ce::254/128", "cloud metadata"),
    )
]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)  # the third quarter of such an address, RFC 5214 §6.1


class Rule(NamedTuple):
    """An allowed network, and the allowed ports there; no ports means all of them."""

    network: IPNetwork
    ports: tuple[range, ...]

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Read ``CIDR[:PORTS]``.

        Raises:
            ConfigError: It has another form; its key is ``allow``.
        """
        match = _RULE.fullmatch(text.strip())
        if not match:
            raise ConfigError("allow", text, _RULE_FORM)
        bracketed, ipv4, ports, bare = match.groups()
        try:
            network = ipaddress.ip_network(bracketed or ipv4 or bare)
        except ValueError as error:
            raise ConfigError("allow", text, f"{_RULE_FORM} ({error})") from None
        if bracketed and network.version == 4:
            raise ConfigError("allow", text, f"{_RULE_FORM}; brackets are for IPv6")
        return cls(network, tuple(_parse_ports(part, text) for part in ports.split(",")) if ports else ())

    def allows(self, address: IPAddress, port: int) -> bool:
        """Whether address and port are within."""
        return address in self.network and (not self.ports or any(port in ports for ports in self.ports))


class Policy:
    """The destination policy.

    Args:
        allow: ``CIDR[:PORTS]`` each.
        own_listeners: ``ADDR:PORT`` of each of the proxy's own sockets. A wildcard address stands for every
            address of this machine.
        is_own_address: Whether an address is this machine's, given as canonical text.

    Raises:
        ConfigError: An item has another form.
    """

    DEFAULT_ALLOW: ClassVar[tuple[str, ...]] = (
        "127.0.0.0/8",
        "::1/128",
        "10.0.0.0/8",  # this and the next two: RFC 1918
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",  # RFC 4193
    )

    def __init__(
        self,
        allow: Iterable[str],
        own_listeners: Iterable[str] = (),
        is_own_address: Callable[[str], bool] | None = None,
    ) -> None:
        self._rules = [Rule.parse(text) for text in allow]
        listeners = [_parse_listener(text) for text in own_listeners]
        self._own_sockets = {(address, port) for address, port in listeners if not address.is_unspecified}
        self._own_ports = {port for address, port in listeners if address.is_unspecified}
        self._is_own_address = is_own_address or _is_own_address
        self._allowed: dict[tuple[str, int], str] = {}

    def check(self, address: str, port: int) -> str:
        """Judge a destination. What is allowed is remembered for a while, so asking again is cheap.

        Args:
            address: An IP address, not a name.
            port: 1 to 65535.

        Returns:
            The address to dial: 127.0.0.1 for 0.0.0.0, ::1 for ::, IPv4 for IPv4-mapped IPv6, else the same.

        Raises:
            NotAllowedError: It must not be dialled; the message is for the log alone.
        """
        key = (address, port)
        dial = self._allowed.get(key)
        if dial is None:
            dial = self._judge(address, port)
            if len(self._allowed) >= _MAX_VERDICTS:
                self._allowed.clear()
            self._allowed[key] = dial
        return dial

    def _judge(self, text: str, port: int) -> str:
        try:
            address = _unmapped(ipaddress.ip_address(text))
        except ValueError:
            raise NotAllowedError(f"{text} is no IP address") from None
        if "%" in text:  # a zone id (RFC 4007 §11), which networks below would not see
            raise NotAllowedError(f"{text} is on one interface")
        if address.is_unspecified:
            address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
        self._permit(address, port)
        for embedded in _embedded(address):
            self._permit(embedded, port)
        return str(address)

    def _permit(self, address: IPAddress, port: int) -> None:
        """Raises NotAllowedError."""
        if not any(address in network for network in _DIALLABLE):
            raise NotAllowedError(f"{address} can't be a destination")
        for network, why in _FORBIDDEN:
            if address in network:
                raise NotAllowedError(f"{address} is {why}")
        if not any(rule.allows(address, port) for rule in self._rules):
            raise NotAllowedError(f"{address} port {port} is not in the allowed networks and ports")
        own = (address, port) in self._own_sockets
        if own or (port in self._own_ports and self._is_own_address(str(address))):
            raise NotAllowedError(f"{address} port {port} is this proxy itself")


def _parse_ports(part: str, text: str) -> range:
    match = _PORTS.fullmatch(part)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise ConfigError("allow", text, f"{_RULE_FORM}, with ports from 1 to 65535")
    return range(first, last + 1)


def _parse_listener(text: str) -> tuple[IPAddress, int]:
    host, _, port = text.rpartition(":")
    try:
        address = _unmapped(ipaddress.ip_address(host.removeprefix("[").removesuffix("]").partition("%")[0]))
        return address, int(port)
    except ValueError:
        raise ConfigError("listen", text, _LISTENER_FORM) from None


def _unmapped(address: IPAddress) -> IPAddress:
    """IPv4-mapped IPv6 (RFC 4291 §2.5.5.2) is dialled as IPv4 by the kernel, so that is what it is."""
    return (address.version == 6 and address.ipv4_mapped) or address


def _embedded(address: IPAddress) -> list[IPAddress]:
    """The IPv4 addresses that a relay or translator on the way would make of an IPv6 address."""
    if address.version == 4:
        return []
    found: list[IPAddress] = [*(address.teredo or ())]  # RFC 4380: the relay's server and the client
    if address.sixtofour:  # RFC 3056
        found.append(address.sixtofour)
    number = int(address)
    if address in _NAT64 or (number >> 32) & 0xFFFFFFFF in _ISATAP:
        found.append(ipaddress.IPv4Address(number & 0xFFFFFFFF))
    return found


def _is_own_address(address: str) -> bool:
    """Whether a UDP socket, which sends nothing, can be bound to the address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return False
        # Such as no descriptor left: the answer is unknown, and a loop is worse than one refusal.
        raise NotAllowedError(f"{address}: maybe this machine ({error.strerror})") from None
    return True
