"""Reads and checks the files that settings name, so that a mistake shows at the start, not at a request."""

import os
from typing import NamedTuple

from fingerpost.config.settings import Settings
from fingerpost.config.sources import Configuration
from fingerpost.errors import ConfigError, ConfigProblemsError

_SHORTEST_LEGACY_KEY_BYTES = 4
_LONGEST_LEGACY_KEY_BYTES = 56


class Secrets(NamedTuple):
    """What opens labels: the key file's text ("" if there is none) and the legacy key as Latin-1 text."""

    keys: str
    legacy_key: str | None

    def __repr__(self) -> str:
        """Without the keys: this must not end up in a log."""
        return "Secrets(…)"


class Files(NamedTuple):
    """The contents that workers need, and what an operator should know about the files."""

    secrets: Secrets
    warnings: list[str]


def read_files(configuration: Configuration) -> Files:
    """Read the key files and see that the other files can be used.

    Raises:
        ConfigProblemsError: With one `ConfigError` for every file that can't be used.
    """
    settings, origins = configuration
    problems: list[ConfigError] = []
    warnings: list[str] = []
    legacy_key = None
    if settings.legacy_key_file is not None:
        legacy_key = _legacy_key(settings.legacy_key_file, problems, warnings)
    # Who gave a legacy key and no key file, and has none at the default place, means: legacy labels only.
    legacy_only = settings.legacy_key_file is not None and origins["key_file"].kind == "default"
    keys = ""
    if not legacy_only or os.path.exists(settings.key_file):
        keys = _keys(settings.key_file, problems, warnings)
    problems += _other_files(settings)
    if problems:
        located = [ConfigError(e.key, e.value, e.accepted, origins[e.key].place) for e in problems]
        raise ConfigProblemsError(located)
    return Files(Secrets(keys, legacy_key), warnings)


def _keys(path: str, problems: list[ConfigError], warnings: list[str]) -> str:
    from fingerpost.label.keyring import Keyring, is_readable_by_others

    try:
        keyring = Keyring.load(path)
        if is_readable_by_others(path):
            warnings.append(f"key_file: {path}: others than its owner may read it; chmod 600 it")
    except ConfigError as error:
        problems.append(error)
        return ""
    return keyring.dump()


def _legacy_key(path: str, problems: list[ConfigError], warnings: list[str]) -> str | None:
    from fingerpost.label.keyring import is_readable_by_others

    try:
        with open(path, "rb") as stream:
            key = stream.read(_LONGEST_LEGACY_KEY_BYTES + 3).rstrip(b"\r\n")
        if is_readable_by_others(path):
            warnings.append(f"legacy_key_file: {path}: others than its owner may read it; chmod 600 it")
    except OSError as error:
        problems.append(ConfigError("legacy_key_file", path, f"a file whose text is the key ({error.strerror})"))
        return None
    if not _SHORTEST_LEGACY_KEY_BYTES <= len(key) <= _LONGEST_LEGACY_KEY_BYTES:
        problems.append(ConfigError("legacy_key_file", path, "a file of one key of 4 to 56 bytes"))
    return key.decode("latin-1")


def _other_files(settings: Settings) -> list[ConfigError]:
    problems = []
    if settings.upstream_ca is not None and (reason := _why_not_authorities(settings.upstream_ca)):
        problems.append(ConfigError("upstream_ca", settings.upstream_ca, f"a PEM file of certificates ({reason})"))
    if settings.access_log not in (None, "-") and (reason := _why_not_writable(settings.access_log)):
        problems.append(ConfigError("access_log", settings.access_log, f"a file that can be written ({reason})"))
    if settings.control_socket is not None and (reason := _why_not_writable(settings.control_socket)):
        problems.append(ConfigError("control_socket", settings.control_socket, f"a place for a socket ({reason})"))
    if settings.pid_file is not None and (reason := _why_not_writable(settings.pid_file)):
        problems.append(ConfigError("pid_file", settings.pid_file, f"a file that can be written ({reason})"))
    return problems


def _why_not_authorities(path: str) -> str | None:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        return str(error.reason or "no certificate in it").lower().replace("_", " ")
    except OSError as error:
        return error.strerror
    return None


def _why_not_writable(path: str) -> str | None:
    """Ask without touching it: `check` must not leave files behind."""
    if os.path.isdir(path):
        return "it is a directory"
    if os.path.exists(path):
        return None if os.access(path, os.W_OK) else "permission denied"
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        return f"there is no directory {directory}"
    return None if os.access(directory, os.W_OK | os.X_OK) else f"permission denied in {directory}"
