"""Rate limits of requests: so many at once, so many a second."""

from __future__ import annotations

import time
from collections.abc import Callable


class Bucket:
    """Lets through `burst` events at once, and `rate` a second in the long run.

    Args:
        rate: events a second.
        burst: events at once.
        clock: seconds that never run backwards.
    """

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left, self._at = float(burst), clock()

    def allow(self) -> bool:
        """Whether one more event is let through, which is then counted."""
        if self.is_empty():
            return False
        self._left -= 1
        return True

    def is_empty(self) -> bool:
        """Whether the next event would not be let through."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        return self._left < 1
