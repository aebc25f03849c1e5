"""Progress of long work: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

_SECONDS_BETWEEN_LINES = 4.0  # a reader wonders after five

#: Called with what is done, how much of it is done, and the total (None if it is not known).
Listener = Callable[[str, int, int | None], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)

Unit = Literal["items", "bytes"]


@contextmanager
def listen(listener: Listener) -> Iterator[None]:
    """Also reports all progress made inside the block to a listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def quiet() -> Iterator[None]:
    """Shows no progress inside the block: a part of work whose progress is shown as a whole."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


@contextmanager
def track(total: int | None, what: str, unit: Unit = "items") -> Iterator[Tracker]:
    """Shows the progress of work on standard error.

    Args:
        total: number of items or bytes; None if it is not known yet. Nothing is shown for 0.
        what: what is done, e.g. `embedding texts`, or the name of a file.
        unit: what is counted.

    Yields:
        The tracker to report progress to.
    """
    if _quiet.get():
        yield _Silent(total, what, unit)
        return
    console = Console(stderr=True)
    if not console.is_terminal or total == 0:
        tracker = Tracker(total, what, unit)
        yield tracker
        tracker.print_line()
        return
    columns = (
        (MofNCompleteColumn(), _ItemRateColumn())
        if unit == "items"
        else (DownloadColumn(), TransferSpeedColumn())
    )
    start = (TextColumn("{task.description}", markup=False), BarColumn())
    with Progress(*start, *columns, TimeRemainingColumn(), console=console) as bar:
        yield Tracker(total, what, unit, bar)


class Tracker:
    """Counts what is done and shows it; made by `track`."""

    def __init__(
        self, total: int | None, what: str, unit: Unit, bar: Progress | None = None
    ) -> None:
        self._what, self._unit, self._bar = what, unit, bar
        self._task = bar.add_task(what, total=total) if bar else None
        self._last_line = time.monotonic()
        self.restart(0, total)

    def restart(self, done: int, total: int | None) -> None:
        """Sets what is done, e.g. where a download continues; the rate counts from here."""
        self._done = self._first = done
        self._total = total
        self._began = time.monotonic()
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=done, total=total)

    def advance(self, count: int) -> None:
        """Adds `count` items or bytes."""
        self._done += count
        if listener := _listener.get():
            listener(self._what, self._done, self._total)
        if self._bar and self._task is not None:
            self._bar.advance(self._task, count)
        elif time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self.print_line()

    def print_line(self) -> None:
        """Prints what is done, the rate and the time left; nothing before anything is done."""
        if not self._done or self._total == 0:
            return
        self._last_line = time.monotonic()
        rate = (self._done - self._first) / max(self._last_line - self._began, 1e-3)
        text = f"{self._what}: {self._amount(self._done)}"
        if self._total:
            text += f" of {self._amount(self._total)}"
        text += f" ({self._amount(round(rate))}/s"
        if self._total and self._total > self._done and rate:
            text += f", {(self._total - self._done) / rate:,.0f} s left"
        print(f"{text})", file=sys.stderr, flush=True)

    def _amount(self, count: int) -> str:
        return decimal(count) if self._unit == "bytes" else f"{count:,}"


class _Silent(Tracker):
    """Counts and shows nothing."""

    def print_line(self) -> None:
        pass


class _ItemRateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")
