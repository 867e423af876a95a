"""A setting's text from environment, TOML file or default, without the settings' validator, which is slow.

The same sources in the same order as `fingerpost.config`, which explains them all; flags go before these.
"""

import os

from fingerpost.defaults import DEFAULT_DOMAIN, DEFAULT_LISTEN, default_key_file
from fingerpost.errors import ConfigError

_PREFIX = "FINGERPOST_"


class Lookup:
    """Looks settings up.

    Args:
        config: A TOML file; else what ``FINGERPOST_CONFIG`` names, else none.

    Raises:
        ConfigError: The file can't be read.
    """

    def __init__(self, config: str | None) -> None:
        path = config or os.environ.get(f"{_PREFIX}CONFIG") or None
        self._origin = path
        self._table = _read_toml(path) if path else {}

    @property
    def domain(self) -> str:
        """The first served domain."""
        return self._find("domain") or DEFAULT_DOMAIN

    @property
    def key_file(self) -> str:
        """The key file's path."""
        return os.path.expanduser(self._find("key_file") or default_key_file())

    @property
    def control_socket(self) -> str | None:
        """Where a running proxy answers, if that is set."""
        path = self._find("control_socket")
        return None if path is None else os.path.expanduser(path)

    def public_url(self, domain: str) -> str | None:
        """What clients see in front of a label's place; None for https at its own port.

        For a domain below ``localhost``, which only a browser on this machine resolves, it is where `serve`
        listens by the same settings.
        """
        url = self._find("public_url")
        if url is None and f".{domain}".endswith(".localhost"):
            port = (self._find("listen") or DEFAULT_LISTEN).rpartition(":")[2]
            url = f"http://localhost:{port}"
        return url

    def _find(self, name: str) -> str | None:
        """A setting's text, or its first entry's if it is a list; None if it isn't set."""
        if text := os.environ.get(_PREFIX + name.upper()):
            return text.partition(",")[0].strip() if name in ("domain", "listen") else text
        value = self._table.get(name)
        first = value[0] if isinstance(value, list) and value else value
        if first is not None and not isinstance(first, str):
            raise ConfigError(name, value, "text", self._origin)
        return first


def _read_toml(path: str) -> dict[str, object]:
    import tomllib

    try:
        with open(path, "rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise ConfigError("config", path, f"a readable TOML file ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("config", path, f"a TOML file ({error})") from None
