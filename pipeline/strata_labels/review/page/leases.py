"""Leases: which open rows are shown to whom, so that two people do not answer the same one."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: A row that was shown is kept for its curator so long after their last request.
LEASE_SECONDS = 600.0


@dataclass
class _Lease:
    key: str
    rows: tuple[str, ...]
    waiting: tuple[str, ...]
    until: float


class Leases:
    """The rows that each curator has on the screen; at most one set for each curator.

    Args:
        seconds: how long a lease lasts without a sign of its holder.
        clock: seconds that never run backwards.
    """

    def __init__(
        self, seconds: float = LEASE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds, self._clock = seconds, clock
        self._of: dict[str, _Lease] = {}

    def take(self, who: str, rows: Sequence[str], waiting: Sequence[str] = ()) -> str:
        """Gives rows to a curator in place of those they had; the same ones again are renewed.

        Args:
            who: the curator.
            rows: ids of rows that nobody else has, the one that is asked first.
            waiting: further ones that are kept for them, which they cannot answer yet.

        Returns:
            The key that an answer to these rows has to carry. It is good for one answer.
        """
        held = self._valid(who)
        if held is None or held.rows[:1] != tuple(rows[:1]):
            held = self._of[who] = _Lease(secrets.token_urlsafe(12), (), (), 0.0)
        held.rows, held.waiting = tuple(rows), tuple(waiting)
        held.until = self._clock() + self.seconds
        return held.key

    def key(self, who: str) -> str:
        """The key of what a curator has, "" if it has run out."""
        held = self._valid(who)
        return held.key if held else ""

    def rows(self, who: str) -> tuple[str, ...]:
        """What a curator has."""
        held = self._valid(who)
        return held.rows if held else ()

    def renew(self, who: str) -> None:
        """Notes a sign of a curator; a lease that has run out stays so."""
        if held := self._valid(who):
            held.until = self._clock() + self.seconds

    def release(self, who: str) -> None:
        """Takes back what a curator has."""
        self._of.pop(who, None)

    def of_others(self, who: str) -> set[str]:
        """Rows that others have."""
        others = [held for other in self._of if other != who and (held := self._valid(other))]
        return {row for held in others for row in (*held.rows, *held.waiting)}

    def _valid(self, who: str) -> _Lease | None:
        held = self._of.get(who)
        return held if held and self._clock() < held.until else None
