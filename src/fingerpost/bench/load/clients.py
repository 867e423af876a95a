"""Several client processes that work as one, because one may not have descriptors enough for all connections."""

from collections.abc import Sequence

from fingerpost.bench.load.child import LoadProcess, Site
from fingerpost.bench.load.outcome import Outcome, together


def shares(count: int, workers: int) -> list[int]:
    """``count`` in ``workers`` parts as equal as they can be."""
    each, more = divmod(count, workers)
    return [each + (number < more) for number in range(workers)]


class Clients:
    """The client processes of one measurement. What any of them finds wrong is kept in ``faults``.

    Args:
        members: The processes, all of one module.
        deadline_s: For each command.
    """

    def __init__(self, members: Sequence[LoadProcess], deadline_s: float) -> None:
        self._members = members
        self._deadline_s = deadline_s
        self.outcomes: list[Outcome] = []
        self._opened = 0

    def call(self, command: str, **arguments: object) -> Outcome:
        """Have all of them do the same at the same time.

        Raises:
            BenchError: One of them failed as a whole, ended, or did not answer.
        """
        return self._call(command, [dict(arguments)] * len(self._members))

    def share(
        self, command: str, count: int, sites: Sequence[Site], *, at_once: int = 0, **arguments: object
    ) -> Outcome:
        """Have each do its share of ``count``; what is opened is numbered through all of them.

        Args:
            command: What to do.
            count: How many in all.
            sites: The apps, which take turns.
            at_once: How many of them at a time, in all; 0 where the command has no such limit.
            arguments: Whatever else the command takes.

        Raises:
            BenchError: As in `call`.
        """
        parts: list[dict[str, object]] = []
        limits = shares(at_once, len(self._members))
        for part, limit in zip(shares(count, len(self._members)), limits, strict=True):
            turn = [sites[(self._opened + n) % len(sites)] for n in range(min(part, len(sites)))]
            own: dict[str, object] = {"sites": turn, "count": part, "first": self._opened, **arguments}
            parts.append(own | ({"at_once": max(1, limit)} if at_once else {}))
            self._opened += part
        return self._call(command, parts)

    def faults(self) -> dict[str, int]:
        """What has gone wrong in all that was called so far."""
        return dict(together(self.outcomes).faults) if self.outcomes else {}

    def _call(self, command: str, arguments: Sequence[dict[str, object]]) -> Outcome:
        for member, own in zip(self._members, arguments, strict=True):
            member.begin(command, {**own, "deadline_s": self._deadline_s})
        found = together([member.outcome(self._deadline_s) for member in self._members])
        self.outcomes.append(found)
        return found
