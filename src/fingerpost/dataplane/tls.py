"""TLS on the loop: a socket that encrypts, with the manners of a plain non-blocking one.

Facts: OpenSSL reads whole records, so after a read it may hold decrypted bytes that epoll knows nothing of.
Consequence: a level-triggered loop would forget them until the peer speaks again. Decision: `recv` takes all
that OpenSSL has, up to the size asked for, and when there is more it asks the loop to come back by itself.
"""

import socket
import ssl
from collections.abc import Callable

from fingerpost.dataplane.loop import READ, WRITE

_WOULD_BLOCK = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class TlsSocket:
    """An `ssl.SSLSocket` whose "not now" is BlockingIOError and whose pending bytes are not forgotten."""

    __slots__ = ("_ending", "_more", "_tls")

    def __init__(self, tls: ssl.SSLSocket, more: Callable[[], None]) -> None:
        self._tls = tls
        self._more = more
        self._ending = False

    def fileno(self) -> int:
        """The descriptor."""
        return self._tls.fileno()

    def handshake(self) -> int:
        """Go on with the handshake; return the events to wait for, 0 when it is complete.

        Raises:
            OSError: It failed.
        """
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return READ
        except ssl.SSLWantWriteError:
            return WRITE
        return 0

    def recv(self, size: int) -> bytes:
        """Read; empty at the end. A connection cut without close_notify raises OSError: that is truncation."""
        pieces: list[bytes] = []
        while size > 0:
            try:
                piece = self._tls.recv(size)
            except _WOULD_BLOCK:
                if self._ending:
                    self._end()
                if not pieces:
                    raise BlockingIOError from None
                return b"".join(pieces)
            except ssl.SSLZeroReturnError:
                piece = b""  # close_notify, when ours has been sent before
            except OSError:
                if not pieces:
                    raise
                piece = b""
            if not piece:
                break  # an end of some kind; if bytes came before it, the next read meets it again
            pieces.append(piece)
            size -= len(piece)
        if pieces and (size or self._tls.pending()):
            self._more()  # OpenSSL has more, and epoll will not say so
        return b"".join(pieces)

    def is_silent(self) -> bool:
        """Whether nothing waits to be read: no byte, decrypted or not, and no end."""
        if self._tls.pending():
            return False
        try:
            socket.socket.recv(self._tls, 1, socket.MSG_PEEK)  # SSLSocket's own recv can't peek
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    @property
    def has_pending(self) -> bool:
        """Whether OpenSSL holds decrypted bytes that nobody has read."""
        return self._tls.pending() > 0

    def recv_into(self, buffer: memoryview) -> int:
        """Read into ``buffer``; 0 at the end."""
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def send(self, data: bytes | memoryview) -> int:
        """Send all of it or nothing, as OpenSSL does; what wasn't taken must be offered again."""
        try:
            return self._tls.send(data)
        except _WOULD_BLOCK:
            raise BlockingIOError from None

    def shutdown(self, _how: int) -> None:
        """Say close_notify, without waiting for the peer's; `recv` goes on."""
        self._ending = True
        self._end()

    def _end(self) -> None:
        """Facts: `unwrap` also reads, and fails for good if it meets data. So: not before all that came was read."""
        if not self.is_silent():
            return
        self._ending = False
        try:
            self._tls.unwrap()
        except (OSError, ValueError):
            pass  # its answer hasn't come, or it is gone; either way it has been said

    def close(self) -> None:
        """Close the descriptor."""
        self._tls.close()


def client_context(ca_file: str | None) -> ssl.SSLContext:
    """TLS towards apps: certificates are verified against the system's roots, or against ``ca_file`` alone.

    Raises:
        OSError: The file can't be used.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Some builds of Python set this by default; it would make a truncated body look complete.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    context.set_alpn_protocols(["http/1.1"])
    return context


def wrap_client(context: ssl.SSLContext, sock: socket.socket, host: str, more: Callable[[], None]) -> TlsSocket:
    """Begin TLS as a client on a connected socket; ``host`` is what the certificate must be for."""
    tls = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False, suppress_ragged_eofs=False)
    return TlsSocket(tls, more)
