"""From a Host field (or a TLS server name) to the label in it, and the served domain that it stands under."""

import functools
import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

from fingerpost.errors import ConfigError, LabelError, MessageError, TargetError
from fingerpost.routing.model import canonical_host

# RFC 3986 §3.2: authority without userinfo, as RFC 9110 §7.2 has it for Host = uri-host [ ":" port ].
_HOST = re.compile(
    rb"(?:\[(?P<literal>[0-9A-Za-z:.~!$&'()*+,;=_-]+)\]"
    rb"|(?P<name>(?:[0-9A-Za-z._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+))"
    rb"(?::(?P<port>[0-9]{0,5}))?"
)
_IP_FUTURE = re.compile(rb"[vV][0-9A-Fa-f]+\.[0-9A-Za-z._~!$&'()*+,;=:-]+")
_LABEL = re.compile(r"[a-z0-9_-]{1,63}", re.ASCII)
_LONGEST_DOMAIN = 253 - 64  # RFC 1035 §2.3.4, less a label of 63 and its dot


class HostLabel(NamedTuple):
    """A label, lower case, and the served domain that it stands under."""

    label: str
    domain: str


@functools.lru_cache(maxsize=128)
def canonical_domain(domain: str) -> str:
    """A served domain in its one form: lower case, without ``*.`` or a dot in front, without one at the end.

    Raises:
        ConfigError: It is no DNS name, an IP address, or so long that no label fits in front.
    """
    try:
        name = canonical_host(domain.strip().removeprefix("*").removeprefix("."))
    except TargetError:
        name = ""
    if not name or ":" in name or name.rpartition(".")[2].isdigit():
        raise ConfigError("domain", domain, "a DNS name such as apps.example.com")
    if len(name) > _LONGEST_DOMAIN:
        raise ConfigError("domain", domain, f"at most {_LONGEST_DOMAIN} characters, to leave room for a label")
    return name


def canonical_domains(domains: Iterable[str]) -> tuple[str, ...]:
    """Served domains as `canonical_domain` has them, the longest first, as `find_label` needs them."""
    return tuple(sorted({canonical_domain(domain) for domain in domains}, key=len, reverse=True))


def find_label(host: bytes, domains: tuple[str, ...]) -> HostLabel:
    """Read a Host field's value; a TLS server name has the same form.

    Args:
        host: ``uri-host [ ":" port ]``, surrounding white space already removed.
        domains: What is served, as `canonical_domains` returns it.

    Raises:
        MessageError: 400 if it has another form (RFC 9112 §3.2); 421 if it is under no served domain, which
            every IP address is (RFC 9110 §15.5.20).
        LabelError: It is a served domain itself, or more than one label below it.
    """
    match = _HOST.fullmatch(host)
    if match is None or int(match["port"] or 0) > 65535 or not _is_address(match["literal"]):
        raise MessageError(400, "malformed Host")
    if match["name"] is None:
        raise MessageError(421, "Host is an IP address")
    name = match["name"].decode("ascii").lower().removesuffix(".")
    for domain in domains:
        if name == domain:
            raise LabelError("the bare domain, no label")
        if name.endswith(f".{domain}"):
            label = name[: -len(domain) - 1]
            if not _LABEL.fullmatch(label):
                raise LabelError("not exactly one label below the domain")
            return HostLabel(label, domain)
    raise MessageError(421, "Host under no served domain")


def _is_address(literal: bytes | None) -> bool:
    """Whether the text between brackets, if there is one, is an IP literal (RFC 3986 §3.2.2)."""
    if literal is None or _IP_FUTURE.fullmatch(literal):
        return True
    try:
        ipaddress.IPv6Address(literal.decode("ascii"))
    except ValueError:
        return False
    return True
