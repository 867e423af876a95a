"""Sealed labels: a target encrypted and authenticated into one DNS label, and back.

A label is RFC 4648 base32 in lower case without padding, of 25 to 39 bytes::

    version and key id   1 byte   the version (3 bits, 1) and the key's id (5 bits)
    tag                 16 bytes  of AES-SIV (RFC 5297), which also encrypts what follows
    scheme and kind      1 byte   the scheme (2 bits) and the address's kind (2 bits); the upper 4 bits are 0
    expiry               3 bytes  minutes since 2024-01-01 00:00 UTC, 0 for never
    port                 2 bytes
    address                       4 bytes of IPv4, 16 of IPv6, or a host name of up to 16 characters;
                                  a name of one character is followed by one zero byte

Numbers are big-endian. Associated data are the first byte and the domain in lower case, so a label opens
under no other domain. AES-SIV is deterministic: the same target, expiry, key and domain make the same label.
"""

import base64
import ipaddress
import re
import time
from datetime import timedelta
from typing import NamedTuple

from cryptography.exceptions import InvalidTag

from fingerpost.errors import ConfigError, LabelError, LabelExpiredError, TargetError
from fingerpost.label.expiry import minutes_until, unix_seconds
from fingerpost.label.host import canonical_domain
from fingerpost.label.keyring import Keyring, show_id
from fingerpost.routing.model import SCHEMES, Target, canonical_host

MIN_LABEL_CHARS = 40
MAX_NAME_CHARS = 16

_VERSION = 1
_IPV4, _IPV6, _NAME = range(3)
_FIELDS_BYTES = 6  # scheme and kind, expiry, port: what stands before the address
_MIN_ADDRESS_BYTES = 2  # so that the whole is 25 bytes, 40 characters, at least

