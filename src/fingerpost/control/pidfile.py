"""The pid file: its lock, which the kernel drops with the process, says whether its writer still runs."""

import fcntl
import os
import tempfile

from fingerpost.errors import ConfigError


class PidFile:
    """A file that holds the process id from `write` to `remove`.

    A process id can't tell a running instance from a stale file: after a restart of machine or container
    the number belongs to somebody else. So the writer keeps the file locked.

    Args:
        path: Where; its directory must be writable.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._held: int | None = None

    @property
    def is_written(self) -> bool:
        """Whether it is in place."""
        return self._held is not None

    def refuse_if_held(self) -> None:
        """See that no other running instance has it; a stale file is no obstacle.

        Raises:
            ConfigError: Another instance runs with it, or it can't be read.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigError("pid_file", self._path, f"a readable file ({error.strerror})") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            number = os.read(descriptor, 20).decode("ascii", "replace").strip()
            form = f"a file of no other running instance; process {number} holds it: stop that one first"
            raise ConfigError("pid_file", self._path, form) from None
        finally:
            os.close(descriptor)

    def write(self) -> None:
        """Put a locked file with this process's id in place, whole or not at all.

        Raises:
            ConfigError: The directory can't be written to.
        """
        directory, name = os.path.split(os.path.abspath(self._path))
        try:
            self._held, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
            try:
                fcntl.flock(self._held, fcntl.LOCK_EX)
                os.write(self._held, f"{os.getpid()}\n".encode())
                os.fchmod(self._held, 0o644)
                os.replace(temporary, self._path)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError as error:
            raise ConfigError("pid_file", self._path, f"a file that can be written ({error.strerror})") from error

    def remove(self) -> None:
        """Remove it if it is still the one that was written; otherwise do nothing."""
        if self._held is None:
            return
        try:
            if os.path.samestat(os.stat(self._path), os.fstat(self._held)):
                os.unlink(self._path)
        except OSError:
            pass  # somebody else tidied up
        finally:
            os.close(self._held)
            self._held = None
