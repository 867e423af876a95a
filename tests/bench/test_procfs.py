"""What is read of the kernel's own counts."""

import subprocess
import sys

from child import until
from fingerpost.bench import procfs


def test_time_on_a_cpu_includes_ended_threads_and_reaped_children() -> None:
    code = (
        "import subprocess, sys, threading;"
        "burn = lambda: sum(range(12_000_000));"
        "thread = threading.Thread(target=burn); thread.start(); thread.join();"
        "subprocess.run([sys.executable, '-c', 'sum(range(12_000_000))']);"
        "print('done', flush=True); input()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "done\n"
        used_s = procfs.cpu_s([child.pid])
        alive_s = sum(int(text.split()[0]) for text in schedstats(child.pid)) / 1e9
        child.communicate("\n")
    assert used_s > alive_s + 0.05


def schedstats(pid: int) -> list[str]:
    return [(task / "schedstat").read_text() for task in (procfs._PROC / str(pid) / "task").iterdir()]


def test_descendants_are_children_and_theirs() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as parent:
        until(lambda: len(procfs.descendants(parent.pid)) == 1, "a child")
        parent.communicate(b"\n")


def test_the_kernels_shortness_of_memory_for_tcp_is_a_time() -> None:
    assert procfs.tcp_pressure_s() >= 0
