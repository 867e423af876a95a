"""The one definition of every setting: flags, environment, TOML keys and documentation derive from it."""

import functools
import os
from typing import Annotated, Any, Literal, NamedTuple, Self, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from fingerpost.config import values
from fingerpost.defaults import DEFAULT_DOMAIN, DEFAULT_LISTEN, default_key_file
from fingerpost.routing.policy import Policy

ENV_PREFIX = "FINGERPOST_"
_DAY_S = 86400.0


def _distinct(items: tuple[str, ...]) -> tuple[str, ...]:
    for item in items:
        if items.count(item) > 1 and not item.endswith(":0"):
            raise ValueError(f"each entry once; {item} is there twice")
    return items


def _no_boolean(value: object) -> object:
    """TOML's ``true`` is not 1; as text it is refused like any other word."""
    return str(value).lower() if isinstance(value, bool) else value


def _cores() -> int:
    """How many this process may run on."""
    return len(os.sched_getaffinity(0))


Count = Annotated[int, BeforeValidator(_no_boolean)]
Seconds = Annotated[float, BeforeValidator(_no_boolean)]
Path = Annotated[str, AfterValidator(values.path)]
Distinct = AfterValidator(_distinct)
Addresses = Annotated[tuple[Annotated[str, AfterValidator(values.listen_address)], ...], Distinct]
Domains = Annotated[tuple[Annotated[str, AfterValidator(values.domain_name)], ...], Distinct]
Networks = Annotated[tuple[Annotated[str, AfterValidator(values.network)], ...], Distinct]
Destinations = Annotated[tuple[Annotated[str, AfterValidator(values.destination)], ...], Distinct]


def _setting(
    group: str,
    default: object,
    metavar: str,
    accepted: str,
    what: str,
    why: str,
    *,
    shown: str | None = None,
    **bounds: float,
) -> Any:  # noqa: ANN401 (as pydantic's Field)
    """A field with its documentation; ``shown`` replaces a default that differs from machine to machine."""
    extra: dict[str, Any] = {
        "group": group,
        "metavar": metavar,
        "accepted": accepted,
        "why": why,
        "shown": shown,
    }
    arguments: dict[str, Any] = {"default_factory" if callable(default) else "default": default, **bounds}
    return Field(**arguments, description=what, json_schema_extra=extra)


def _count(group: str, default: int, least: int, most: int, what: str, why: str) -> Any:  # noqa: ANN401
    return _setting(group, default, "N", f"a whole number from {least} to {most}", what, why, ge=least, le=most)


def _seconds(default: float, what: str, why: str, least: float = 0.01) -> Any:  # noqa: ANN401
    accepted = f"a number of seconds from {least:g} to {_DAY_S:g}"
    return _setting(
        "Time-outs", float(default), "SECONDS", accepted, what, why, ge=least, le=_DAY_S, allow_inf_nan=False
    )