# Base32's digits, in either case, to those of int(…, 32); every other byte to one that int() refuses.
_BASE32 = b"abcdefghijklmnopqrstuvwxyz234567"
_DIGITS = bytes(
    b"0123456789abcdefghijklmnopqrstuv"[_BASE32.index(byte)] if byte in _BASE32 else ord("!")
    for byte in bytes(range(256)).lower()
)
# How many bytes so many characters hold; lengths that no whole number of bytes has are missing.
_BYTES_BY_CHARS = {-(-8 * size // 5): size for size in range(25, 40)}

_PUBLIC_URL = re.compile(r"(https?)://(?:\[[0-9a-f:.]+\]|[^/?#@:\s\[\]]+)(:[0-9]{1,5})?/?", re.ASCII | re.I)


class Opened(NamedTuple):
    """What a sealed label says.

    Attributes:
        target: Where it leads.
        expires_at: Unix seconds, or None for never.
        key_id: The key that it was sealed with, 0 to 31.
    """

    target: Target
    expires_at: int | None
    key_id: int


def seal(
    target: Target | str,
    keyring: Keyring,
    *,
    domain: str,
    ttl: str | float | timedelta | None = None,
    expires_at: float | None = None,
) -> str:
    """Seal a target with the newest key.

    Args:
        target: A Target, or ``[scheme://]host:port``.
        keyring: Its first key seals.
        domain: The domain that the label will be served under, and under no other.
        ttl: For how long the label opens: ``8h``, ``1h30m``, seconds or a timedelta; None for ever.
        expires_at: Until when instead, in Unix seconds.

    Returns:
        A label of 40 to 63 characters.

    Raises:
        TargetError: The target has another form, or its host name is too long.
        ConfigError: The domain, the ttl or the expiry can't be used.
    """
    target = Target.parse(str(target))
    kind, address = _pack_host(target.host)
    body = b"%c%b%b%b" % (
        SCHEMES.index(target.scheme) << 2 | kind,
        minutes_until(ttl, expires_at).to_bytes(3, "big"),
        target.port.to_bytes(2, "big"),
        address,
    )
    key_id = keyring.newest_id
    first = bytes([_VERSION << 5 | key_id])
    sealed = keyring.ciphers[key_id].encrypt(body, [first, canonical_domain(domain).encode("ascii")])
    return base64.b32encode(first + sealed).decode("ascii").rstrip("=").lower()


def seal_url(
    target: Target | str,
    keyring: Keyring,
    *,
    domain: str,
    ttl: str | float | timedelta | None = None,
    expires_at: float | None = None,
    public_url: str | None = None,
) -> str:
    """Seal a target into the URL that a client opens.

    Args:
        target: As for `seal`.
        keyring: As for `seal`.
        domain: As for `seal`.
        ttl: As for `seal`.
        expires_at: As for `seal`.
        public_url: Where clients reach the proxy, such as ``http://localhost:8080``: its scheme and port are
            the URL's. Without it, the scheme is https, or http under ``localhost``.

    Raises:
        TargetError: As for `seal`.
        ConfigError: As for `seal`; also if ``public_url`` is not ``http[s]://host[:port]``.
    """
    label = seal(target, keyring, domain=domain, ttl=ttl, expires_at=expires_at)
    return label_url(label, domain, public_url)


def label_url(label: str, domain: str, public_url: str | None = None) -> str:
    """The URL of a label; see `seal_url`.

    Raises:
        ConfigError: ``public_url`` is not ``http[s]://host[:port]``, or the domain is none.
    """
    domain = canonical_domain(domain)
    if public_url is None:
        scheme, port = "http" if f".{domain}".endswith(".localhost") else "https", ""
    else:
        match = _PUBLIC_URL.fullmatch(public_url.strip())
        if not match:
            raise ConfigError("public_url", public_url, "http[s]://host[:port], such as https://apps.example.com")
        scheme, port = match[1].lower(), match[2] or ""
    return f"{scheme}://{label}.{domain}{port}"


def open_label(label: str | bytes, keyring: Keyring, *, domain: str, now: float | None = None) -> Opened:
    """Open a sealed label.

    Args:
        label: The label alone, in upper or lower case.
        keyring: Any of its keys opens.
        domain: The domain that the label was served under.
        now: Unix seconds, or None for the clock's.

    Raises:
        LabelError: It was not sealed with one of these keys for this domain.
        LabelExpiredError: It was, and its time is over.
        ConfigError: The domain can't be used.
    """
    opened = unseal(label, keyring, domain=domain)
    if opened.expires_at is not None and opened.expires_at <= (time.time() if now is None else now):
        raise LabelExpiredError("expired")
    return opened


def unseal(label: str | bytes, keyring: Keyring, *, domain: str) -> Opened:
    """Open a sealed label whether or not its time is over; see `open_label`.

    Raises:
        LabelError: It was not sealed with one of these keys for this domain.
        ConfigError: The domain can't be used.
    """
    raw = _decode_base32(label)
    version, key_id = raw[0] >> 5, raw[0] & 31
    if version != _VERSION:
        raise LabelError(f"unknown version {version}")
    if key_id not in keyring.ciphers:
        raise LabelError(f"no key {show_id(key_id)}")
    try:
        body = keyring.ciphers[key_id].decrypt(raw[1:], [raw[:1], canonical_domain(domain).encode("ascii")])
    except InvalidTag:
        raise LabelError(f"not sealed with key {show_id(key_id)} for this domain") from None
    flags, minutes, port = body[0], int.from_bytes(body[1:4], "big"), int.from_bytes(body[4:6], "big")
    if flags >> 2 >= len(SCHEMES) or port == 0:
        raise LabelError("authentic, but of an unknown form")
    target = Target(SCHEMES[flags >> 2], _unpack_host(flags & 3, body[_FIELDS_BYTES:]), port)
    return Opened(target, unix_seconds(minutes), key_id)


def _decode_base32(label: str | bytes) -> bytes:
    """The bytes of a label. Only one spelling is taken: spare bits in the last character are zero."""
    try:
        text = label.encode("ascii") if isinstance(label, str) else label
        size = _BYTES_BY_CHARS[len(text)]
        number = int(text.translate(_DIGITS), 32)
    except (KeyError, ValueError):
        raise LabelError("not base32 of a sealed label's length") from None
    spare_bits = 5 * len(text) - 8 * size
    if number & ((1 << spare_bits) - 1):
        raise LabelError("not canonical base32")
    return (number >> spare_bits).to_bytes(size, "big")


def _pack_host(host: str) -> tuple[int, bytes]:
    """A canonical host as its kind and bytes."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if len(host) > MAX_NAME_CHARS:
            raise TargetError(
                f"{host!r}: a label has room for a host name of {MAX_NAME_CHARS} characters and this one has "
                f"{len(host)}; use the host's IP address, or a shorter name for it"
            ) from None
        return _NAME, host.encode("ascii").ljust(_MIN_ADDRESS_BYTES, b"\0")
    return (_IPV4 if address.version == 4 else _IPV6), address.packed


def _unpack_host(kind: int, packed: bytes) -> str:
    """The inverse of `_pack_host`; authentic bytes that it would not have made are refused too."""
    if kind == _IPV4 and len(packed) == 4:
        return str(ipaddress.IPv4Address(packed))
    if kind == _IPV6 and len(packed) == 16:
        return str(ipaddress.IPv6Address(packed))
    host = packed.rstrip(b"\0").decode("latin-1")
    try:
        if kind == _NAME and canonical_host(host) == host and _pack_host(host) == (kind, packed):
            return host
    except TargetError:
        pass
    raise LabelError("authentic, but of an unknown form")
