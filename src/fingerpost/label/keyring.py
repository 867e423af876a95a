"""Keys for sealed labels: the key file's text, reading it, and adding to it without ever losing a key.

One key a line, newest first; ``#`` starts a comment::

    # spring
    k1 r8TVu0…  (64 random bytes as 86 characters of base64url, or as 128 of hex)
    k0 9aQzX7…

The first key seals and all of them open. So keys are rotated by adding one in front, waiting until no label
of the last one is in use, and deleting that one's line. Ids are k0 to k31: a label has five bits for them.
"""

import base64
import contextlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TextIO

from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from fingerpost.errors import ConfigError

KEY_BYTES = 64  # AES-256-SIV: one half authenticates, the other encrypts (RFC 5297 §2.2)
MAX_KEYS = 32

_LINE_FORM = "an id from k0 to k31, a space, and 64 random bytes as base64url or hex"
_KEY_ID = re.compile(r"k(0|[1-9][0-9]?)", re.ASCII)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]{86}(?:==)?", re.ASCII)
_HEX = re.compile(r"[0-9A-Fa-f]{128}", re.ASCII)
_MAX_FILE_BYTES = 65_536


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Keyring:
    """Named keys, newest first; immutable, and its repr shows no key.

    Attributes:
        keys: Pairs of id (0 to 31) and key (64 bytes).
        ciphers: By key id, made of ``keys``.

    Raises:
        ConfigError: No key, too many, or an id or a key twice.
    """

    keys: Sequence[tuple[int, bytes]]
    ciphers: Mapping[int, AESSIV] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", tuple(self.keys))
        if not 1 <= len(self.keys) <= MAX_KEYS:
            raise ConfigError("key_file", f"{len(self.keys)} keys", f"1 to {MAX_KEYS} of them")
        if len({key for _, key in self.keys}) != len(self.keys):
            raise ConfigError("key_file", "a key", "every key once, under one id")
        ciphers: dict[int, AESSIV] = {}
        for key_id, key in self.keys:
            if not 0 <= key_id < MAX_KEYS or key_id in ciphers or len(key) != KEY_BYTES:
                raise ConfigError("key_file", show_id(key_id), f"each id once, each {_LINE_FORM}")
            ciphers[key_id] = AESSIV(key)
        object.__setattr__(self, "ciphers", MappingProxyType(ciphers))

    def __repr__(self) -> str:
        """Only the ids: ``Keyring(k1, k0)``."""
        return f"Keyring({', '.join(show_id(key_id) for key_id, _ in self.keys)})"

    @classmethod
    def generate(cls) -> "Keyring":
        """A keyring of one new key, k0."""
        return cls([(0, os.urandom(KEY_BYTES))])

    @classmethod
    def parse(cls, text: str, source: str = "keys") -> "Keyring":
        """Read a key file's text.

        Args:
            text: The whole text.
            source: How errors name it.

        Raises:
            ConfigError: It has another form; the message has the line's number and nothing of its content.
        """
        keys: dict[int, bytes] = {}
        for number, line in enumerate(text.splitlines(), 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            where = f"{source}, line {number}"
            match = _KEY_ID.fullmatch(words[0])
            key_id = int(match[1]) if match else MAX_KEYS
            key = _decode(words[1]) if len(words) == 2 else None
            if key_id >= MAX_KEYS or key is None:
                raise ConfigError("key_file", where, _LINE_FORM)
            if key_id in keys or key in keys.values():
                raise ConfigError("key_file", where, "an id and a key that no other line has")
            keys[key_id] = key
        if not keys:
            raise ConfigError("key_file", source, f"at least one key, each {_LINE_FORM}")
        return cls(list(keys.items()))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Keyring":
        """Read a key file; ``~`` is the user's home.

        Raises:
            ConfigError: It can't be read or has another form.
        """
        path = os.path.expanduser(path)
        return cls.parse(_read(path), os.fspath(path))

    def dump(self) -> str:
        """The key file's text, without comments; `parse` is the inverse."""
        return "".join(f"{_line(key_id, key)}\n" for key_id, key in self.keys)

    @property
    def newest_id(self) -> int:
        """The id of the key that seals."""
        return self.keys[0][0]


def show_id(key_id: int) -> str:
    """A key's id as people and key files have it: ``k7``."""
    return f"k{key_id}"


def add_key(text: str, source: str = "keys") -> tuple[str, int]:
    """A key file's text with a new key in front of the others; all else stays as it is, comments too.

    Returns:
        The new text and the new key's id.

    Raises:
        ConfigError: The text can't be parsed, or all 32 ids are taken.
    """
    keyring = Keyring.parse(text, source)
    taken = {key_id for key_id, _ in keyring.keys}
    following = ((keyring.newest_id + step) % MAX_KEYS for step in range(1, MAX_KEYS))
    # Counting on, not filling gaps: a removed key's id comes back as late as possible.
    new_id = next((key_id for key_id in following if key_id not in taken), None)
    if new_id is None:
        raise ConfigError("key_file", source, f"fewer than {MAX_KEYS} keys; remove the oldest, at the end")
    lines = text.splitlines(keepends=True)
    first = next(index for index, line in enumerate(lines) if line.partition("#")[0].strip())
    lines.insert(first, f"{_line(new_id, os.urandom(KEY_BYTES))}\n")
    return "".join(lines), new_id


def create_key_file(path: str | os.PathLike[str]) -> int:
    """Write one new key to a file that doesn't exist yet, for its owner alone; make its folder if needed.

    Returns:
        The key's id.

    Raises:
        ConfigError: The file exists or can't be written.
    """
    keyring = Keyring.generate()
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
        with _new_file(path) as stream:
            stream.write(keyring.dump())
    except FileExistsError:
        fix = "a path where nothing is yet; to add a newest key to this file: fingerpost keygen --rotate"
        raise ConfigError("key_file", os.fspath(path), fix) from None
    except OSError as error:
        raise ConfigError("key_file", os.fspath(path), f"a writable path ({error.strerror})") from None
    return keyring.newest_id


def rotate_key_file(path: str | os.PathLike[str]) -> int:
    """Add a newest key to a file. A reader sees all of the old or all of the new text; mode and owner stay.

    Returns:
        The new key's id.

    Raises:
        ConfigError: The file can't be read, parsed or written, or another rotation is under way.
    """
    real = os.path.realpath(path)  # a link stays one
    fresh = f"{real}.new"
    try:
        before = os.stat(real)
        # The new file is the lock, so it comes first: of two rotations at a time, one would lose its key.
        with _new_file(fresh) as stream:
            text, key_id = add_key(_read(real), os.fspath(path))
            stream.write(text)
            os.fchown(stream.fileno(), before.st_uid, before.st_gid)
            os.fchmod(stream.fileno(), stat.S_IMODE(before.st_mode))
            _sync(stream)
            os.replace(fresh, real)
    except FileNotFoundError:
        raise ConfigError("key_file", os.fspath(path), _existing_file(path)) from None
    except FileExistsError:
        fix = f"no other rotation to be under way; if none is, delete {fresh}"
        raise ConfigError("key_file", os.fspath(path), fix) from None
    except OSError as error:
        fix = f"a file and folder that its owner runs this in ({error.strerror})"
        raise ConfigError("key_file", os.fspath(path), fix) from None
    return key_id


def is_readable_by_others(path: str | os.PathLike[str]) -> bool:
    """Whether a key file's group or everybody may read it: worth a warning."""
    return bool(os.stat(path).st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _line(key_id: int, key: bytes) -> str:
    return f"{show_id(key_id)} {base64.urlsafe_b64encode(key).decode().rstrip('=')}"


def _decode(text: str) -> bytes | None:
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    return base64.urlsafe_b64decode(f"{text[:86]}==") if _BASE64URL.fullmatch(text) else None


def _existing_file(path: str | os.PathLike[str]) -> str:
    return f"an existing key file; make one: fingerpost keygen --key-file {os.fspath(path)}"


def _read(path: str | os.PathLike[str]) -> str:
    """A key file's text. Errors are raised outside of the handlers: theirs would hold the file's bytes."""
    try:
        with open(path, "rb") as stream:
            content = stream.read(_MAX_FILE_BYTES + 1)
        if len(content) <= _MAX_FILE_BYTES:
            return content.decode("utf-8")
        problem = f"a key file of at most {_MAX_FILE_BYTES} bytes"
    except FileNotFoundError:
        problem = _existing_file(path)
    except UnicodeDecodeError:
        problem = f"a text file, each line {_LINE_FORM}"
    except OSError as error:
        problem = f"a readable file ({error.strerror})"
    raise ConfigError("key_file", os.fspath(path), problem)


@contextlib.contextmanager
def _new_file(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """A new file (0600), on the disk itself in the end; nothing is left of it after a failure."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            yield stream
            _sync(stream)
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # makes the name as durable as the content
        finally:
            os.close(folder)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        raise


def _sync(stream: TextIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())
