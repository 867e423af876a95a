"""Every error that fingerpost raises on purpose; a leaf that imports nothing of the package."""

from collections.abc import Sequence


class FingerpostError(Exception):
    """The root of all errors raised on purpose."""


class ConfigError(FingerpostError):
    """A setting, flag or file that can't be used.

    Args:
        key: The setting's name (``listen``, ``key_file``).
        value: What was given.
        accepted: The accepted form, in words that complete "expected …".
        origin: Where the value stands, when that helps to find it: a flag, a variable or a file.
    """

    def __init__(self, key: str, value: object, accepted: str, origin: str | None = None) -> None:
        self.key = key
        self.value = value
        self.accepted = accepted
        self.origin = origin
        where = f"{key} ({origin})" if origin else key
        super().__init__(f"{where}: {value!s}: expected {accepted}")


class ConfigProblemsError(FingerpostError):
    """Several settings that can't be used; the text has one line for each.

    Args:
        errors: The problems in the order of the settings.
    """

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(map(str, errors)))


class TargetError(FingerpostError, ValueError):
    """Text that is no ``[scheme://]host:port``; the message says why."""


class LabelError(FingerpostError):
    """A label that doesn't open: malformed, forged, foreign or unknown. Clients can't tell which (404)."""


class LabelExpiredError(LabelError):
    """An authentic label whose time is over (410).

    Args:
        kind: The label's kind, for the log; so is ``target``.
        target: What it led to, as text.
    """

    def __init__(self, message: str, kind: str = "", target: str = "") -> None:
        self.kind = kind
        self.target = target
        super().__init__(message)


class NotAllowedError(FingerpostError):
    """A destination that the policy forbids (403)."""


class MessageError(FingerpostError):
    """An HTTP message that is not understood without doubt.

    Args:
        status: What a client gets for it when it was the request (400, 408, 431 …).
        reason: For the log, never for the client.
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(reason)
