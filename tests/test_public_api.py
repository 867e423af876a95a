import subprocess
import sys
from importlib.metadata import version

import pytest

import fingerpost
from fingerpost import Keyring, Opened, Target, errors, open_label, seal, seal_url


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules, sep='\\n')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    return set(run.stdout.split())


def test_a_program_can_seal_and_open() -> None:
    keyring = Keyring.generate()
    label = seal("10.0.3.17:8888", keyring, domain="apps.example.com")
    assert seal_url("10.0.3.17:8888", keyring, domain="apps.example.com") == f"https://{label}.apps.example.com"
    opened = open_label(label, keyring, domain="apps.example.com")
    assert opened == Opened(Target("http", "10.0.3.17", 8888), None, 0)
    with pytest.raises(errors.LabelError):
        open_label(label, keyring, domain="apps.example.org")


def test_importing_the_package_imports_nothing_else() -> None:
    added = modules_after("import fingerpost") - modules_after("pass")
    assert added == {"fingerpost"}


def test_sealing_needs_no_network_module_and_no_framework() -> None:
    added = modules_after("from fingerpost import seal, open_label, Keyring") - modules_after("pass")
    assert "fingerpost.label.sealed" in added
    assert not added & {"ssl", "socket", "asyncio", "click", "pydantic", "rich"}


def test_every_public_name_is_there() -> None:
    assert set(fingerpost.__all__) <= set(dir(fingerpost))
    for name in fingerpost.__all__:
        assert getattr(fingerpost, name) is not None


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        fingerpost.nonsense  # noqa: B018


def test_the_version_is_that_of_the_distribution() -> None:
    assert fingerpost.__version__ == version("fingerpost")


def test_the_package_says_the_way_of_a_byte_by_files_that_exist() -> None:
    from pathlib import Path

    package = Path(fingerpost.__file__).parent
    way = (fingerpost.__doc__ or "").partition("The way of a byte")[2]
    files = [line.split()[0] for line in way.splitlines() if line.startswith("    ")]
    assert len(files) >= 9
    assert [file for file in files if not (package / f"{file}.py").is_file()] == []
