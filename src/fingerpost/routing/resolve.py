"""From a Host field to a Route: which label it has, what kind that is, and where it leads."""

from collections.abc import Sequence

from fingerpost.errors import LabelError, LabelExpiredError
from fingerpost.label.host import canonical_domains, find_label
from fingerpost.label.keyring import Keyring
from fingerpost.label.legacy import check_legacy_key, open_legacy
from fingerpost.label.sealed import MIN_LABEL_CHARS, unseal
from fingerpost.routing.model import Route

_MAX_RECENT = 8192


class Router:
    """Finds routes. A Host that led somewhere lately costs one look-up.

    Args:
        domains: The served domains.
        keyring: Opens sealed labels; None if there are none.
        legacy_key: Opens legacy labels; None if they shouldn't open.

    Raises:
        ConfigError: A domain or the legacy key can't be used.
    """

    __slots__ = ("_domains", "_keyring", "_legacy_key", "_recent")

    def __init__(self, domains: Sequence[str], keyring: Keyring | None, legacy_key: bytes | None) -> None:
        self._domains = canonical_domains(domains)
        self._keyring = keyring
        self._legacy_key = legacy_key
        if legacy_key is not None:
            check_legacy_key(legacy_key)
        # Successes alone, so that forged labels can't push real ones out. Dropped whole when full, because
        # keeping an order would cost every request.
        self._recent: dict[bytes, Route] = {}

    def find(self, host: bytes, now: float) -> Route:
        """The route for a Host field's value.

        Args:
            host: As received, surrounding white space removed.
            now: Unix seconds.

        Raises:
            MessageError: 400 for a malformed Host, 421 for one under no served domain.
            LabelError: It has no label, or one that doesn't open.
            LabelExpiredError: It has one whose time is over.
        """
        route = self._recent.get(host)
        if route is None:
            route = self._open(host)
            if len(self._recent) >= _MAX_RECENT:
                self._recent.clear()
            self._recent[host] = route
        if route.expires_at is not None and route.expires_at <= now:
            raise LabelExpiredError("expired", route.kind, str(route.target))
        return route

    def _open(self, host: bytes) -> Route:
        label, domain = find_label(host, self._domains)
        reason = "neither sealed nor legacy"
        if self._keyring is not None and len(label) >= MIN_LABEL_CHARS:
            try:
                opened = unseal(label, self._keyring, domain=domain)
                return Route(label, "sealed", opened.target, opened.expires_at)
            except LabelError as error:
                reason = str(error)  # a legacy label's hex can look like base32, so go on
        if self._legacy_key is not None:
            try:
                return Route(label, "legacy", open_legacy(label, self._legacy_key), None)
            except LabelError as error:
                reason = reason if len(label) >= MIN_LABEL_CHARS else str(error)
        # A new one: an exception that its own frame holds on to is a cycle, and would keep the caller's bytes with it.
        raise LabelError(reason)
