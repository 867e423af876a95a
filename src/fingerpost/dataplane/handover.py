"""Connections from one worker to another that takes its place, so that a reload or an upgrade cuts none.

Between the two, for each connection::

    giver → taker   {"offer": 7, …}, bytes, descriptors      it is set aside here
    taker → giver   {"taken": 7}   or   {"refused": 7}       everything has arrived, and waits
    giver → taker   {"yours": 7}                             forgotten here; it goes on there

At every moment exactly one side moves its bytes. If either breaks off before "taken" is read, the giver goes on with
it, and the taker, who hasn't been told "yours", drops its copies of the descriptors.
"""

import logging
import socket
from collections import deque
from typing import TYPE_CHECKING, Any

from fingerpost.dataplane.courier import Courier
from fingerpost.dataplane.parcel import Parcel, Received

if TYPE_CHECKING:
    from fingerpost.dataplane.worker import Worker

log = logging.getLogger("fingerpost.handover")

_MAX_UNDERWAY = 32
"""How many are set aside at a time: so few that each is for a moment only, and the kernel has room for them."""


class Giver:
    """The worker that leaves.

    Args:
        worker: Whose connections they are.
        sock: The way to the taker.
    """

    def __init__(self, worker: "Worker", sock: socket.socket) -> None:
        self._worker = worker
        self._waiting: deque[Parcel] = deque()
        self._underway: dict[int, Parcel] = {}
        self._known: set[object] = set()
        self._refused: set[object] = set()
        self._count = 0
        self.is_open = True
        self._courier = Courier(worker.loop, sock, self._on_frame, self._on_end, self._send_next)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is underway."""
        return not self._underway and not self._waiting and self._courier.is_idle

    def offer(self, parcel: Parcel) -> bool:
        """Hand it over as soon as its turn comes; return whether that is going to be tried.

        Not at once: its handler may be at work, and must not find it gone. When this batch is over.
        """
        subject = parcel.subject
        if not self.is_open or subject in self._refused:
            return False
        if subject not in self._known:
            self._known.add(subject)
            self._waiting.append(parcel)
            self._courier.ask_for_turn()
        return True

    def close(self) -> None:
        """Hand over no more; what is underway stays here."""
        self._courier.close()

    def _send_next(self) -> None:
        while self.is_open and self._waiting and len(self._underway) < _MAX_UNDERWAY:
            parcel = self._waiting.popleft()
            if not parcel.is_fit():
                self._known.discard(parcel.subject)  # it may become so, and then comes again
                continue
            self._count += 1
            facts, payload, descriptors = parcel.pack()
            self._underway[self._count] = parcel
            self._courier.send(facts | {"offer": self._count}, payload, descriptors)

    def _on_frame(self, message: dict[str, Any], _payload: bytes, _descriptors: list[int]) -> None:
        if "taken" in message:
            parcel = self._underway.pop(message["taken"])
            parcel.gone()
            self._known.discard(parcel.subject)
            self._courier.send({"yours": message["taken"]})
        elif "refused" in message:
            parcel = self._underway.pop(message["refused"])
            self._refused.add(parcel.subject)
            parcel.put_back()

    def _on_end(self) -> None:
        self.is_open = False
        underway, self._underway = self._underway, {}
        for parcel in underway.values():
            parcel.put_back()
        waiting, self._waiting = self._waiting, deque()
        if underway or waiting:
            log.warning("%d connections could not be handed over", len(underway) + len(waiting))
        self._worker.on_heir_gone()


class Taker:
    """The worker that takes another one's place.

    Args:
        worker: Who gets the connections.
        sock: The way to the giver.
    """

    def __init__(self, worker: "Worker", sock: socket.socket) -> None:
        self._worker = worker
        self._arrived: dict[int, Received] = {}
        self.is_open = True
        self._courier = Courier(worker.loop, sock, self._on_frame, self._on_end)

    def _on_frame(self, message: dict[str, Any], payload: bytes, descriptors: list[int]) -> None:
        if "offer" in message:
            number = message["offer"]
            try:
                self._arrived[number] = Received(message, payload, descriptors)
            except ValueError as error:
                log.warning("%s", error)
                self._courier.send({"refused": number})
            else:
                self._courier.send({"taken": number})
        elif "yours" in message:
            received = self._arrived.pop(message["yours"])
            try:
                received.open(self._worker)
            except Exception:  # a bug, or the connection is over by now; it must not cost the others
                log.exception("a connection that was handed over is lost")
                received.drop()

    def _on_end(self) -> None:
        self.is_open = False
        for received in self._arrived.values():
            received.drop()
        self._arrived.clear()
