import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from child import until
from fingerpost import Keyring, seal
from fingerpost.control.keywatch import KeyWatch
from relay import FINGERPOST, Relay
from upstreams import http_echo


def key_file(directory: Path) -> Path:
    path = directory / "keys"
    path.touch(0o600)
    path.write_text(Keyring.generate().dump())
    return path


def test_an_unchanged_file_says_nothing(tmp_path: Path) -> None:
    assert KeyWatch(str(key_file(tmp_path))).changed() is None


def test_a_changed_file_is_told_once(tmp_path: Path) -> None:
    path = key_file(tmp_path)
    watch = KeyWatch(str(path))
    subprocess.run([*FINGERPOST, "keygen", "--rotate", "--key-file", str(path)], check=True, capture_output=True)
    text = watch.changed()
    assert text is not None
    assert len(Keyring.parse(text).keys) == 2
    assert watch.changed() is None


@pytest.mark.parametrize("how", ["broken", "gone"])
def test_a_file_that_cannot_be_used_changes_nothing_and_is_reported_once(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = key_file(tmp_path)
    watch = KeyWatch(str(path))
    if how == "gone":
        path.unlink()
    else:
        path.write_text("k1 nonsense")
    assert watch.changed() is None
    assert watch.changed() is None
    assert len([record for record in caplog.records if "stay as they were" in record.message]) == 1
    assert "nonsense" not in caplog.text


@pytest.fixture(scope="module")
def app() -> Iterator[str]:
    with http_echo() as target:
        yield target


def test_keys_rotate_while_the_proxy_runs(relay: Relay, app: str) -> None:
    """Add, wait, remove: labels of the old key open all along, those of the new one within a second or so."""
    path = relay.directory / "keys"
    old_label = relay.label(app)
    subprocess.run([*FINGERPOST, "keygen", "--rotate", "--key-file", str(path)], check=True, capture_output=True)
    new_keyring = Keyring.load(path)
    new_label = seal(app, new_keyring, domain="localhost")
    assert new_label != old_label
    client = relay.http()

    def status(label: str) -> int:
        return client.get(f"http://{label}.localhost:{relay.port}/seen").status_code

    assert status(old_label) == 200
    until(lambda: status(new_label) == 200, "the new key to open labels", 10.0)
    assert status(old_label) == 200

    newest_only = Keyring(new_keyring.keys[:1])
    fresh = path.with_suffix(".next")
    fresh.touch(0o600)
    fresh.write_text(newest_only.dump())
    os.replace(fresh, path)
    until(lambda: status(old_label) == 404, "the old key to open nothing", 10.0)
    assert status(new_label) == 200
