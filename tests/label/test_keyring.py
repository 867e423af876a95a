import os
import stat
import traceback
from pathlib import Path

import pytest

from fingerpost.errors import ConfigError
from fingerpost.label.keyring import (
    KEY_BYTES,
    MAX_KEYS,
    Keyring,
    add_key,
    create_key_file,
    is_readable_by_others,
    rotate_key_file,
)

SECRET_HEX = "ab" * 32 + "cd" * 32


def test_dump_and_parse_are_inverse() -> None:
    keyring = Keyring([(7, os.urandom(KEY_BYTES)), (31, os.urandom(KEY_BYTES)), (0, os.urandom(KEY_BYTES))])
    assert Keyring.parse(keyring.dump()).keys == keyring.keys
    assert keyring.newest_id == 7


def test_hex_and_base64url_of_a_key_are_the_same_key() -> None:
    in_hex = Keyring.parse(f"k3 {SECRET_HEX}")
    assert in_hex.keys == ((3, bytes.fromhex(SECRET_HEX)),)
    assert Keyring.parse(in_hex.dump()).keys == in_hex.keys
    assert Keyring.parse(in_hex.dump().rstrip() + "==  # padded").keys == in_hex.keys


def test_comments_blank_lines_and_crlf_are_skipped() -> None:
    keyring = Keyring.parse(f"# première\r\n\r\n  k3 {SECRET_HEX}  # here\r\n")
    assert [key_id for key_id, _ in keyring.keys] == [3]


def test_generated_keys_differ() -> None:
    assert Keyring.generate().keys != Keyring.generate().keys


def test_repr_shows_ids_and_no_key() -> None:
    keyring = Keyring.parse(f"k3 {SECRET_HEX}")
    assert repr(keyring) == str(keyring) == "Keyring(k3)"


def test_a_keyring_can_not_be_changed() -> None:
    keyring = Keyring.generate()
    with pytest.raises(AttributeError):
        keyring.keys = ()  # type: ignore[misc]
    with pytest.raises(TypeError):
        keyring.ciphers[1] = keyring.ciphers[0]  # type: ignore[index]


@pytest.mark.parametrize(
    "line",
    [
        f"k32 {SECRET_HEX}",
        f"k03 {SECRET_HEX}",
        f"k-1 {SECRET_HEX}",
        f"K3 {SECRET_HEX}",
        f"3 {SECRET_HEX}",
        SECRET_HEX,
        "k3",
        f"k3 {SECRET_HEX[:-2]}",
        f"k3 {SECRET_HEX}00",
        f"k3 {SECRET_HEX[:-1]}g",
        f"k3 {SECRET_HEX} extra",
        f"k3{SECRET_HEX}",
        f"k٣ {SECRET_HEX}",
    ],
)
def test_an_unusable_line_is_named_by_number_and_never_quoted(line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Keyring.parse(f"# a comment\n{line}\n", "keys.txt")
    assert caught.value.key == "key_file"
    assert "keys.txt, line 2" in str(caught.value)
    assert "base64url or hex" in str(caught.value)
    assert "abab" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("second", [f"k3 {'ef' * 64}", f"k4 {SECRET_HEX}"])
def test_an_id_or_a_key_twice_is_refused(second: str) -> None:
    with pytest.raises(ConfigError, match="line 2"):
        Keyring.parse(f"k3 {SECRET_HEX}\n{second}\n")


@pytest.mark.parametrize("text", ["", "\n", "# nothing but a comment\n"])
def test_a_file_without_a_key_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="at least one key"):
        Keyring.parse(text)


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [(32, os.urandom(64))],
        [(-1, os.urandom(64))],
        [(1, os.urandom(32))],
        [(1, b"a" * 64), (2, b"a" * 64)],
        [(1, b"a" * 64), (1, b"b" * 64)],
    ],
)
def test_a_keyring_of_unusable_keys_is_refused(keys: list[tuple[int, bytes]]) -> None:
    with pytest.raises(ConfigError):
        Keyring(keys)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fingerpost keygen"):
        Keyring.load(tmp_path / "keys")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"k0 " + b"a" * 100_000])
def test_a_file_that_is_no_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^key_file: "):
        Keyring.load(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="directory"):
        Keyring.load(tmp_path)


def test_adding_puts_a_new_key_first_and_leaves_the_rest_as_it_is() -> None:
    text = f"# ours\n\nk3 {SECRET_HEX} # spring"
    added, key_id = add_key(text)
    assert key_id == 4
    assert added.startswith("# ours\n\nk4 ")
    assert added.endswith(f"\nk3 {SECRET_HEX} # spring")
    assert Keyring.parse(added).keys[1:] == Keyring.parse(text).keys


def test_adding_counts_on_so_that_a_removed_id_comes_back_last() -> None:
    text = f"k31 {SECRET_HEX}\n"
    assert add_key(text)[1] == 0
    for _ in range(MAX_KEYS - 1):
        text, _ = add_key(text)
    assert len(Keyring.parse(text).keys) == MAX_KEYS
    with pytest.raises(ConfigError, match="fewer than 32"):
        add_key(text)


def test_a_created_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "keys"
    before = os.umask(0)
    try:
        key_id = create_key_file(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert Keyring.load(path).newest_id == key_id
    assert not is_readable_by_others(path)


def test_creating_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="--rotate"):
        create_key_file(path)
    assert path.read_text() == "precious"


def test_creating_does_not_follow_a_dangling_link(tmp_path: Path) -> None:
    link = tmp_path / "keys"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        create_key_file(link)
    assert not (tmp_path / "elsewhere").exists()


def test_creating_below_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"writable path|nothing is yet"):
        create_key_file(tmp_path / "file" / "keys")


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_rotating_keeps_mode_and_older_keys_and_leaves_nothing_else(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys"
    create_key_file(path)
    path.chmod(mode)
    old = Keyring.load(path)
    assert rotate_key_file(path) == 1
    new = Keyring.load(path)
    assert (new.newest_id, new.keys[1:]) == (1, old.keys)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert list(tmp_path.iterdir()) == [path]
    assert is_readable_by_others(path) == (mode == 0o640)


def test_rotating_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    path, link = tmp_path / "keys", tmp_path / "link"
    create_key_file(path)
    link.symlink_to("keys")
    rotate_key_file(link)
    assert link.is_symlink()
    assert Keyring.load(path).newest_id == 1


def test_rotating_waits_for_no_one_and_overwrites_no_other_rotation(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    create_key_file(path)
    before = path.read_bytes()
    (tmp_path / "keys.new").write_text("another rotation's")
    with pytest.raises(ConfigError, match=r"keys\.new"):
        rotate_key_file(path)
    assert path.read_bytes() == before
    assert (tmp_path / "keys.new").read_text() == "another rotation's"


def test_rotating_an_unusable_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("k0 nonsense\n")
    with pytest.raises(ConfigError, match="line 1"):
        rotate_key_file(path)
    assert path.read_text() == "k0 nonsense\n"
    assert list(tmp_path.iterdir()) == [path]


def test_rotating_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fingerpost keygen"):
        rotate_key_file(tmp_path / "keys")
