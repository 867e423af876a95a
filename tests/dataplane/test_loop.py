"""The loop: what a bug costs, what a closed descriptor hears, and handlers that come again."""

import errno
import logging
import os
import resource
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from dataplane.running import run_until
from dataplane.tunnels import App, read_exactly, read_head, read_response, request, tunnel, worker_pid
from fingerpost.dataplane.loop import READ, WRITE, Loop
from fingerpost.dataplane.timers import NEVER
from relay import Relay


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


class Reader:
    """Keeps what it reads from a socket; calls ``then`` with it."""

    def __init__(self, loop: Loop, sock: socket.socket, then: Callable[[bytes], object] | None = None) -> None:
        self.deadline = self.wake = NEVER
        self.loop = loop
        self.sock = sock
        self.then = then
        self.read: list[bytes] = []
        self.bugs = 0
        loop.watch(sock.fileno(), READ, self.on_event)

    def on_event(self, event: int) -> None:
        try:
            self.read.append(self.sock.recv(100))
        except BlockingIOError:
            self.read.append(b"nothing")
        if self.then is not None:
            self.then(self.read[-1])

    def on_deadline(self) -> None:
        raise RuntimeError("late bug")

    def on_bug(self) -> None:
        self.bugs += 1
        self.loop.close(self.sock)


def explode(_data: bytes) -> None:
    raise RuntimeError("a bug")


