"""How a command ends: errors and signals as messages and exit statuses, readers that went away."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import sqlite3
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from strata_labels.errors import InputError, RetryError
from strata_labels.messages import is_verbose, printable, warn

FAILED, INPUT_WRONG = 1, 2
#: Added to the number of the signal that stopped a command, as shells do.
BY_SIGNAL = 128

# A reader that closed the pipe, or a terminal that was closed.
_NO_READER = {errno.EPIPE, errno.EIO, errno.ECONNRESET}


def run_command(command: Callable[[], object]) -> None:
    """Runs a command and exits the process: 0, 1, 2 or 3, or 128 and a signal's number.

    SIGTERM and SIGHUP stop it as Ctrl-C does, so it cleans up and ends its own processes. Output
    that nobody reads any more is dropped, and the work goes on.
    """
    # Before PyTorch is imported. Threads of OpenMP that wait for each other in a loop take their
    # cores from other work: on a busy machine images were encoded eight times as slowly.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # What is drawn on standard error (a bar, a log in colour) needs its controls.
    sys.stdout = _Output(sys.stdout, escaped=True)  # type: ignore[assignment]
    sys.stderr = _Output(sys.stderr)  # type: ignore[assignment]
    # By default Python searches for unreachable cycles of objects so often that it takes a tenth of
    # the time of a small build, which imports 1,500 modules and makes few cycles.
    gc.set_threshold(100_000, 50, 1000)
    with _like_ctrl_c(signal.SIGTERM, signal.SIGHUP) as came:
        status = _status(command)
        if status == BY_SIGNAL + signal.SIGINT:
            _say("Stopped. Run the same command again to continue; finished work is kept.")
            status = BY_SIGNAL + (came[0] if came else signal.SIGINT)
        sys.exit(status)


def _status(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as end:  # typer's, 130 for Ctrl-C
        return end.code if isinstance(end.code, int) else FAILED if end.code else 0
    except InputError as error:
        number = len(error.problems)
        _say(f"{number} problem{'s' if number > 1 else ''} in the input:\n{error}")
        return INPUT_WRONG
    except KeyboardInterrupt:
        return BY_SIGNAL + signal.SIGINT
    except (RetryError, OSError, sqlite3.Error, MemoryError) as error:
        if is_verbose():
            traceback.print_exc()
        if isinstance(error, OSError) and error.errno in _NO_PATH:
            _say(f"{_sentence(error)} Give another path.")
            return INPUT_WRONG
        _say(f"{_sentence(error)}\nTry again; finished work is kept.")
        return FAILED
    return 0


def _sentence(error: Exception) -> str:
    """What a failure of the machine means, in one sentence."""
    if isinstance(error, MemoryError):
        return f"There is not enough memory ({error})." if str(error) else "Memory is exhausted."
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        hint = _HINTS.get(error.errno or 0, "")
        return f"{where}{error.strerror}.{hint}"
    return str(error)


# A path that leads through a file, and the like: trying again mends nothing.
_NO_PATH = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP)
_HINTS = {
    errno.ENOSPC: " Make room on the disk.",
    errno.EDQUOT: " Make room, or ask for a larger quota.",
    errno.EFBIG: " Raise the limit on the size of a file (ulimit -f), or use another file system.",
    errno.EROFS: " Use a folder that can be written to.",
    errno.EACCES: " Ask for the permission, or use another folder.",
    errno.EMFILE: " Raise the limit of open files (ulimit -n).",
}


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        warn(text)


@contextmanager
def _like_ctrl_c(*signals: signal.Signals) -> Iterator[list[int]]:
    """Raises KeyboardInterrupt in the main thread when a signal comes; gives those that came.

    A signal that is ignored (SIGHUP under `nohup`) stays ignored.
    """
    came: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in signals:
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, stop)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_parent() -> None:
    """Stops this process when its standard input ends, and so with the process that started it."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


class _Output:
    """A text stream whose reader may go away: what is written after that is dropped.

    Args:
        stream: where it goes.
        escaped: control characters are written as signs.
    """

    def __init__(self, stream: TextIO, escaped: bool = False) -> None:
        self._stream, self._escaped = stream, escaped

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._without_reader():
            # typer writes bytes to learn whether the stream takes text: it answers that.
            is_text = isinstance(text, str)
            self._stream.write(printable(text) if self._escaped and is_text else text)
        return len(text)

    def flush(self) -> None:
        with self._without_reader():
            self._stream.flush()

    @contextmanager
    def _without_reader(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())  # what is buffered goes there too
            os.close(nowhere)
            if error.errno not in _NO_READER:
                raise
