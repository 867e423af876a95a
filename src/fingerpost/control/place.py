"""Where the control socket is: at the path that a setting gives, or in a directory that only its owner can enter."""

import os
import socket
import stat

from fingerpost.defaults import control_directories


def default_path() -> str | None:
    """A place for this process's socket; None if there is no directory that is safe and can be written to."""
    for directory in control_directories():
        if _is_safe(directory):
            _tidy(directory)
            return os.path.join(directory, f"{os.getpid()}.sock")
    return None


def is_answered(path: str) -> bool:
    """Whether somebody listens at a Unix socket's path."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except (OSError, ValueError):
            return False
    return True


def _is_safe(directory: str) -> bool:
    """Whether it is ours alone; made if it isn't there. In /tmp anybody could have put one there before us."""
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        found = os.lstat(directory)
    except OSError:
        return False
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
    return ours and os.access(directory, os.W_OK | os.X_OK)


def _tidy(directory: str) -> None:
    """Remove what processes that were killed have left."""
    for name in os.listdir(directory):
        number, _, rest = name.partition(".")
        if number.isdigit() and rest.startswith("sock") and not os.path.exists(f"/proc/{number}"):
            try:
                os.unlink(os.path.join(directory, name))
            except OSError:
                continue
