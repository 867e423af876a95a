"""Brings flags, environment, TOML file and defaults together into `Settings`, and remembers who said what."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from fingerpost.config.settings import ENV_PREFIX, Setting, Settings, catalogue
from fingerpost.config.values import without_credentials
from fingerpost.errors import ConfigError, ConfigProblemsError

CONFIG_VARIABLE = f"{ENV_PREFIX}CONFIG"

# Kubernetes tells every pod of a namespace about a service named fingerpost (or fingerpost-something), with
# variables like FINGERPOST_SERVICE_HOST and FINGERPOST_PORT_80_TCP. No setting's name ends like these.
_KUBERNETES = re.compile(
    r"FINGERPOST(_[A-Z0-9_]+)?_(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)

Kind = Literal["flag", "env", "file", "default"]


class Origin(NamedTuple):
    """Where a setting's value came from: ``place`` is the flag, the variable or the file."""

    kind: Kind
    place: str | None

    def __str__(self) -> str:
        """``flag --listen``, ``env FINGERPOST_LISTEN``, ``file proxy.toml`` or ``default``."""
        return f"{self.kind} {self.place}" if self.place else self.kind


class Configuration(NamedTuple):
    """Valid settings and, for each by name, where its value came from."""

    settings: Settings
    origins: dict[str, Origin]


_DEFAULT = Origin("default", None)


def load(flags: Mapping[str, object], environ: Mapping[str, str], file: str | None = None) -> Configuration:
    """Read every source and validate the result. Flags go before environment, file and defaults.

    Args:
        flags: By setting name; None and empty sequences count as not given.
        environ: Usually ``os.environ``; empty variables count as not given, lists are separated by commas.
        file: A TOML file with flat keys, else what ``FINGERPOST_CONFIG`` names, else none.

    Raises:
        ConfigProblemsError: With one `ConfigError` for every problem there is.
    """
    file = file or environ.get(CONFIG_VARIABLE) or None
    problems: list[ConfigError] = []
    given: dict[str, object] = {}
    origins: dict[str, Origin] = {}
    sources = (_from_file(file, problems), _from_environment(environ, problems), _from_flags(flags))
    for source in sources:
        for name, (value, origin) in source.items():
            given[name] = value
            origins[name] = origin
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_url=False)
        nested = {details["loc"][0] for details in found if len(details["loc"]) > 1}
        # pydantic counts only valid entries, so a list of one wrong entry would be called too short as well.
        found = [d for d in found if not (d["type"] == "too_short" and d["loc"][0] in nested)]
        problems += [_explain(details, origins) for details in found]
        raise ConfigProblemsError(problems) from None
    if problems:
        raise ConfigProblemsError(problems)
    return Configuration(settings, {name: origins.get(name, _DEFAULT) for name in catalogue()})


_Source = dict[str, tuple[object, Origin]]


def _from_flags(flags: Mapping[str, object]) -> _Source:
    return {
        name: (value, Origin("flag", catalogue()[name].flag))
        for name, value in flags.items()
        if value is not None and value != ()
    }


def _from_environment(environ: Mapping[str, str], problems: list[ConfigError]) -> _Source:
    by_variable = {setting.environment: setting for setting in catalogue().values()}
    source: _Source = {}
    for variable in sorted(environ):
        if not variable.startswith(ENV_PREFIX) or variable == CONFIG_VARIABLE or _KUBERNETES.fullmatch(variable):
            continue
        setting = by_variable.get(variable)
        if setting is None:
            problems.append(_unknown(variable, "environment variable", [*by_variable, CONFIG_VARIABLE], None))
        elif environ[variable]:
            value = _split(setting, environ[variable]) if setting.is_list else environ[variable]
            source[setting.name] = (value, Origin("env", variable))
    return source


def _split(setting: Setting, text: str) -> list[str]:
    """Entries between commas; ``allow`` has commas between ports too, which nothing but digits follow."""
    separator = r",(?![0-9-]+\s*(?:,|$))" if setting.name == "allow" else ","
    return [entry.strip() for entry in re.split(separator, text) if entry.strip()]


def _from_file(file: str | None, problems: list[ConfigError]) -> _Source:
    if file is None:
        return {}
    try:
        with open(file, "rb") as stream:
            table = tomllib.load(stream)
    except OSError as error:
        problems.append(ConfigError("config", file, f"a readable TOML file ({error.strerror})"))
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(ConfigError("config", file, f"a TOML file ({error})"))
        return {}
    known = catalogue()
    problems += [_unknown(key, "setting", known, file) for key in table if key not in known]
    return {key: (value, Origin("file", file)) for key, value in table.items() if key in known}


def _unknown(key: str, what: str, known: Iterable[str], origin: str | None) -> ConfigError:
    """The value stays unsaid: who writes ``key = …`` may well have put a secret there."""
    close = difflib.get_close_matches(key.replace("-", "_"), list(known), 1)
    accepted = f"a known one; did you mean {close[0]}?" if close else "a known one, see fingerpost serve --help"
    return ConfigError(without_credentials(key), f"unknown {what}", accepted, origin)


def _explain(details: Any, origins: Mapping[str, Origin]) -> ConfigError:  # noqa: ANN401 (pydantic's ErrorDetails)
    """One of pydantic's findings in the words of this program."""
    kind = details["type"]
    name = str(details["loc"][0]) if details["loc"] else kind
    setting = catalogue()[name]
    value = details["input"] if details["loc"] else details["ctx"]["value"]
    accepted = setting.accepted
    if kind == "value_error":
        accepted = str(details["ctx"]["error"])
    elif not details["loc"]:
        accepted = details["msg"]
    elif kind == "tuple_type":
        accepted = f"a list, each entry {accepted}"
    elif kind in ("too_short", "too_long"):
        accepted = "at least one entry" if kind == "too_short" else f"at most {details['ctx']['max_length']} entries"
    shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return ConfigError(name, without_credentials(shown), accepted, origins.get(name, _DEFAULT).place)