class Settings(BaseModel):
    """Everything an operator can set. Values are in canonical form (`fingerpost.config.values`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: Addresses = _setting(
        "Addresses",
        (DEFAULT_LISTEN,),
        "ADDR:PORT",
        values.ADDRESS_FORM,
        "Accept plain HTTP here; port 0 takes a free port, localhost is 127.0.0.1.",
        "Change it to be reached from other machines, such as 0.0.0.0:80, or to add an address.",
        min_length=1,
        max_length=64,
    )
    domain: Domains = _setting(
        "Addresses",
        (DEFAULT_DOMAIN,),
        "DOMAIN",
        values.DOMAIN_FORM,
        "Serve the subdomains of this domain; a leading *. is tolerated.",
        "Set it to the domain whose wildcard DNS record points here.",
        min_length=1,
        max_length=64,
    )
    public_url: Annotated[str, AfterValidator(values.public_url)] | None = _setting(
        "Addresses",
        None,
        "URL",
        values.URL_FORM,
        "What clients see in front of the label's place, for the links that fingerpost prints.",
        "Set it when a load balancer changes scheme or port, so that printed links work as they are.",
    )

    key_file: Path = _setting(
        "Keys",
        default_key_file,
        "FILE",
        "a path",
        "The keys that open sealed labels, newest first.",
        "Set it to where your secrets are mounted; proxies and minting backends need the same keys.",
        shown=values.short_home(default_key_file()),
    )
    legacy_key_file: Path | None = _setting(
        "Keys",
        None,
        "FILE",
        "a path",
        "A file whose text is the Blowfish key (4 to 56 bytes) of legacy labels, which then open too.",
        "Set it while links of the older, unauthenticated kind are still about; unset it afterwards.",
    )

    allow: Destinations = _setting(
        "Destinations",
        Policy.DEFAULT_ALLOW,
        "CIDR[:PORTS]",
        values.DESTINATION_FORM,
        "Relay to this network, at these ports only; replaces the default list.",
        "Narrow it to the networks and ports where your apps are, so that nothing else can be reached.",
        min_length=1,
        max_length=1024,
    )
    upstream_ca: Path | None = _setting(
        "Destinations",
        None,
        "FILE",
        "a path",
        "A PEM file of the certificate authorities to trust for https targets, instead of the system's.",
        "Set it when your apps have certificates from a private authority.",
    )
    cdn_loop_id: Annotated[str, AfterValidator(values.token)] = _setting(
        "Destinations",
        "fingerpost",
        "TOKEN",
        values.TOKEN_FORM,
        "This proxy's name in CDN-Loop (RFC 8586); a request that already carries it is refused with 508.",
        "Give proxies different names when one of them relays to another on purpose.",
    )

    trusted_proxies: Networks = _setting(
        "Clients",
        (),
        "CIDR",
        values.CIDR_FORM,
        "Believe the Forwarded and X-Forwarded-* fields of clients in this network.",
        "List your load balancers, so that apps see the client's own address; no per-client limit holds for them.",
        max_length=1024,
    )

    workers: Count = _setting(
        "Process",
        _cores,
        "N",
        "a whole number from 1 to 256",
        "Worker processes, each of which uses one core at most; they share the limits below.",
        "Lower it to leave cores to other programs on the machine.",
        shown="the number of cores",
        ge=1,
        le=256,
    )
    access_log: Path | None = _setting(
        "Process",
        None,
        "FILE|-",
        "a path, or - for standard output",
        "Write one line for each exchange there; - is standard output.",
        "Set it to see who asked for what; it is off because writing costs time on every request.",
        shown="off",
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "Process",
        "info",
        "LEVEL",
        "debug, info, warning or error",
        "The least serious messages to write to standard error.",
        "Lower it to debug to see why requests are refused, also without an access log.",
    )
    pid_file: Path | None = _setting(
        "Process",
        None,
        "FILE",
        "a path",
        "Write the supervisor's process id there when ready; removed at exit.",
        "Set it when an init system or a script needs the process id to send SIGTERM to.",
    )

    control_socket: Path | None = _setting(
        "Process",
        None,
        "FILE",
        "a path",
        "A Unix socket for its owner alone, over which fingerpost status, reload, upgrade and stop reach the proxy.",
        "Set it where the commands run in another environment than the proxy; else they find it by themselves.",
        shown="below /run/fingerpost, $XDG_RUNTIME_DIR or /tmp",
    )

    user: Annotated[str, AfterValidator(values.user)] | None = _setting(
        "Process",
        None,
        "USER[:GROUP]",
        values.USER_FORM,
        "Become this user once the listeners are open; only root can.",
        "Set it where no service manager starts the proxy as a user of its own.",
    )

    max_head_bytes: Count = _count(
        "Limits",
        32768,
        1024,
        262144,
        "The longest head of a request or response; a longer request head gets 431.",
        "Raise it when apps set very large cookies; lower it to bound memory more tightly.",
    )
    max_fields: Count = _count(
        "Limits",
        128,
        8,
        4096,
        "The most header fields in a head; a request with more gets 431.",
        "Raise it for the rare client that sends more.",
    )
    max_connections: Count = _count(
        "Limits",
        16384,
        1,
        1000000,
        "The most client connections at once; lowered, with a warning, to fit the limit on open files: "
        "2 for each and 256 more.",
        "Raise it, with the limit on open files, when more clients or tunnels stay connected.",
    )
    max_connections_per_client: Count = _count(
        "Limits",
        8192,
        1,
        1000000,
        "The most connections at once from one client address.",
        "Lower it when single clients must not take everything; raise it behind an untrusted load balancer.",
    )
    max_connections_per_target: Count = _count(
        "Limits",
        8192,
        1,
        1000000,
        "The most connections at once to one target; requests beyond get 503.",
        "Lower it to protect small apps from more than they can serve.",
    )
    pool_max_idle: Count = _count(
        "Pool",
        2048,
        0,
        1000000,
        "The most idle connections to apps kept for the next request, together.",
        "Lower it to hold fewer open files; 0 opens a new connection for each request.",
    )
    pool_max_idle_per_target: Count = _count(
        "Pool",
        128,
        0,
        1000000,
        "The most idle connections kept to one target.",
        "Raise it for few, busy apps; lower it when apps run out of workers because connections stay open.",
    )

    head_timeout_s: Seconds = _seconds(
        15,
        "For a client to send a whole head; then 408.",
        "Raise it for clients on very slow links; lower it against clients that dawdle on purpose.",
    )
    connect_timeout_s: Seconds = _seconds(
        5,
        "For an app to accept a connection; then 504.",
        "Raise it when apps are far away; lower it to tell users sooner that an app is gone.",
    )
    response_timeout_s: Seconds = _seconds(
        120,
        "For the first byte of an app's response; then 504.",
        "Raise it for apps that compute for long before they answer.",
    )
    body_stall_timeout_s: Seconds = _seconds(
        60,
        "For a request body that stops coming, or a reader that stops reading.",
        "Raise it for clients that pause in the middle of transfers, such as phones that sleep.",
    )
    body_timeout_s: Seconds = _seconds(
        3600,
        "For a whole request body, so that a byte now and then does not hold an app's connection for good.",
        "Raise it where uploads may take longer, or clients stream for hours in one request.",
    )
    stream_idle_timeout_s: Seconds = _seconds(
        300,
        "For an app's silence in the middle of a response, such as an event stream.",
        "Raise it for event streams without heartbeats.",
    )
    keepalive_timeout_s: Seconds = _seconds(
        75,
        "For a client connection to stay open between requests.",
        "Keep it longer than the idle time-out of a load balancer in front, which else finds them closed.",
    )
    tunnel_idle_timeout_s: Seconds = _seconds(
        300,
        "For silence both ways in a tunnel: a WebSocket or a tcp target.",
        "Raise it for WebSockets without pings, such as terminals left open.",
    )
    pool_idle_timeout_s: Seconds = _seconds(
        4,
        "For an idle connection to an app to be kept; Node and uvicorn close theirs after 5 seconds.",
        "Raise it when all your apps keep idle connections for longer; always stay below what they do.",
    )
    resolve_ttl_s: Seconds = _seconds(
        5,
        "How long a target's resolved host name is remembered.",
        "Raise it to spare the resolver; lower it when names move quickly from address to address.",
        least=0,
    )
    drain_timeout_s: Seconds = _seconds(
        30,
        "For exchanges and tunnels to finish after SIGTERM; then they are cut.",
        "Raise it for long downloads, and your init system's patience with it.",
        least=0,
    )
    retire_timeout_s: Seconds = _seconds(
        300,
        "For what workers that a reload or an upgrade has replaced can't hand over to finish; then it is cut.",
        "Raise it for longer downloads; until then the old workers stay.",
        least=0,
    )

    @model_validator(mode="after")
    def _public_url_is_served(self) -> Self:
        if self.public_url is not None:
            host = self.public_url.partition("://")[2].partition(":")[0]
            if host not in self.domain:
                form = f"a URL of a served domain ({', '.join(self.domain)})"
                raise PydanticCustomError("public_url", "{form}", {"form": form, "value": self.public_url})
        return self


class Setting(NamedTuple):
    """One field of `Settings`, as flags, environment and documentation need it."""

    name: str
    group: str
    metavar: str
    accepted: str
    what: str
    why: str
    default: str
    is_list: bool

    @property
    def flag(self) -> str:
        """``--max-head-bytes``."""
        return "--" + self.name.replace("_", "-")

    @property
    def environment(self) -> str:
        """``FINGERPOST_MAX_HEAD_BYTES``."""
        return ENV_PREFIX + self.name.upper()


@functools.cache
def catalogue() -> dict[str, Setting]:
    """Every setting by name, in the order of the definition, in which groups stay together."""
    settings = {}
    for name, field in Settings.model_fields.items():
        extra = cast(dict[str, Any], field.json_schema_extra)
        default = field.get_default(call_default_factory=True)
        settings[name] = Setting(
            name=name,
            group=extra["group"],
            metavar=extra["metavar"],
            accepted=extra["accepted"],
            what=field.description or "",
            why=extra["why"],
            default=extra["shown"] or shown(default),
            is_list=isinstance(default, tuple),
        )
    return settings


def shown(value: object) -> str:
    """A setting's value as people read it: lists with commas, whole seconds without a fraction."""
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
