"""A worker process: ``python -m fingerpost.dataplane FD``, where FD is its end of the supervisor's socketpair."""

import faulthandler
import gc
import logging
import signal
import sys

from fingerpost.dataplane.mailbox import Mailbox
from fingerpost.dataplane.worker import Worker


def main() -> int:
    """Receive orders, serve, return the exit status."""
    # Orders come from the supervisor; a terminal's Ctrl-C goes to the whole process group and must not cut it short.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    faulthandler.enable()  # the supervisor's SIGABRT for a worker that hangs makes it say where
    mailbox = Mailbox(int(sys.argv[1]))
    settings, listeners, clients = mailbox.receive_start()
    logging.basicConfig(
        level=settings.log_level.upper(),
        format=f"%(asctime)s fingerpost worker {settings.number} %(levelname)s: %(message)s",
        stream=sys.stderr,
    )
    worker = Worker(settings, listeners, mailbox, clients)
    # What exists by now lives as long as the process: the collector need not look at it ever again.
    gc.collect()
    gc.freeze()
    # Connections come and go without cycles, tunnels with one small one each: collecting every 700 objects, as is
    # the default, would look through thousands of live tunnels again and again while they are being opened.
    gc.set_threshold(10_000, 20, 50)
    worker.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
