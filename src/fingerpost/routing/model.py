"""What a label leads to: Target (where) and Route (which label, of what kind, until when)."""

import ipaddress
import re
from typing import NamedTuple

from fingerpost.errors import TargetError

SCHEMES = ("http", "https", "tcp")

# RFC 1123 §2.1 host names, with the underscore that container networks use in practice.
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_TARGET_FORM = "[scheme://]host:port with scheme http, https or tcp"


class Target(NamedTuple):
    """Where bytes go: a scheme of SCHEMES, an IP literal without brackets or a host name, and a port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Read ``[scheme://]host:port``; the scheme defaults to ``http``.

        Returns:
            The target, its host in canonical form (lower case, compressed IPv6, no trailing dot).

        Raises:
            TargetError: The text has another form.
        """
        scheme, separator, authority = text.strip().rpartition("://")
        scheme = scheme.lower() if separator else "http"
        if scheme not in SCHEMES:
            raise TargetError(f"{text!r}: unknown scheme {scheme!r}; expected {_TARGET_FORM}")
        host, separator, port = authority.rpartition(":")
        if not separator or not host:
            raise TargetError(f"{text!r}: no port; expected {_TARGET_FORM}")
        if ":" in host and not host.startswith("["):
            raise TargetError(f"{text!r}: an IPv6 address needs brackets; expected {_TARGET_FORM}")
        if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
            raise TargetError(f"{text!r}: port {port!r} is not 1 to 65535")
        return cls(scheme, canonical_host(host, text), int(port))

    def __str__(self) -> str:
        """The canonical text: ``http://10.0.3.17:8888``, ``tcp://[::1]:22``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def canonical_host(host: str, context: str | None = None) -> str:
    """Bring an address or host name into the one form used for sealing, pooling and policy.

    Args:
        host: An IPv4 address, an IPv6 address (brackets optional), or a host name.
        context: What to quote in the error, when ``host`` is only a part of what the user gave.

    Raises:
        TargetError: It is none of these. Also for the shorthand IPv4 forms of inet_aton (``127.1``,
            ``0x7f000001``): a resolver would take them for addresses that a policy did not see.
    """
    quoted = repr(context or host)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            raise TargetError(f"{quoted}: brackets are for IPv6 addresses only")
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host)) if "%" not in host else _refuse_zone(quoted)
        except ValueError as error:
            raise TargetError(f"{quoted}: {host!r} is no IPv6 address") from error
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        name = host.lower().removesuffix(".")
    last = name.rpartition(".")[2]
    is_name = host.isascii() and len(name) <= 253 and _HOST_NAME.fullmatch(name)
    if not is_name or last.isdigit() or last.startswith("0x"):
        raise TargetError(f"{quoted}: {host!r} is neither an IP address nor a host name")
    return name


def _refuse_zone(quoted: str) -> str:
    raise TargetError(f"{quoted}: IPv6 zone ids name an interface of one machine and can't be relayed to")


class Route(NamedTuple):
    """A label and where it leads.

    Attributes:
        label: As the client sent it, lower case.
        kind: ``sealed``, ``legacy`` or ``named``.
        target: Where to.
        expires_at: Unix seconds, or None for never.
    """

    label: str
    kind: str
    target: Target
    expires_at: int | None
