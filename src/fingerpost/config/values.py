"""The textual forms that settings have: each function turns what a user wrote into its one canonical text.

All raise ValueError with words that complete "expected …", so that a problem names the accepted form.
"""

import grp
import ipaddress
import os
import pwd
import re
from urllib.parse import urlsplit

from fingerpost.errors import ConfigError, TargetError
from fingerpost.routing.model import canonical_host
from fingerpost.routing.policy import Rule

ADDRESS_FORM = (
    "ADDR:PORT with an IP address or localhost and a port from 0 to 65535, such as 127.0.0.1:8080 or [::1]:8080"
)
DOMAIN_FORM = "a DNS name such as apps.example.com (international names in their xn-- form)"
CIDR_FORM = "an address or a network such as 10.0.0.0/8 or fd00::/8"
DESTINATION_FORM = "CIDR[:PORTS], such as 10.0.0.0/8, 10.0.0.0/8:80,8000-8999 or [fd00::/8]:443"
URL_FORM = "http:// or https:// with a host, perhaps a port and nothing more, such as https://apps.example.com"
TOKEN_FORM = "1 to 64 letters, digits or !#$%&'*+-.^_`|~ (a token, RFC 9110 §5.6.2)"  # noqa: S105 (a grammar rule)

USER_FORM = "USER or USER:GROUP, names that this machine knows or numbers"

_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}", re.ASCII)
_LONGEST_DOMAIN = 253 - 64  # RFC 1035 §2.3.4, less a label of 63 and its dot


def listen_address(text: str) -> str:
    """Canonical ``ADDR:PORT``: ``localhost`` is 127.0.0.1, IPv6 is compressed and stands in brackets."""
    host, separator, port = text.strip().rpartition(":")
    if not separator or not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError(ADDRESS_FORM)
    bracketed = host.startswith("[") and host.endswith("]")
    if host.lower() == "localhost":
        host = "127.0.0.1"
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise ValueError(ADDRESS_FORM) from None
    if bracketed != (address.version == 6) or "%" in host:
        raise ValueError(ADDRESS_FORM)
    return f"[{address}]:{int(port)}" if bracketed else f"{address}:{int(port)}"


def domain_name(text: str) -> str:
    """Lower-case domain without the ``*.`` or ``.`` that people write in front of a wildcard."""
    name = text.strip().lower().removeprefix("*").removeprefix(".")
    try:
        name = canonical_host(name)
    except TargetError:
        raise ValueError(DOMAIN_FORM) from None
    if len(name) > _LONGEST_DOMAIN:
        raise ValueError(f"at most {_LONGEST_DOMAIN} characters, so that a label fits in front")
    if ":" in name or name.rpartition(".")[2].isdigit():
        raise ValueError(f"{DOMAIN_FORM}; an IP address has no subdomains")
    return name


def network(text: str) -> str:
    """Canonical CIDR; a single address is a network of one."""
    text = text.strip()
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        loose = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(CIDR_FORM) from None
    # Whether /8 or the host bits are the mistake only the user knows; a guess would trust the wrong network.
    raise ValueError(f"{loose} or {text.partition('/')[0]} (bits are set to the right of the prefix)")


def destination(text: str) -> str:
    """``CIDR[:PORTS]`` as the destination policy reads it."""
    text = text.strip()
    try:
        Rule.parse(text)
    except ConfigError as error:
        raise ValueError(error.accepted) from None
    return text


def public_url(text: str) -> str:
    """Canonical ``scheme://host[:port]`` without a trailing slash."""
    text = text.strip()
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(URL_FORM) from None
    extra = parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None
    if parts.scheme not in ("http", "https") or not parts.hostname or extra or port == 0:
        raise ValueError(URL_FORM)
    host = domain_name(parts.hostname)
    return f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")


def token(text: str) -> str:
    """A token, which RFC 8586 §2 wants as a cdn-id's pseudonym."""
    if not _TOKEN.fullmatch(text):
        raise ValueError(TOKEN_FORM)
    return text


def user(text: str) -> str:
    """``USER[:GROUP]`` as names or numbers of this machine."""
    name, separator, group = text.strip().partition(":")
    try:
        if not name.isdigit():
            pwd.getpwnam(name)
        if separator and not group.isdigit():
            grp.getgrnam(group)
    except KeyError:
        raise ValueError(USER_FORM) from None
    return text.strip()


def path(text: str) -> str:
    """A file's path with ``~`` expanded."""
    if not text.strip() or "\0" in text:
        raise ValueError("a path")
    return os.path.expanduser(text)


def short_home(text: str) -> str:
    """The path with ``~`` for this user's home directory, for documentation."""
    home = os.path.expanduser("~")
    return f"~{text.removeprefix(home)}" if text.startswith(f"{home}/") else text


def without_credentials(value: object) -> str:
    """How a value is shown in a message: on one line, short, and without a URL's user name and password."""
    text = re.sub(r"//[^/@\s]*@", "//…@", str(value))
    text = "".join(character if character.isprintable() else "�" for character in text)
    return text if len(text) <= 200 else f"{text[:199]}…"
