"""How far long work is: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

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

_SECONDS_BETWEEN_LINES = 10.0


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


@contextmanager
def track(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Shows the progress of `total` pieces of work on standard error.

    Args:
        total: number of pieces; nothing is shown for 0.
        what: what is done, e.g. `embedding texts`.

    Yields:
        A function to call with the number of pieces just done.
    """
    console = Console(stderr=True)
    if total == 0:
        yield lambda done: None
    elif console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.update(task, advance=done)
    else:
        lines = _Lines(total, what)
        yield lines.advance
        lines.show()


class _Lines:
    def __init__(self, total: int, what: str) -> None:
        self.total, self.what, self.done = total, what, 0
        self.start = self.shown = time.monotonic()

    def advance(self, done: int) -> None:
        self.done += done
        if time.monotonic() - self.shown >= _SECONDS_BETWEEN_LINES:
            self.show()

    def show(self) -> None:
        self.shown = time.monotonic()
        rate = self.done / max(self.shown - self.start, 1e-3)
        left = (
            f", {(self.total - self.done) / rate:,.0f} s left" if 0 < self.done < self.total else ""
        )
        print(
            f"{self.what}: {self.done:,} of {self.total:,} ({rate:,.0f}/s{left})",
            file=sys.stderr,
            flush=True,
        )


class ByteProgress:
    """Reports one transfer of bytes; use as a context manager.

    Args:
        console: where to report; a bar if it is a terminal, else a plain line now and then. None
            reports nothing.
        label: what is transferred.
    """

    def __init__(self, console: Console | None, label: str) -> None:
        self._console = console
        self._label = label
        self._done = 0
        self._total: int | None = None
        self._began = self._told = time.monotonic()
        self._bars: Progress | None = None
        if console is not None and console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bars.add_task(label, total=None)

    def __enter__(self) -> ByteProgress:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars:
            self._bars.stop()

    def begin(self, done: int, total: int | None) -> None:
        """States where the transfer stands, in bytes: at its start and after each new attempt."""
        self._done, self._total = done, total
        self._began, self._first = time.monotonic(), done
        if self._bars:
            self._bars.update(self._task, completed=done, total=total)

    def advance(self, count: int) -> None:
        """Adds `count` bytes."""
        self._done += count
        if self._bars:
            self._bars.advance(self._task, count)
        elif self._console is not None and time.monotonic() - self._told > _SECONDS_BETWEEN_LINES:
            self._told = time.monotonic()
            rate = (self._done - self._first) / max(self._told - self._began, 1e-9)
            text = f"{self._label}: {decimal(self._done)}"
            if self._total:
                left = (self._total - self._done) / max(rate, 1e-9)
                text += f" of {decimal(self._total)}, {left:.0f} s left"
            self.say(f"{text}, {decimal(int(rate))}/s")

    def say(self, text: str) -> None:
        """Prints a line (above the bar, if there is one)."""
        if self._console is not None:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
