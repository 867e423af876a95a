"""Become another program: on given CPUs, with all the descriptors allowed, and ended with the parent.

Run as ``python -m fingerpost.bench.leash PARENT_PID CPUS COMMAND…``, where CPUS is ``0,1`` or ``any``. It is
a program and not code between fork and exec, because the parent has threads (its progress display).
"""

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Put the leash on and exec; the process id stays, so the parent knows whom it started."""
    parent, cpus, *command = arguments
    # SIGTERM, not SIGKILL: nginx's master has a worker to end before it goes itself.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit("the benchmark has ended already")
    if cpus != "any":
        os.sched_setaffinity(0, {int(cpu) for cpu in cpus.split(",")})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.execvp(command[0], command)  # noqa: S606 - a list of arguments, and no shell wanted


if __name__ == "__main__":
    main(sys.argv[1:])
