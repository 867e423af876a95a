"""A soak: mixed traffic for a long time, with memory and descriptors of every process sampled.

    make soak ARGS="--minutes 30"

Prints a line every ten seconds and a verdict; exits with 1 if something failed or grew.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from dataplane.origins import origin
from dataplane.procfs import open_files, resident_mib
from endurance.lineage import Lineage
from endurance.traffic import Failure, Traffic, echo_unrecorded
from relay import descendants
from upstreams import websocket_echo

WARM_UP = 0.25
"""This part of the time isn't judged: caches fill, interpreters specialise, the allocator settles."""

MAX_GROWTH_MIB = 2.0
MAX_MORE_DESCRIPTORS = 24
SAMPLE_S = 1.0


class Sample(NamedTuple):
    """All processes of the proxy together."""

    at_s: float
    memory_mib: float
    descriptors: int


class Report(NamedTuple):
    """What a soak has shown."""

    samples: list[Sample]
    failures: list[Failure]
    done: dict[str, int]

    def growth_mib(self) -> float:
        """Of memory, from the first third after the warm-up to the last."""
        early, late = self._thirds()
        return median(sample.memory_mib for sample in late) - median(sample.memory_mib for sample in early)

    def more_descriptors(self) -> int:
        """By how many the most of the last third exceed the most of the first."""
        early, late = self._thirds()
        return max(sample.descriptors for sample in late) - max(sample.descriptors for sample in early)

    def problems(self) -> list[str]:
        """What should not be; empty if all is well."""
        found = [f"{failure.kind}: {failure.error!r}" for failure in self.failures]
        if self.growth_mib() > MAX_GROWTH_MIB:
            found.append(f"memory grew by {self.growth_mib():.1f} MiB")
        if self.more_descriptors() > MAX_MORE_DESCRIPTORS:
            found.append(f"{self.more_descriptors()} more descriptors")
        return found + [f"no {kind} was done" for kind, count in self.done.items() if not count]

    def _thirds(self) -> tuple[list[Sample], list[Sample]]:
        judged = [sample for sample in self.samples if sample.at_s >= WARM_UP * self.samples[-1].at_s]
        third = max(1, len(judged) // 3)
        return judged[:third], judged[-third:]


def soak(seconds: float, directory: Path, tell: Callable[[str], object] = lambda _line: None) -> Report:
    """Run a proxy with two workers under mixed traffic for so long."""
    samples: list[Sample] = []
    with ExitStack() as opened:
        lineage = Lineage(directory, "--access-log", str(directory / "log"))
        opened.callback(lineage.stop)
        http = opened.enter_context(origin(echo_unrecorded))
        websocket = opened.enter_context(websocket_echo())
        traffic = opened.enter_context(Traffic(lineage.relay, http.target, websocket))
        processes = [lineage.child.process.pid, *descendants(lineage.child.process.pid)]
        begin = time.monotonic()
        while (at_s := time.monotonic() - begin) < seconds:
            memory_mib = sum(map(resident_mib, processes))
            samples.append(Sample(at_s, memory_mib, sum(map(open_files, processes))))
            if len(samples) % 10 == 1:
                done = ", ".join(f"{kind} {count}" for kind, count in traffic.done.items())
                tell(f"{at_s:6.0f} s  {memory_mib:6.1f} MiB  {samples[-1].descriptors:4} descriptors  {done}")
            time.sleep(SAMPLE_S)
    return Report(samples, traffic.failures, dict(traffic.done))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Mixed traffic for a long time.")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (30)")
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        report = soak(minutes * 60, Path(directory), lambda line: print(line, flush=True))
    problems = report.problems()
    for problem in problems:
        print(f"soak: {problem}", file=sys.stderr)
    print(
        f"{sum(report.done.values())} exchanges and messages, {len(report.failures)} failures, memory "
        f"{report.growth_mib():+.1f} MiB, descriptors {report.more_descriptors():+} after the warm-up"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
