"""The client of the request works: keep-alive GETs with a browser's fields, one under way on each connection.

Two kinds of heads. *Varied*: path, Referer, Cookie and If-None-Match differ with every request, as they do
when a browser loads a page. *Identical*: each connection repeats its first head, which flatters a relay that
remembers what it has seen.
"""

import re
import time
from collections import Counter

from fingerpost.bench.load import driver
from fingerpost.bench.load.child import Site, answer_commands
from fingerpost.bench.load.origin import BODY_BYTES, small_body
from fingerpost.bench.load.outcome import FaultError, Outcome, fault_kind, time_units
from fingerpost.bench.load.tunnel import READ, Tunnel

_CONNECT_TIMEOUT_S = 10.0
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,9})\r\n", re.IGNORECASE)
NUMBERS = 4  # how often a head holds its request's number

_HEAD = (
    b"GET /static/lab/chunks/main.js?v=7f2c9e41&n=%(n)b HTTP/1.1\r\n"
    b"Host: %(host)b\r\n"
    b"Connection: keep-alive\r\n"
    b'sec-ch-ua: "Chromium";v="126", "Not-A.Brand";v="24", "Google Chrome";v="126"\r\n'
    b"sec-ch-ua-mobile: ?0\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    b"Chrome/126.0.0.0 Safari/537.36\r\n"
    b'sec-ch-ua-platform: "Linux"\r\n'
    b"Accept: */*\r\n"
    b"Sec-Fetch-Site: same-origin\r\n"
    b"Sec-Fetch-Mode: no-cors\r\n"
    b"Sec-Fetch-Dest: script\r\n"
    b"Referer: https://%(host)b/lab/tree/notebooks?reset&r=%(n)b\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Accept-Language: en-GB,en;q=0.9,de-DE;q=0.8,de;q=0.7\r\n"
    b'If-None-Match: W/"5f3b-%(n)b"\r\n'
    b"Cookie: _xsrf=2|7d1f0c2e|9b8c3d5f6a7e8091b2c3d4e5f6a7b8c9|1718000000; "
    b"session=%(n)b.eyJ1c2VyIjoiYWRhIiwicm9sZSI6ImVkaXRvciJ9; theme=dark\r\n"
    b"\r\n"
)


def request_head(host: bytes, number: bytes) -> bytes:
    """A browser's GET whose path, Referer, Cookie and If-None-Match hold ``number``: about 900 bytes."""
    return _HEAD % {b"host": host, b"n": number}


class Requests:
    """So many requests on one kept connection, each when the last is answered.

    Args:
        connection: Connected.
        count: How many.
        first_number: Of the first request.
        stride: By how much the next one's number is higher; with 0 all heads are identical.
    """

    __slots__ = (
        "_count",
        "_expected",
        "_host",
        "_number",
        "_received",
        "_sent_at",
        "_stride",
        "done",
        "durations_s",
        "interest",
        "tunnel",
    )

    def __init__(self, connection: Tunnel, count: int, first_number: int, stride: int) -> None:
        self.tunnel = connection
        self.interest = READ
        self.done = 0
        self.durations_s: list[float] = []
        self._host = connection.site.host.encode()
        self._count = count
        self._number = first_number
        self._stride = stride
        self._received = b""

    def begin(self) -> None:
        """Send the first.

        Raises:
            FaultError: The relay doesn't take it.
            OSError: The connection is gone.
        """
        number = b"%010d" % self._number
        self._number += self._stride
        self._expected = small_body(number, NUMBERS)
        head = request_head(self._host, number)
        self._sent_at = time.perf_counter()
        if self.tunnel.socket.send(head) != len(head):
            raise FaultError("send buffer full")

    def step(self, events: int) -> bool:
        """Read; with a whole response, check it and send the next request."""
        self._received = received = self._received + self.tunnel.read()
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return False
        if received[9:12] != b"200":
            raise FaultError(f"status {received[9:12].decode('latin-1')}")
        length = _CONTENT_LENGTH.search(received, 0, end + 2)
        if length is None or int(length[1]) != BODY_BYTES:
            raise FaultError("altered head")
        if len(received) < end + 4 + BODY_BYTES:
            return False
        if not received.endswith(self._expected) or len(received) != end + 4 + BODY_BYTES:
            raise FaultError("altered")
        self.durations_s.append(time.perf_counter() - self._sent_at)
        self.done += 1
        self._received = b""
        if self.done == self._count:
            return True
        self.begin()
        return False

    def faults(self) -> Counter[str]:
        """Requests that got no right answer; why is counted with the connection."""
        missing = self._count - self.done
        return Counter({"request not answered": missing}) if missing else Counter()


_open: list[Tunnel] = []


def connect(sites: list[tuple[str, int]], count: int, first: int, deadline_s: float) -> Outcome:
    """Open ``count`` connections, numbered from ``first``, in turn over the sites."""
    began = time.monotonic()
    faults: Counter[str] = Counter()
    for n in range(count):
        connection = Tunnel(first + n, Site(*sites[n % len(sites)]))
        try:
            if time.monotonic() > began + deadline_s:
                raise FaultError(driver.LATE)
            connection.socket.settimeout(_CONNECT_TIMEOUT_S)
            connection.socket.connect(("127.0.0.1", connection.site.port))
            connection.socket.setblocking(False)
            _open.append(connection)
        except (OSError, FaultError) as error:
            faults[fault_kind(error)] += 1
            connection.socket.close()
    return Outcome.since(began, len(_open), faults)


def get(requests: int, stride: int, late_s: float, silence_s: float, deadline_s: float) -> Outcome:
    """Make ``requests`` requests over each connection; see `Requests` for ``stride``."""
    faults: Counter[str] = Counter()
    tasks = []
    began = time.monotonic()
    for connection in _open:
        tasks.append(task := Requests(connection, requests, connection.number, stride))
        try:
            task.begin()
        except (OSError, FaultError) as error:
            faults[fault_kind(error)] += 1
    finished = driver.run(tasks, began + deadline_s, silence_s, faults, keep=True)
    found = Outcome.since(began, sum(task.done for task in tasks), faults)
    _open[:] = [task.tunnel for task in finished]
    return time_units(found, [duration for task in tasks for duration in task.durations_s], late_s)


if __name__ == "__main__":
    answer_commands({"connect": connect, "get": get})
