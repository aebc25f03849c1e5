"""Reads JSON Lines (.jsonl, .ndjson) that people or programs made, as rows of text.

`people_csv` calls it. Each line is one object; its keys are the columns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container
from pathlib import Path
from typing import Any

from strata_labels.errors import InputError, Problem

#: Names of such files end so.
SUFFIXES = (".jsonl", ".ndjson")
_BETWEEN = "|"
# JSON can name half of a character, which no file can hold.
_HALF = re.compile("[\ud800-\udfff]")


def is_json_lines(path: Path) -> bool:
    """Whether a file is JSON Lines, by its name."""
    return Path(path).suffix.casefold() in SUFFIXES


def read_json_lines(
    path: Path, text: str, lists: Container[str] | None = None
) -> list[tuple[int, list[str]]]:
    """The objects of a text as a header and rows of text cells, each with its line.

    Numbers are written without needless decimals, `true` and `false` as such, null as a blank;
    the values of a list are joined by `|`. A key that an object lacks is a blank.

    Args:
        path: the file, for messages.
        text: its content.
        lists: keys whose values may be lists of several; None: any.

    Returns:
        The header (all keys, in the order in which they first appear), then the rows; `[]` if
        there is no object.

    Raises:
        InputError: every line that is no object, has a key twice, or holds an object, a list of
            several where one value is wanted, or half a character in a value.
    """
    problems: list[Problem] = []
    objects: list[tuple[int, dict[str, str]]] = []
    for line, one in enumerate(text.split("\n"), start=1):
        if not one.strip():
            continue
        try:
            found = json.loads(one, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError) as error:  # the latter of brackets within brackets
            fix = "Write one JSON object on each line."
            problems.append(Problem(path, f"not JSON ({error})", fix, row=line))
            continue
        if not isinstance(found, _Pairs):
            fix = 'Write one JSON object on each line, such as {"id": 1}.'
            problems.append(Problem(path, "not a JSON object:", fix, row=line, value=one[:80]))
            continue
        cells: dict[str, str] = {}
        for key, value in found:
            if key in cells:
                problems.append(Problem(path, "key appears twice", "Keep one.", line, key))
            values = value if type(value) is list else [value]
            if any(isinstance(entry, list) for entry in values):  # `_Pairs` is a list too
                fix = "Write a text, a number, or a list of these."
                problems.append(Problem(path, "a value inside a value:", fix, line, key))
            elif len(values) > 1 and lists is not None and key.strip().casefold() not in lists:
                fix = "Keep one."
                problems.append(Problem(path, "several values:", fix, line, key, values))
            cells[key] = _BETWEEN.join(map(_text, values))
            if _HALF.search(key + cells[key]):
                fix = "Write the whole character."
                problems.append(Problem(path, "half a character (\\ud800 to \\udfff)", fix, line))
        objects.append((line, cells))
    if problems:
        raise InputError(problems)
    if not objects:
        return []
    header = list(dict.fromkeys(key for _, cells in objects for key in cells))
    rows = [(line, [cells.get(key, "") for key in header]) for line, cells in objects]
    return [(objects[0][0], header), *rows]


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of an object; a dict would hide a key that appears twice."""


def _text(value: Any) -> str:
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
