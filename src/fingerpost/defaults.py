"""The defaults that commands need without the settings' validator: stdlib only, and quick to import."""

import os

DEFAULT_LISTEN = "127.0.0.1:8080"
DEFAULT_DOMAIN = "localhost"

PREDECESSOR_VARIABLE = "_FINGERPOST_PREDECESSOR"
"""Names the descriptor over which a new version takes over from the running one (`fingerpost.control.upgrade`)."""


def default_key_file() -> str:
    """The key file of whoever runs this: ``fingerpost/keys`` below ``$XDG_CONFIG_HOME``, else ``~/.config``.

    A relative ``$XDG_CONFIG_HOME`` is ignored, as the XDG base directory specification asks.
    """
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    folder = configured if os.path.isabs(configured) else os.path.expanduser("~/.config")
    return os.path.join(folder, "fingerpost", "keys")


def control_directories() -> list[str]:
    """Where supervisors put their control sockets, each named after its process id; the first that can be used.

    Not below ``$RUNTIME_DIRECTORY``, which only the service itself knows: who types a command must find them too.
    """
    personal = os.environ.get("XDG_RUNTIME_DIR", "")
    below = [os.path.join(personal, "fingerpost")] if os.path.isabs(personal) else []
    return [*below, "/run/fingerpost", f"/tmp/fingerpost-{os.geteuid()}"]  # noqa: S108 (it is made with mode 0700)
