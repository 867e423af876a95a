"""The files that settings name: what is read from them, what is refused, what is worth a warning."""

import os
from pathlib import Path

import pytest
import trustme

from fingerpost import Keyring
from fingerpost.config import load
from fingerpost.config.files import Files, read_files
from fingerpost.errors import ConfigProblemsError


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a key file named ``keys``; no key file is at the default place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    (tmp_path / "keys").touch(0o600)
    (tmp_path / "keys").write_text(f"# spring\n{Keyring.generate().dump()}")
    return tmp_path


def read(**flags: str) -> Files:
    return read_files(load(flags, {}))


def problems(**flags: str) -> list[str]:
    with pytest.raises(ConfigProblemsError) as caught:
        read(**flags)
    return [str(error) for error in caught.value.errors]


def test_keys_are_read_and_handed_on_without_comments() -> None:
    secrets, warnings = read(key_file="keys")
    assert Keyring.parse(secrets.keys).newest_id == 0
    assert "spring" not in secrets.keys
    assert secrets.legacy_key is None
    assert warnings == []


def test_secrets_do_not_show() -> None:
    files = read(key_file="keys")
    assert files.secrets.keys.split()[1] not in repr(files)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (b"thisissecretkey", "thisissecretkey"),
        (b"thisissecretkey\n", "thisissecretkey"),
        (b"thisissecretkey\r\n", "thisissecretkey"),
        (b" with spaces ", " with spaces "),
        (b"\xff\x00\xfe\x01", "\xff\x00\xfe\x01"),
        (b"k" * 56 + b"\r\n", "k" * 56),
    ],
)
def test_a_legacy_key_is_all_of_its_file_but_the_line_end(directory: Path, content: bytes, key: str) -> None:
    (directory / "legacy").touch(0o600)
    (directory / "legacy").write_bytes(content)
    assert read(key_file="keys", legacy_key_file="legacy").secrets.legacy_key == key


@pytest.mark.parametrize("content", [b"", b"\n", b"abc", b"k" * 57, b"k" * 5000])
def test_a_legacy_key_of_another_length_is_a_problem(directory: Path, content: bytes) -> None:
    (directory / "legacy").write_bytes(content)
    (problem,) = problems(key_file="keys", legacy_key_file="legacy")
    assert problem == "legacy_key_file (--legacy-key-file): legacy: expected a file of one key of 4 to 56 bytes"


def test_a_legacy_key_alone_is_enough_unless_a_key_file_was_asked_for(directory: Path) -> None:
    (directory / "legacy").write_bytes(b"thisissecretkey")
    assert read(legacy_key_file="legacy").secrets == ("", "thisissecretkey")
    (problem,) = problems(legacy_key_file="legacy", key_file="nowhere")
    assert "key_file (--key-file): nowhere" in problem


def test_a_key_file_at_the_default_place_is_read_beside_a_legacy_key(directory: Path) -> None:
    (directory / "legacy").write_bytes(b"thisissecretkey")
    place = Path(load({}, {}).settings.key_file)
    assert place.is_relative_to(directory)
    place.parent.mkdir(parents=True)
    (directory / "keys").rename(place)
    assert read(legacy_key_file="legacy").secrets.keys


def test_no_key_at_all_says_how_to_make_one() -> None:
    (problem,) = problems()
    assert "fingerpost keygen" in problem


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_files_that_others_may_read_are_warnings(directory: Path, mode: int) -> None:
    (directory / "legacy").write_bytes(b"thisissecretkey")
    for name in ("keys", "legacy"):
        (directory / name).chmod(mode)
    warnings = read(key_file="keys", legacy_key_file="legacy").warnings
    assert [warning.split(":")[0] for warning in warnings] == ["legacy_key_file", "key_file"]
    assert all("chmod 600" in warning for warning in warnings)


def test_authorities_are_certificates(directory: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(directory / "ca.pem"))
    read(key_file="keys", upstream_ca="ca.pem")
    (directory / "damaged.pem").write_bytes((directory / "ca.pem").read_bytes()[:300])
    for name in ("keys", "nowhere", "damaged.pem", "."):
        (problem,) = problems(key_file="keys", upstream_ca=name)
        assert problem.startswith(f"upstream_ca (--upstream-ca): {name}: expected a PEM file of certificates (")


@pytest.mark.parametrize("name", ["access_log", "pid_file"])
def test_files_to_write_must_have_a_directory_and_not_be_one(directory: Path, name: str) -> None:
    flag = name.replace("_", "-")
    for path, reason in (("nowhere/file", "there is no directory nowhere"), (".", "it is a directory")):
        (problem,) = problems(key_file="keys", **{name: path})
        assert problem == f"{name} (--{flag}): {path}: expected a file that can be written ({reason})"
    read(key_file="keys", **{name: "fresh"})
    assert not (directory / "fresh").exists()
    (directory / "there").touch()
    read(key_file="keys", **{name: "there"})


def test_standard_output_is_an_access_log() -> None:
    assert read(key_file="keys", access_log="-").warnings == []


def test_all_problems_come_together() -> None:
    found = problems(key_file="nowhere", legacy_key_file="nowhere", upstream_ca="nowhere", access_log="nowhere/log")
    assert {problem.split(" ")[0] for problem in found} == {
        "key_file", "legacy_key_file", "upstream_ca", "access_log"
    }  # fmt: skip


def test_a_problem_names_the_variable_or_file_that_the_path_came_from(directory: Path) -> None:
    with pytest.raises(ConfigProblemsError) as caught:
        read_files(load({}, {"FINGERPOST_KEY_FILE": "nowhere"}))
    assert str(caught.value).startswith("key_file (FINGERPOST_KEY_FILE): nowhere: ")
    settings = directory / "fingerpost.toml"
    settings.write_text('key_file = "nowhere"\n')
    with pytest.raises(ConfigProblemsError) as caught:
        read_files(load({}, {}, str(settings)))
    assert str(caught.value).startswith(f"key_file ({settings}): nowhere: ")


def test_reading_leaves_no_descriptor_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    read(key_file="keys")
    assert len(os.listdir("/proc/self/fd")) == before
