"""What a worker is told when it starts: plain data that crosses a socketpair as JSON.

The user's settings, with their documentation and defaults, are in `fingerpost.config`; this is the
part of them that the data plane needs, already validated, so a worker imports no validator.
Times are seconds, sizes are bytes.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """One worker's orders. Field names are those of the user's settings where one exists."""

    number: int  # which of the workers it is, from 0
    domain: list[str]  # served suffixes, lower case, without a leading dot
    keys: str  # the key file's text
    legacy_key: str | None  # the legacy key, as Latin-1 text
    allow: list[str]  # CIDR[:PORTS]
    own_listeners: list[str]  # ADDR:PORT of every socket of this proxy: never a destination
    trusted_proxies: list[str]  # CIDR
    upstream_ca: str | None  # PEM file, else the system's roots
    access_log: str | None  # a path, or "-" for standard output
    cdn_loop_id: str
    log_level: str  # debug, info, warning or error

    max_head_bytes: int
    max_fields: int
    max_connections: int
    room: int  # how many of them this worker has descriptors for
    max_connections_per_client: int
    max_connections_per_target: int
    pool_max_idle: int
    pool_max_idle_per_target: int

    head_timeout_s: float
    connect_timeout_s: float
    response_timeout_s: float
    body_stall_timeout_s: float
    body_timeout_s: float
    stream_idle_timeout_s: float
    keepalive_timeout_s: float
    tunnel_idle_timeout_s: float
    pool_idle_timeout_s: float
    resolve_ttl_s: float
