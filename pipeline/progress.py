"""Progress of long work: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

_LINE_EVERY_S = 10.0


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
        elif self._console is not None and time.monotonic() - self._told > _LINE_EVERY_S:
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
