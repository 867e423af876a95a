"""The pid file: written whole, held while its writer lives, never in the way afterwards."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fingerpost.control.pidfile import PidFile
from fingerpost.errors import ConfigError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fingerpost.pid"


def test_it_holds_the_process_id_until_it_is_removed(path: Path) -> None:
    pid_file = PidFile(str(path))
    pid_file.write()
    assert path.read_text() == f"{os.getpid()}\n"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    pid_file.remove()
    assert list(path.parent.iterdir()) == []


def test_a_running_instance_is_named_in_the_refusal(path: Path) -> None:
    code = (
        f"from fingerpost.control.pidfile import PidFile\nPidFile({str(path)!r}).write(); print(1, flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"1\n"
        with pytest.raises(ConfigError, match=f"process {other.pid} holds it"):
            PidFile(str(path)).refuse_if_held()
        other.kill()
    PidFile(str(path)).refuse_if_held()  # it was killed and left its file: stale


def test_a_stale_file_is_replaced_even_if_its_number_belongs_to_a_living_process(path: Path) -> None:
    path.write_text(f"{os.getppid()}\n")
    pid_file = PidFile(str(path))
    pid_file.refuse_if_held()
    pid_file.write()
    assert path.read_text() == f"{os.getpid()}\n"
    pid_file.remove()


def test_a_file_that_another_instance_has_put_there_since_is_not_removed(path: Path) -> None:
    pid_file = PidFile(str(path))
    pid_file.write()
    path.unlink()
    path.write_text("1\n")
    pid_file.remove()
    assert path.read_text() == "1\n"


def test_a_missing_directory_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pid_file: .*No such file or directory"):
        PidFile(str(tmp_path / "missing" / "pid")).write()
