"""The client of the request works: keep-alive GETs with a browser's fields, one under way on each connection.

Two kinds of heads. *Varied*: path, Referer, Cookie and If-None-Match differ with every request, as they do
when a browser loads a page. *Identical*: each connection repeats its first head, which flatters a relay that
remembers what it has seen.
"""

import contextlib
import select
import socket
import time
from collections import Counter

from fingerpost.bench.load.child import Site, answer_commands
from fingerpost.bench.load.origin import BODY_BYTES, small_body
from fingerpost.bench.load.outcome import FaultError, Outcome, fault_kind, time_units

_READ_BYTES = 65536
_CONNECT_TIMEOUT_S = 10.0
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


class _Client:
    """One keep-alive connection and the requests that are still to go down it."""

    __slots__ = ("expected", "fd", "host", "left", "number", "received", "sent_at", "socket", "step_by")

    def __init__(self, site: Site, first_number: int) -> None:
        self.host = site.host.encode()
        self.number = first_number
        self.step_by = self.left = 0
        self.received = self.expected = b""
        self.socket = socket.create_connection(("127.0.0.1", site.port), _CONNECT_TIMEOUT_S)
        self.fd = self.socket.fileno()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send_next(self) -> None:
        number = b"%010d" % self.number
        self.number += self.step_by
        self.expected = small_body(number, NUMBERS)
        head = request_head(self.host, number)
        self.sent_at = time.perf_counter()
        if self.socket.send(head) != len(head):
            raise FaultError("send buffer full")

    def step(self, durations_s: list[float]) -> bool:
        """Read; with a whole response, check it and send the next request. Whether this was the last one."""
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise FaultError("closed early")
        self.received = received = self.received + data
        end = received.find(b"\r\n\r\n")
        if end < 0 or len(received) < end + 4 + BODY_BYTES:
            return False
        if received[9:12] != b"200":
            raise FaultError(f"status {received[9:12].decode('latin-1')}")
        if not received.endswith(self.expected) or len(received) != end + 4 + BODY_BYTES:
            raise FaultError("altered")
        durations_s.append(time.perf_counter() - self.sent_at)
        self.received = b""
        self.left -= 1
        if self.left:
            self.send_next()
        return not self.left


_open: list[_Client] = []


def connect(sites: list[tuple[str, int]], count: int, first: int, deadline_s: float) -> Outcome:
    """Open ``count`` connections, numbered from ``first``, in turn over the sites."""
    began = time.monotonic()
    faults: Counter[str] = Counter()
    for n in range(count):
        try:
            if time.monotonic() > began + deadline_s:
                raise FaultError("not done by the deadline")
            _open.append(_Client(Site(*sites[n % len(sites)]), first + n))
        except (OSError, FaultError) as error:
            faults[fault_kind(error)] += 1
    return Outcome.since(began, len(_open), faults)


def get(requests: int, stride: int, late_s: float, deadline_s: float) -> Outcome:
    """Make ``requests`` requests over each connection.

    Args:
        requests: How many on each.
        stride: By how much the next one's number is higher; with 0 all heads are identical.
        late_s: Later answers are counted.
        deadline_s: For all.
    """
    faults: Counter[str] = Counter()
    done = 0
    durations_s: list[float] = []
    with contextlib.closing(select.epoll()) as epoll:
        began = time.monotonic()
        waiting = {client.fd: client for client in _open}
        for client in _open:
            client.left = requests
            client.step_by = stride
            epoll.register(client.fd, select.EPOLLIN)
            client.send_next()
        while waiting and (left_s := began + deadline_s - time.monotonic()) > 0:
            for fd, _ in epoll.poll(left_s, 1024):
                client = waiting[fd]
                try:
                    if client.step(durations_s):
                        epoll.unregister(fd)
                        del waiting[fd]
                        done += requests
                except BlockingIOError:
                    pass
                except (OSError, FaultError) as error:
                    faults[fault_kind(error)] += 1
                    _open.remove(client)
                    waiting.pop(fd).socket.close()
        for client in waiting.values():
            faults["not done by the deadline"] += 1
            _open.remove(client)
            client.socket.close()
        found = Outcome.since(began, done, faults)
    return time_units(found, durations_s, late_s)


if __name__ == "__main__":
    answer_commands({"connect": connect, "get": get})
