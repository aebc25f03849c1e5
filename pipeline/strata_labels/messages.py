"""What a command says besides results and problems, and how much of it: `--quiet`, `--verbose`."""

from __future__ import annotations

import re
import sys

# A terminal obeys these, and those that turn the direction of writing.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
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


def printable(text: str) -> str:
    """A text as it is printed: of names and paths that people give, no character acts.

    Example:
        >>> printable("lake \\x1b[31mred")
        'lake \\\\x1b[31mred'
    """
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def warn(text: str) -> None:
    """Prints a remark on standard error."""
    print(printable(text), file=sys.stderr, flush=True)


def say(text: str) -> None:
    """Prints what is done on standard output, unless nothing but results was asked for."""
    if not is_quiet():
        print(text, flush=True)


def say_more(text: str) -> None:
    """Prints a detail on standard error where more was asked for."""
    if is_verbose():
        warn(text)
