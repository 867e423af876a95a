"""The direction of imports: errors <- pure <- store <- control; errors + pure <- dataplane; cli on top."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fingerpost

PACKAGE = Path(fingerpost.__file__).parent
PURE = {"http1", "label", "routing"}

# What each part of the package may import of the others. Parts at the top may import all and have no entry.
MAY_IMPORT = {
    "errors": set[str](),
    "defaults": set[str](),
    "http1": {"errors", "http1"},
    "routing": {"errors", "label", "routing"},
    "label": {"errors", "label", "routing"},
    "store": {"errors", *PURE, "store"},
    "config": {"errors", "defaults", *PURE, "config"},
    "control": {"errors", "defaults", *PURE, "config", "store", "control"},
    "dataplane": {"errors", *PURE, "dataplane"},
}
TOP = {"", "__main__", "cli", "demo", "bench"}

# What each part may import from outside of the standard library; no entry is anything.
THIRD_PARTY = {
    "errors": set[str](),
    "defaults": set[str](),
    **{part: {"cryptography"} for part in PURE},
    "dataplane": {"cryptography"},
}

# What each part must not import from the standard library: sockets, clocks and whatever waits.
IMPURE = {"socket", "select", "selectors", "ssl", "time", "asyncio", "threading", "subprocess", "multiprocessing"}
IMPURE |= {"concurrent", "signal", "socketserver", "http", "urllib", "logging", "random"}
FORBIDDEN_STDLIB = {
    **dict.fromkeys(("errors", "defaults", *PURE), IMPURE),
    "dataplane": {"asyncio", "multiprocessing", "urllib", "http"},
}
EXCEPTIONS = {
    ("label.expiry", "time"),  # a ttl counts from now
    ("label.sealed", "time"),  # the default of `now`, for programs; the worker gives its own
    ("routing.policy", "socket"),  # whether an address is this machine's, asked by binding a socket to it
}


def imported(module: str, source: str) -> Iterator[str]:
    """The full names of the modules that a module's source imports, wherever in it; ``a.b`` for ``from a import b``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide where they lead"
            if node.module == "fingerpost":
                yield from (f"fingerpost.{alias.name}" for alias in node.names)
            else:
                assert node.module is not None
                yield node.module


def violations(module: str, source: str) -> list[str]:
    """What a module (named without ``fingerpost.``) imports against the rules."""
    part = module.partition(".")[0]
    assert part in MAY_IMPORT or part in TOP, f"{part} is a new part of the package: give it its rules here"
    found = []
    for name in imported(module, source):
        first, _, rest = name.partition(".")
        if first == "fingerpost":
            other = rest.partition(".")[0]
            # The package itself ("") imports nothing; what it offers by name is for programs and the top.
            wrong = part in MAY_IMPORT and other not in {"", "__version__", *MAY_IMPORT[part]}
        elif first in sys.stdlib_module_names:
            wrong = first in FORBIDDEN_STDLIB.get(part, ()) and (module, first) not in EXCEPTIONS
        else:
            wrong = part in THIRD_PARTY and first not in THIRD_PARTY[part]
        if wrong:
            found.append(f"{module} imports {name}")
    return found


def modules() -> dict[str, Path]:
    names = {path: ".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py")}
    return {name.removesuffix("__init__").removesuffix("."): path for path, name in sorted(names.items())}


@pytest.mark.parametrize("module", modules())
def test_imports_go_one_way(module: str) -> None:
    assert violations(module, modules()[module].read_text()) == []


@pytest.mark.parametrize("module", ["label.sealed", "routing.policy", "http1.head", "dataplane.settings"])
def test_the_modules_are_found(module: str) -> None:
    assert module in modules()


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("errors", "from fingerpost.label import host"),
        ("http1.head", "import fingerpost.label.host"),
        ("http1.head", "from fingerpost.routing.model import Target"),
        ("http1.head", "def late():\n    import socket"),
        ("label.host", "import time"),
        ("label.host", "import click"),
        ("routing.model", "from fingerpost import dataplane"),
        ("routing.model", "from fingerpost import seal"),
        ("routing.resolve", "import select as s"),
        ("store.memory", "from fingerpost.control import supervisor"),
        ("config.settings", "from fingerpost.dataplane.settings import WorkerSettings"),
        ("control.supervisor", "from fingerpost.dataplane.settings import WorkerSettings"),
        ("control.supervisor", "if True:\n    from fingerpost.cli import main"),
        ("dataplane.worker", "from fingerpost.control.supervisor import Supervisor"),
        ("dataplane.worker", "from fingerpost.store import memory"),
        ("dataplane.worker", "from fingerpost import config"),
        ("dataplane.worker", "import asyncio.events"),
        ("dataplane.worker", "import pydantic"),
        ("dataplane.worker", "from rich.table import Table"),
    ],
)
def test_the_rules_see_what_goes_the_other_way(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cli.serve", "from fingerpost.control.supervisor import Supervisor\nimport pydantic"),
        ("dataplane.worker", "from fingerpost import __version__, errors\nimport select, ssl"),
        ("routing.policy", "import socket"),
        ("label.sealed", "from fingerpost.routing.model import Target\nimport cryptography.exceptions"),
    ],
)
def test_the_rules_let_pass_what_goes_the_right_way(module: str, source: str) -> None:
    assert violations(module, source) == []
