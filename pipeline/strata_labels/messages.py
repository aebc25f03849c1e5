"""What a command says besides results and problems, and how much of it: `--quiet`, `--verbose`."""

from __future__ import annotations

import sys

# Of the whole process: results and problems only (-1), what is done (0), and why (1).
_verbosity = 0


def set_verbosity(level: int) -> None:
    """Sets how much is said besides results and problems: -1 nothing, 0, or 1 for more."""
    global _verbosity
    _verbosity = level


def is_quiet() -> bool:
    """Whether nothing but results and problems was asked for."""
    return _verbosity < 0


def is_verbose() -> bool:
    """Whether more was asked for."""
    return _verbosity > 0


def say(text: str) -> None:
    """Prints what is done on standard output, unless nothing but results was asked for."""
    if not is_quiet():
        print(text, flush=True)


def say_more(text: str) -> None:
    """Prints a detail on standard error where more was asked for."""
    if is_verbose():
        print(text, file=sys.stderr, flush=True)
