"""A connection's manners: write first, keep little, be deaf on request, close late."""

import socket
from collections.abc import Iterator

import pytest

from dataplane.running import run_until
from dataplane.tunnels import is_reset
from fingerpost.dataplane.connection import READ_SIZE, Connection, cut
from fingerpost.dataplane.loop import READ, WRITE, Loop


class Peer(Connection):
    """Reads when told to; writes when it can; keeps what happened."""

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        super().__init__(loop, sock, READ)
        self.received = b""
        self.events: list[int] = []
        self.timed_out = False

    def on_event(self, event: int) -> None:
        self.events.append(event)
        if event & WRITE:
            self.flush()
        if event & READ:
            data = self.receive()
            if data:
                self.received += data
            elif data is not None:
                self.close()
        elif not event & WRITE:
            self.park()

    def on_deadline(self) -> None:
        self.timed_out = True

    def on_bug(self) -> None:
        self.close()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def theirs() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        yield sock


@pytest.fixture
def peer(loop: Loop, theirs: socket.socket) -> Peer:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs.settimeout(10)
        theirs.connect(listening.getsockname())
        ours, _ = listening.accept()
    ours.setblocking(False)
    return Peer(loop, ours)


def fill(peer: Peer) -> bytes:
    """Send until something has to wait; return all that was given."""
    given = b""
    block = bytes(range(256)) * 256
    while peer.send(block):
        given += block
    return given + block


def finish(loop: Loop, peer: Peer) -> None:
    """Close and let the loop do so."""
    peer.close()
    run_until(loop, lambda: peer.sock.fileno() < 0)


def test_what_the_kernel_takes_is_sent_at_once_without_asking_for_events(
    loop: Loop, peer: Peer, theirs: socket.socket
) -> None:
    assert peer.send(b"at once")
    assert theirs.recv(100) == b"at once"
    assert peer.interest == READ
    assert peer.unsent == b""
    finish(loop, peer)


def test_what_does_not_fit_waits_and_goes_in_order(loop: Loop, peer: Peer, theirs: socket.socket) -> None:
    given = fill(peer)
    assert 0 < len(peer.unsent) <= READ_SIZE
    assert peer.interest == READ | WRITE
    assert not peer.send(b"behind it")
    given += b"behind it"
    received = bytearray()
    theirs.settimeout(0.05)

    def all_read() -> bool:
        try:
            while piece := theirs.recv(1 << 20):
                received.extend(piece)
        except TimeoutError:
            pass
        return len(received) == len(given)

    run_until(loop, all_read)
    assert received == given
    assert peer.unsent == b""
    assert peer.interest == READ
    peer.sock.close()


def test_reading_can_pause_and_resume(loop: Loop, peer: Peer, theirs: socket.socket) -> None:
    peer.pause_reading()
    theirs.sendall(b"later")
    ticks = iter(range(1000))

    def seen() -> bool:
        if next(ticks) == 3:
            assert peer.events == []
            peer.resume_reading()
        return peer.received == b"later"

    run_until(loop, seen)
    peer.sock.close()


def test_a_reset_while_parked_makes_no_spin_and_is_met_when_reading_resumes(
    loop: Loop, peer: Peer, theirs: socket.socket
) -> None:
    peer.pause_reading()
    theirs.sendall(b"before")
    cut(theirs)
    theirs.close()
    ticks = iter(range(1000))

    def seen() -> bool:
        if next(ticks) == 5:
            assert len(peer.events) == 1
            assert peer.parked
            peer.resume_reading()
        return peer.received == b"before" and peer.closed

    # Its next read raises, which is a bug of this reader and closes it.
    run_until(loop, seen)
    assert loop.bugs == 1


def test_nothing_to_read_after_all_is_none_and_the_end_is_empty(loop: Loop, peer: Peer, theirs: socket.socket) -> None:
    assert peer.receive() is None
    theirs.sendall(b"x")
    theirs.shutdown(socket.SHUT_WR)
    assert peer.sock.fileno() == peer.fd
    run_until(loop, lambda: peer.closed)
    assert peer.received == b"x"


def test_shut_write_ends_one_direction(loop: Loop, peer: Peer, theirs: socket.socket) -> None:
    peer.send(b"last")
    peer.shut_write()
    peer.shut_write()  # harmless
    assert theirs.recv(10) == b"last"
    assert theirs.recv(10) == b""
    theirs.sendall(b"reply")
    run_until(loop, lambda: peer.received == b"reply")
    peer.sock.close()


def test_a_deadline_passes_once_and_can_be_put_off(loop: Loop, peer: Peer) -> None:
    started = loop.now
    peer.arm(0.2)
    peer.arm(0.5)
    run_until(loop, lambda: peer.timed_out)
    assert loop.now - started >= 0.5
    peer.sock.close()


def test_closed_twice_is_closed_and_forgets_its_deadline(loop: Loop, peer: Peer, theirs: socket.socket) -> None:
    peer.arm(0.1)
    peer.close()
    peer.close()
    assert peer.closed
    run_until(loop, lambda: peer.sock.fileno() < 0)
    assert not peer.timed_out
    assert theirs.recv(1) == b""


def test_released_belongs_to_somebody_else(loop: Loop, peer: Peer, theirs: socket.socket) -> None:
    peer.arm(0.1)
    sock = peer.release()
    peer.close()
    peer.want(WRITE)
    sock.send(b"still open")
    assert theirs.recv(100) == b"still open"
    assert peer.wake == peer.deadline
    sock.close()


def test_a_cut_connection_ends_in_a_reset(loop: Loop, peer: Peer, theirs: socket.socket) -> None:
    peer.send(b"half of")
    cut(peer.sock)
    finish(loop, peer)
    assert is_reset(theirs)


def test_sending_to_who_is_gone_raises(loop: Loop, peer: Peer, theirs: socket.socket) -> None:
    cut(theirs)
    theirs.close()
    with pytest.raises(ConnectionResetError):
        peer.send(b"anybody?")
    finish(loop, peer)
