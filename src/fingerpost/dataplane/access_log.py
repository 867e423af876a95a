"""The access log: one JSON line a request or tunnel, collected and handed to a thread that writes it.

The relay never waits for the disk: lines are gathered and given to the writer a few times a second. If the writer
can't keep up or can't write (a full disk, a reader that stopped), lines are dropped and counted; the relay goes on.
"""

import json
import logging
import os
import queue
import select
import stat
import threading
import time
from functools import lru_cache
from typing import NamedTuple

log = logging.getLogger("fingerpost.access_log")

_FLUSH_LINES = 512
_MAX_BATCHES = 64
_RETRY_S = 5.0
_PLAIN = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\')


class Subject(NamedTuple):
    """The part of a line that is known when a request begins; bytes as they came from the network.

    Attributes:
        started_at: Unix seconds.
        client: ``address:port``.
        host: The Host field, or empty.
        label_kind: ``sealed``, ``legacy`` or ``named``, or empty where no route was found.
        target: The target's text, or empty.
        method: Or empty where none could be read.
        path: The target in origin form, without its query: queries carry tokens.
    """

    started_at: float
    client: str
    host: bytes
    label_kind: str
    target: str
    method: bytes
    path: bytes


class AccessLog:
    """Lines on their way to a file, or to standard output for ``-``."""

    def __init__(self, path: str) -> None:
        self.dropped = 0
        self._dropping = False
        self._path = path
        self._lines: list[str] = []
        self._batches: queue.Queue[str | None] = queue.Queue(_MAX_BATCHES)
        self._second = -1
        self._second_text = ""
        self._fd = self._open()
        self._is_file = stat.S_ISREG(os.fstat(self._fd).st_mode)
        self._thread = threading.Thread(target=self._write_batches, name="access-log", daemon=True)
        self._thread.start()

    def write(
        self,
        subject: Subject,
        *,
        status: int,
        bytes_in: int,
        bytes_out: int,
        first_byte_s: float | None,
        duration_s: float,
        reused: bool,
        reason: str,
    ) -> None:
        """Add one line. ``bytes_in`` came from the client, ``bytes_out`` went to it; ``status`` 0 means none."""
        started_at, client, host, kind, target, method, path = subject
        first = "null" if first_byte_s is None else f"{first_byte_s:.4f}"
        self._lines.append(
            f'{{"time":"{self._time(started_at)}","client":"{client}","host":{_quote(host)},'
            f'"label_kind":{_name(kind)},"target":{_name(target)},"method":{_quote(method)},"path":{_quote(path)},'
            f'"status":{status or "null"},"bytes_in":{bytes_in},"bytes_out":{bytes_out},"first_byte_s":{first},'
            f'"duration_s":{duration_s:.4f},"reused":{"true" if reused else "false"},"close_reason":{_text(reason)}}}\n'
        )
        if len(self._lines) >= _FLUSH_LINES:
            self.flush()

    def flush(self) -> None:
        """Hand what was gathered to the writer; drop it if the writer is too far behind."""
        if not self._lines:
            return
        try:
            self._batches.put_nowait("".join(self._lines))
        except queue.Full:
            self._drop(len(self._lines), "its reader can't keep up")
        self._lines.clear()

    def close(self) -> None:
        """Write what is left, within a second."""
        self.flush()
        try:
            self._batches.put(None, timeout=1)
        except queue.Full:
            return
        self._thread.join(timeout=1)

    def _time(self, unix_s: float) -> str:
        second = int(unix_s)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._second_text}.{int((unix_s - second) * 1000):03}Z"

    def _whole_lines(self, data: bytes) -> bytes:
        """What to write in one piece, so that the lines of several workers don't end up inside each other.

        Files are appended to in one piece, however long; a pipe takes up to PIPE_BUF bytes in one piece.
        """
        if self._is_file or len(data) <= select.PIPE_BUF:
            return data
        end = data.rfind(b"\n", 0, select.PIPE_BUF) + 1
        return data[: end or data.find(b"\n") + 1]

    def _drop(self, count: int, reason: str) -> None:
        """Say so once, not at every line or every try."""
        if not self._dropping:
            self._dropping = True
            log.error("access log %s: %s; lines are dropped until it can be written again", self._path, reason)
        self.dropped += count

    def _open(self) -> int:
        if self._path == "-":
            return 1
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _write_batches(self) -> None:
        """The thread. After an error it drops what comes for a while, so that a full disk costs nothing."""
        silent_until = 0.0
        torn = b""
        while (batch := self._batches.get()) is not None:
            if time.monotonic() < silent_until:
                self.dropped += batch.count("\n")
                continue
            data = torn + batch.encode("ascii")
            torn = b""
            try:
                while data:
                    data = data[os.write(self._fd, self._whole_lines(data)) :]
            except OSError as error:
                torn = b"\n"  # a line may have been cut: the next one begins on its own
                silent_until = time.monotonic() + _RETRY_S
                self._drop(data.count(b"\n"), error.strerror or "it can't be written")
            else:
                if self._dropping and self._batches.empty():
                    self._dropping = False
                    log.warning("access log %s is written again; %d lines were dropped", self._path, self.dropped)


def _quote(data: bytes) -> str:
    """A JSON string; what is not ASCII shows as Latin-1."""
    if not data.translate(None, _PLAIN):
        return f'"{data.decode("ascii")}"' if data else "null"
    return json.dumps(data.decode("latin-1"))


@lru_cache(256)
def _text(text: str) -> str:
    return json.dumps(text)


def _name(text: str) -> str:
    return f'"{text}"' if text else "null"
