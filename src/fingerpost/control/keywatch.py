"""Notices that the key file has changed, so that a rotation needs no restart."""

import logging
import os

from fingerpost.errors import ConfigError
from fingerpost.label.keyring import Keyring

log = logging.getLogger("fingerpost.keys")


class KeyWatch:
    """Looks at one key file.

    Args:
        path: The file. Replacing it by another (as `keygen --rotate` and mounted secrets do) is a change too.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen = self._stamp()

    def changed(self) -> str | None:
        """The text of the new keys, if the file has changed since the last call and can be used.

        A broken file is reported once, and the keys that the workers have stay in force.
        """
        stamp = self._stamp()
        if stamp == self._seen:
            return None
        self._seen = stamp
        try:
            keyring = Keyring.load(self._path)
        except ConfigError as error:
            log.error("the keys stay as they were: %s", error)
            return None
        log.info("new keys from %s: %d in force", self._path, len(keyring.keys))
        return keyring.dump()

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size
