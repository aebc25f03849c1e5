"""Errors that a user can correct: every problem of an input is collected, then raised at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from strata_labels.messages import printable


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one place of an input.

    Args:
        where: file, argument or table the problem is in.
        what: what is wrong there.
        fix: what the user can do about it.
        row: 1-based line of the file as an editor counts it (the header is line 1), if any.
        column: column or key, if any.
        value: the offending value, shown quoted.
    """

    where: str | Path
    what: str
    fix: str
    row: int | None = None
    column: str | None = None
    value: object = None

    def __str__(self) -> str:
        place = str(self.where)
        if self.row is not None:
            place += f", row {self.row}"
        if self.column is not None:
            place += f", column {self.column!r}"
        what, shown = self.what, ""
        if self.value is None:
            what = what.removesuffix(":")
        else:
            text = repr(str(self.value) if isinstance(self.value, Path) else self.value)
            shown = f" {text if len(text) <= 120 else text[:117] + '...'}"
        end = "" if (what + shown).endswith("?") else "."
        return printable(f"{place}: {what}{shown}{end} {self.fix}")


class InputError(ValueError):
    """The user's input is wrong (exit status 2). Lists every problem found.

    Example:
        >>> problem = Problem("a.csv", "not an integer:", "Correct it.", 3, "id", "x")
        >>> raise InputError([problem])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        strata_labels.errors.InputError: a.csv, row 3, column 'id': not an integer: ...
    """

    SHOWN = 50

    def __init__(self, problems: Iterable[Problem] | Problem) -> None:
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        lines = [str(problem) for problem in self.problems[: self.SHOWN]]
        if len(self.problems) > self.SHOWN:
            lines.append(f"... and {len(self.problems) - self.SHOWN} more problems")
        super().__init__("\n".join(lines))


def refuse(problems: Iterable[Problem]) -> None:
    """Raises all problems of an input as one `InputError`, if there are any."""
    if found := list(problems):
        raise InputError(found)


@contextmanager
def gathered(problems: list[Problem]) -> Iterator[None]:
    """Adds the problems of an `InputError` of the block to a list; what follows goes on."""
    try:
        yield
    except InputError as error:
        problems += error.problems


class RetryError(RuntimeError):
    """Something outside failed; a later run may succeed (exit status 1)."""
