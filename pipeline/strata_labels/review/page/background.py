"""Runs work in a thread, so that the reviewer does not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """One function, run in a thread, never twice at a time."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._once_more = False

    def start(self) -> None:
        """Runs the work: at once, or again from the beginning if it is running."""
        with self._lock:
            if self._thread is not None:
                self._once_more = True
                return
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Returns when nothing runs."""
        while (thread := self._thread) is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._work()
            finally:
                with self._lock:
                    again, self._once_more = self._once_more, False
                    if not again:
                        self._thread = None
            if not again:
                return
