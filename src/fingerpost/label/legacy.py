"""Legacy labels: hex of Blowfish-ECB of ``host:port``, as a predecessor made them. Not authenticated.

Who has such labels in use can serve them on; new ones should be sealed. Random hex opens only by chance, but
a known label works under every domain and for ever, so the destination policy is what protects.
"""

import re
from typing import TYPE_CHECKING, Any

from fingerpost.errors import ConfigError, LabelError, TargetError
from fingerpost.routing.model import Target

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher

_BLOCK_BYTES = 8
_HEX = re.compile(r"(?:[0-9a-f]{16}){1,3}", re.ASCII)  # whole blocks; a DNS label has room for three
_MAX_TEXT_BYTES = 23  # three blocks, of which PKCS #5 padding takes one byte at least
_TEXT = re.compile(rb"[0-9A-Za-z._\[\]:-]+:[0-9]{1,5}")
_KEY_FORM = "a file whose text is the Blowfish key, 4 to 56 bytes"


def open_legacy(label: str, key: bytes) -> Target:
    """Open a legacy label; ``0.0.0.0`` stays as it is.

    Args:
        label: 16, 32 or 48 hex digits, in upper or lower case.
        key: 4 to 56 bytes.

    Raises:
        LabelError: It is no such label.
        ValueError: The key is shorter or longer; see `check_legacy_key`.
    """
    label = label.lower()
    if not _HEX.fullmatch(label):
        raise LabelError("not hex of whole Blowfish blocks")
    decryptor = _cipher(key).decryptor()
    text = _without_padding(decryptor.update(bytes.fromhex(label)) + decryptor.finalize())
    if not _TEXT.fullmatch(text):
        raise LabelError("no host:port in a legacy label")
    try:
        return Target.parse(text.decode("ascii"))
    except TargetError:
        raise LabelError("no host:port in a legacy label") from None


def seal_legacy(target: Target | str, key: bytes) -> str:
    """Make a legacy label, with PKCS #5 padding.

    Raises:
        TargetError: The scheme is not http, or ``host:port`` is longer than 23 characters.
        ValueError: The key is shorter or longer; see `check_legacy_key`.
    """
    target = Target.parse(str(target))
    text = str(target).partition("://")[2].encode("ascii")
    if target.scheme != "http":
        raise TargetError(f"{target}: a legacy label can't say a scheme, only http; seal the target instead")
    if len(text) > _MAX_TEXT_BYTES:
        raise TargetError(
            f"{target}: a legacy label has room for host:port of {_MAX_TEXT_BYTES} characters and this is "
            f"{len(text)} long; use the IP address, or seal the target instead"
        )
    missing = _BLOCK_BYTES - len(text) % _BLOCK_BYTES
    encryptor = _cipher(key).encryptor()
    return (encryptor.update(text + bytes([missing]) * missing) + encryptor.finalize()).hex()


def check_legacy_key(key: bytes, source: str = "the key") -> None:
    """Find out at the start, not at the first label, whether a key can be used.

    Raises:
        ConfigError: It is too short or too long, or the installed OpenSSL has no Blowfish.
    """
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        _cipher(key).decryptor()
    except ValueError:
        raise ConfigError("legacy_key_file", source, _KEY_FORM) from None
    except UnsupportedAlgorithm:
        raise ConfigError("legacy_key_file", source, "an OpenSSL that still has Blowfish") from None


def _cipher(key: bytes) -> "Cipher[Any]":
    """Raises ValueError for a key of another length."""
    # Imported here, because few have legacy labels and everybody would wait.
    from cryptography.hazmat.decrepit.ciphers.algorithms import Blowfish
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

    if not 4 <= len(key) <= 56:
        raise ValueError(_KEY_FORM)
    return Cipher(Blowfish(key), modes.ECB())  # noqa: S305 (what the labels were made with)


def _without_padding(text: bytes) -> bytes:
    """The text before PKCS #5 padding (RFC 8018 §6.1.1) or zeros; text that fills its blocks has no zeros."""
    last = text[-1]
    if 1 <= last <= _BLOCK_BYTES and text.endswith(bytes([last]) * last):
        return text[:-last]
    return text.rstrip(b"\0")
