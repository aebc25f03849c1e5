"""Progress of long work: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TypeVar

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from strata_labels import messages

# Between plain lines, in the first minute and after it: work of hours does not fill a log.
_SECONDS_BETWEEN_LINES, _SECONDS_BETWEEN_LATER_LINES = 3.0, 30.0
_SECONDS_OF_FREQUENT_LINES = 60.0
# An activity leaves a tracker so much longer to say something.
_SECONDS_MORE = 0.8
#: As many items as take seconds.
LONG_WORK = 10_000
# The display of the activity that goes on, and when the last plain line was printed.
_shown: list[Progress] = []
_last_line = [0.0]

#: Called with what is done, how much of it is done, and the total (None if it is not known).
Listener = Callable[[str, int, int | None], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)

_Part = TypeVar("_Part", bound=Sized)
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
def without_progress() -> Iterator[None]:
    """Shows no progress inside the block: a part of work whose progress is shown as a whole."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


@contextmanager
def activity(what: str) -> Iterator[None]:
    """Says on standard error that work goes on, and for how long, where no tracker says more.

    Args:
        what: what is done, e.g. `Proposing labels`.
    """
    if _quiet.get() or messages.is_quiet() or _shown:
        yield
        return
    began = time.monotonic()
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
        with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
            bar.add_task(what, total=None)
            _shown.append(bar)
            try:
                yield
            finally:
                _shown.remove(bar)
        return
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(_SECONDS_MORE / 2):
            silent = time.monotonic() - max(began, _last_line[0])
            if silent >= _between_lines(began) + _SECONDS_MORE:
                _print(f"{what}: {time.monotonic() - began:,.0f} s so far")

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


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
    if _quiet.get() or messages.is_quiet():
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
    for one in _shown:  # a terminal has room for one display
        one.stop()
    try:
        with Progress(*start, *columns, TimeRemainingColumn(), console=console) as bar:
            yield Tracker(total, what, unit, bar)
    finally:
        for one in _shown:
            one.start()


def _between_lines(began: float) -> float:
    """Seconds between plain lines about work that began then."""
    early = time.monotonic() - began < _SECONDS_OF_FREQUENT_LINES
    return _SECONDS_BETWEEN_LINES if early else _SECONDS_BETWEEN_LATER_LINES


def _print(text: str) -> None:
    _last_line[0] = time.monotonic()
    messages.warn(text)


def tracked(parts: Iterable[_Part], total: int, what: str) -> Iterator[_Part]:
    """Yields parts of long work and shows the progress; nothing where there is little to do.

    Args:
        parts: each with as many items as its length.
        total: number of items of all parts.
        what: what is done.
    """
    with track(total if total >= LONG_WORK else 0, what) as tracker:
        for part in parts:
            yield part
            tracker.advance(len(part))


class Tracker:
    """Counts what is done and shows it; made by `track`."""

    def __init__(
        self, total: int | None, what: str, unit: Unit, bar: Progress | None = None
    ) -> None:
        self._what, self._unit, self._bar = what, unit, bar
        self._task = bar.add_task(what, total=total) if bar else None
        self._opened = self._last_line = time.monotonic()
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
        elif time.monotonic() - self._last_line >= _between_lines(self._opened):
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
        _print(f"{text})")

    def _amount(self, count: int) -> str:
        return decimal(count) if self._unit == "bytes" else f"{count:,}"


class _Silent(Tracker):
    """Counts and shows nothing."""

    def print_line(self) -> None:
        pass


class _ItemRateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")
