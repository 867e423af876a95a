"""The experiment without a relay: how long ``fingerpost seal`` takes, as a shell or a backend starts it."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fingerpost.bench.errors import BenchError
from fingerpost.bench.experiments.experiment import Experiment, Reading
from fingerpost.bench.needs import Shape
from fingerpost.bench.peers import Peer
from fingerpost.bench.run import Asked
from fingerpost.bench.stage import Conditions

_TIMEOUT_S = 30


def seal(times: int) -> Experiment:
    """The whole process with a key file, the best of ``times``: whatever else the machine does can only add to it."""

    def measure(peer: Peer, point: str, conditions: Conditions) -> Reading:
        del peer, point, conditions
        program = Path(sys.executable).with_name("fingerpost")
        command = [str(program)] if program.exists() else [sys.executable, "-m", "fingerpost"]
        with tempfile.TemporaryDirectory(prefix="fingerpost-bench-") as folder:
            key_file = str(Path(folder) / "keys")
            _run_once([*command, "keygen", "--key-file", key_file])
            sealing = [*command, "seal", "10.0.3.17:8888", "--domain", "apps.example.com", "--key-file", key_file]
            _run_once(sealing)  # so that the files are in memory and the bytecode is written
            taken = [_run_once(sealing) for _ in range(times)]
            bare = min(_run_once([sys.executable, "-c", ""]) for _ in range(times))
        return Reading({"seconds": min(taken), "slowest_s": max(taken), "python_alone_s": bare})

    asked = Asked("seal", "fingerpost seal, the whole process", "command", "seconds", "", ("",), {"times": times})
    return Experiment(asked, measure, lambda _: Shape(0, 0), suits=lambda peer: peer.name == "fingerpost")


def _run_once(command: list[str]) -> float:
    started = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
    seconds = time.perf_counter() - started
    if ended.returncode:
        said = ended.stderr.decode(errors="replace").strip().replace("\n", " | ")
        raise BenchError(f"exit status {ended.returncode}: {said[-300:]}")
    return seconds
