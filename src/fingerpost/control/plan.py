"""What the proxy is to be: the settings from all sources, with the files that they name, read anew for each reload."""

from collections.abc import Mapping
from typing import NamedTuple

from fingerpost.config import Settings, load
from fingerpost.config.files import Secrets, read_files
from fingerpost.control.keywatch import KeyWatch
from fingerpost.control.listeners import Listeners, descriptors_needed, hard_limit, make_room
from fingerpost.control.orders import share


class Plan(NamedTuple):
    """A valid configuration, and what follows from it.

    Attributes:
        settings: The operator's.
        secrets: What the key files hold.
        keys: Watches the key file; None where there is none.
        room: How many connections one worker has descriptors for.
        warnings: What an operator should know.
        listens: Whether the operator has said where to listen; else sockets that are given to us replace the default.
    """

    settings: Settings
    secrets: Secrets
    keys: KeyWatch | None
    room: int
    warnings: list[str]
    listens: bool = True

    def listeners(self, kept: Listeners | None) -> Listeners:
        """Open what there is to listen on, but for what is open already.

        Raises:
            ConfigError: See `Listeners`.
        """
        needed = self.listens or kept is None or not kept.are_given
        return Listeners(self.settings.listen if needed else (), self.settings.workers, kept)


class Sources:
    """Where settings come from.

    Args:
        flags: By setting name, as `fingerpost.config.load` takes them.
        environ: The environment.
        file: The TOML file, if a flag named one.
    """

    def __init__(self, flags: Mapping[str, object], environ: Mapping[str, str], file: str | None) -> None:
        self._flags = flags
        self._environ = environ
        self._file = file

    def read(self) -> Plan:
        """Read and validate everything, and raise the limit on open files if more connections are wanted.

        Raises:
            ConfigProblemsError: With one `ConfigError` for every problem there is.
            ConfigError: The limit on open files has no room for a single connection.
        """
        configuration = load(self._flags, self._environ, self._file)
        settings = configuration.settings
        keys = KeyWatch(settings.key_file)  # before the keys are read, so that no change is missed
        secrets, warnings = read_files(configuration)
        room = room_for(settings, warnings)
        listens = configuration.origins["listen"].kind != "default"
        return Plan(settings, secrets, keys if secrets.keys else None, room, warnings, listens)


def room_for(settings: Settings, warnings: list[str]) -> int:
    """How many connections one worker has descriptors for; adds a warning if they are too few for all workers together.

    The kernel spreads connections as dice would, so a worker gets room for twice its share, if there is some.
    """
    needed = share(settings.max_connections, settings.workers)
    room = make_room(min(2 * needed, settings.max_connections))
    if room < needed:
        each = f" in each of {settings.workers} workers" if settings.workers > 1 else ""
        warnings.append(
            f"max_connections lowered from {settings.max_connections} to {room * settings.workers}: {needed} "
            f"connections{each} need {descriptors_needed(needed)} open files and the hard limit is {hard_limit()}; "
            "raise it (ulimit -Hn, systemd: LimitNOFILE=) or lower max_connections"
        )
    return room
