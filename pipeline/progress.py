"""How far long work is: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
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