def test_a_handler_that_raises_costs_its_connection_alone_and_is_logged_and_counted(
    loop: Loop, pair: tuple[socket.socket, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    other, other_theirs = socket.socketpair()
    with other, other_theirs:
        broken = Reader(loop, pair[0], explode)
        sound = Reader(loop, other, lambda _: other_theirs.send(b"more") if len(sound.read) < 3 else None)
        pair[1].send(b"one")
        other_theirs.send(b"one")
        with caplog.at_level(logging.ERROR):
            run_until(loop, lambda: len(sound.read) == 3 and broken.bugs == 1)
        assert pair[1].recv(1) == b""  # closed
    assert loop.bugs == 1
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is not None
    assert str(caplog.records[0].exc_info[1]) == "a bug"


def test_a_deadline_that_raises_costs_its_owner_alone(
    loop: Loop, pair: tuple[socket.socket, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    broken = Reader(loop, pair[0])
    loop.timers.arm(broken, loop.now)
    run_until(loop, lambda: broken.bugs == 1)
    assert loop.bugs == 1
    assert "late bug" in caplog.text
    assert pair[1].recv(1) == b""


def test_a_bug_in_handling_a_bug_does_not_end_the_loop(
    loop: Loop, pair: tuple[socket.socket, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    class Hopeless(Reader):
        def on_bug(self) -> None:
            super().on_bug()
            raise RuntimeError("and another")

    hopeless = Hopeless(loop, pair[0], explode)
    pair[1].send(b"one")
    run_until(loop, lambda: hopeless.bugs == 1)
    assert "and another" in caplog.text


def test_a_handler_without_an_owner_may_raise_too(
    loop: Loop, pair: tuple[socket.socket, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    def handler(_event: int) -> None:
        loop.unwatch(pair[0].fileno())
        raise RuntimeError("a bug")

    loop.watch(pair[0].fileno(), READ, handler)
    pair[1].send(b"one")
    run_until(loop, lambda: loop.bugs == 1)


def test_a_number_is_not_given_away_before_the_batch_is_over(loop: Loop) -> None:
    """Both are readable in one batch; whoever comes first closes the other and opens a new socket."""
    pairs = [socket.socketpair() for _ in range(2)]
    numbers = {ours.fileno() for ours, _ in pairs}
    opened: list[int] = []
    heard: list[int] = []

    def watcher(mine: socket.socket, other: socket.socket) -> Callable[[int], None]:
        def handler(_event: int) -> None:
            heard.append(mine.fileno())
            loop.close(mine)
            loop.close(other)
            with socket.socket() as fresh:
                opened.append(fresh.fileno())

        return handler

    for index, (ours, theirs) in enumerate(pairs):
        loop.watch(ours.fileno(), READ, watcher(ours, pairs[1 - index][0]))
        theirs.send(b"now")
    run_until(loop, lambda: all(ours.fileno() < 0 for ours, _ in pairs))
    assert len(heard) == 1
    assert not numbers & set(opened)
    for _, theirs in pairs:
        theirs.close()


def test_unwatched_is_deaf_and_watched_again_is_not(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    reader = Reader(loop, pair[0], lambda _: loop.unwatch(pair[0].fileno()))
    pair[1].send(b"one")
    ticks = iter(range(1000))

    def seen() -> bool:
        tick = next(ticks)
        if tick == 2:
            assert reader.read == [b"one"]
            pair[1].send(b"two")
        if tick == 4:
            assert reader.read == [b"one"]
            loop.watch(pair[0].fileno(), READ, reader.on_event)
        return reader.read == [b"one", b"two"]

    run_until(loop, seen)


def test_again_calls_whoever_handles_the_descriptor_by_then(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    fd = pair[0].fileno()
    heard: list[str] = []

    def first(_event: int) -> None:
        pair[0].recv(100)
        heard.append("first")
        loop.again(fd)
        loop.handlers[fd] = second

    def second(event: int) -> None:
        assert event == READ
        heard.append("second")

    loop.watch(fd, READ, first)
    pair[1].send(b"one")
    run_until(loop, lambda: heard == ["first", "second"])


def test_again_is_forgotten_when_the_descriptor_is_closed(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    def close_at_once(_data: bytes) -> None:
        loop.again(reader.sock.fileno())
        loop.close(reader.sock)

    reader = Reader(loop, pair[0], close_at_once)
    pair[1].send(b"one")
    run_until(loop, lambda: reader.sock.fileno() < 0)
    assert reader.read == [b"one"]
    assert loop.bugs == 0


def test_a_bug_in_a_call_that_came_again_costs_its_owner(
    loop: Loop, pair: tuple[socket.socket, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    reader = Reader(loop, pair[0], lambda data: explode(data) if data == b"nothing" else loop.again(pair[0].fileno()))
    pair[1].send(b"one")
    run_until(loop, lambda: reader.bugs == 1)
    assert reader.read == [b"one", b"nothing"]


def test_the_clock_moves_with_the_batches(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    before = loop.now
    moments: list[float] = []

    def handler(_event: int) -> None:
        moments.append(loop.now)
        loop.stop()

    loop.watch(pair[0].fileno(), WRITE, handler)
    loop.run()
    assert moments[0] > before


def test_it_can_be_woken_from_another_thread_by_a_descriptor(loop: Loop) -> None:
    descriptor = os.eventfd(0, os.EFD_NONBLOCK)
    woken: list[int] = []

    def on_wake(_event: int) -> None:
        woken.append(os.eventfd_read(descriptor))

    loop.watch(descriptor, READ, on_wake)
    threading.Thread(target=os.eventfd_write, args=(descriptor, 7)).start()
    run_until(loop, lambda: woken == [7])
    os.close(descriptor)


def test_a_closed_descriptor_is_gone_from_the_loop(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    fd = pair[0].fileno()
    reader = Reader(loop, pair[0], lambda _: loop.close(pair[0]))
    pair[1].send(b"one")
    run_until(loop, lambda: bool(reader.read))
    assert fd not in loop.handlers
    with pytest.raises(OSError) as caught:
        os.fstat(fd)
    assert caught.value.errno == errno.EBADF


# --- a worker without descriptors ---------------------------------------------------------------------------------


def test_a_closed_descriptor_is_gone_though_another_process_still_has_the_socket(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    ticks: list[None] = []

    def close_and_hear_more(_: bytes) -> None:
        loop.close(ours)
        theirs.send(b"two")

    def some_time_later() -> bool:
        ticks.append(None)
        return len(ticks) >= 5

    with ours.dup():  # as in a worker that has just handed it over: to the kernel the socket is still open
        reader = Reader(loop, ours, then=close_and_hear_more)
        theirs.send(b"one")
        run_until(loop, some_time_later)
    assert loop.bugs == 0
    assert reader.read == [b"one"]


def test_out_of_descriptors_it_accepts_no_more_says_so_once_and_recovers(new_relay: Callable[..., Relay]) -> None:
    relay = new_relay()
    pid = worker_pid(relay)
    with App() as app, ExitStack() as stack:
        client, served = stack.enter_context(tunnel(relay, app))
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (next_descriptor(pid) + 4, hard))
        waiting = [stack.enter_context(relay.connection()) for _ in range(40)]
        for other in waiting:
            other.sendall(b"GET / HTTP/1.1\r\nHost: nowhere.localhost\r\n\r\n")
        relay.child.wait_for_line(r"accepting on 127\.0\.0\.1:\d+ pauses: Too many open files")
        spent = cpu_s(pid)
        for number in range(30):  # running tunnels go on
            client.sendall(b"message %03d" % number)
            assert read_exactly(served, 11) == b"message %03d" % number
            assert select.select([client], [], [], 0.05)[0] == []
        assert cpu_s(pid) - spent < 0.5  # in 1.5 s: it doesn't spin

        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        for other in waiting:
            assert read_response(other)[0] == 404
        relay.child.wait_for_line(r"accepting on 127\.0\.0\.1:\d+ again")
    assert relay.stderr.count("pauses") == 1
    assert relay.stderr.count(" again") == 1


def test_no_descriptor_for_the_app_is_503_and_passes(new_relay: Callable[..., Relay]) -> None:
    relay = new_relay()
    pid = worker_pid(relay)
    with App() as app, relay.connection() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: nowhere.localhost\r\n\r\n")
        assert read_response(client)[0] == 404
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (next_descriptor(pid), hard))
        client.sendall(request(relay, app.target))
        status, head, _ = read_response(client)
        assert status == 503
        assert b"retry-after:" in head.lower()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        client.sendall(request(relay, app.target))
        with app.accept() as served:
            read_head(served)
            served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            assert read_response(client)[0] == 200


def next_descriptor(pid: int) -> int:
    """The number that its next one gets; a limit of as many lets it have none."""
    taken = {int(number) for number in os.listdir(f"/proc/{pid}/fd")}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
