"""fingerpost: a reverse proxy in which the subdomain is the signpost.

A client asks ``https://<label>.apps.example.com``; the label holds the destination, encrypted and authentic, and
the proxy relays there. Nothing is registered, stored or reloaded. Labels are made with `seal` and `seal_url` in
any program that has the key file, or by ``fingerpost seal``.

Words
    downstream      the client's side
    upstream        the app's side
    listener        a socket that accepts clients
    worker          a process that relays: one thread, one epoll
    supervisor      the process that starts the workers, and never touches a relayed byte
    label           the first DNS label of the Host
    domain          the wildcard suffix under which labels are served
    target          scheme, host and port of an app
    route           which target a label leads to
    sealed label    the target, encrypted into the label
    legacy label    the same in an older, unauthenticated form
    key, keyring    what seals and opens labels; the newest key seals, all of them open
    policy          which destinations are allowed
    head            start line and fields of a message
    framing         how a body's end is known
    exchange        one request and its response
    tunnel          bytes both ways after an upgrade, or for a ``tcp`` target
    pool            idle upstream connections, kept for the next exchange
    drain           finish what runs, accept nothing new

The way of a byte from the client, file by file
    dataplane/listener    accepts the connection
    dataplane/downstream  reads from it until a head is complete
    http1/head            understands the head, strictly
    label/host            finds the label in its Host
    label/sealed          opens the label: that is the target, which routing/resolve remembers
    routing/policy        allows the target's address, once its name is resolved
    dataplane/upstream    connects there, or takes a connection from the pool
    http1/rewrite         writes the head anew, from what was understood
    dataplane/exchange    sends head and body on
    dataplane/response    relays the response on the way back
    dataplane/tunnel      relays all that follows an upgrade, unread
"""

# `import fingerpost` has to be quick, so names are imported when they are first asked for (PEP 562).
# Type checkers take this name for true.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fingerpost import errors as errors
    from fingerpost.label.keyring import Keyring as Keyring
    from fingerpost.label.sealed import Opened as Opened
    from fingerpost.label.sealed import open_label as open_label
    from fingerpost.label.sealed import seal as seal
    from fingerpost.label.sealed import seal_url as seal_url
    from fingerpost.routing.model import Target as Target

__version__ = "0.1.0"
__all__ = ["Keyring", "Opened", "Target", "errors", "open_label", "seal", "seal_url"]

_HOMES = {
    "Keyring": "fingerpost.label.keyring",
    "Opened": "fingerpost.label.sealed",
    "Target": "fingerpost.routing.model",
    "open_label": "fingerpost.label.sealed",
    "seal": "fingerpost.label.sealed",
    "seal_url": "fingerpost.label.sealed",
}


def __getattr__(name: str) -> "Any":  # noqa: ANN401 (each name has its own type, see above)
    from importlib import import_module

    if name == "errors":
        return import_module("fingerpost.errors")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
