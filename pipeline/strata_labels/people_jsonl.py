"""Reads JSON Lines (.jsonl, .ndjson) that people or programs made, as rows of text.

`people_csv` calls it. Each line is one object; its keys are the columns.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import replace
from pathlib import Path
from typing import Any

from strata_labels.errors import Problem, refuse

#: Names of such files end so.
SUFFIXES = (".jsonl", ".ndjson")
_BETWEEN = "|"
# JSON can name half of a character, which no file can hold.
_HALF = re.compile("[\ud800-\udfff]")


def is_json_lines(path: Path) -> bool:
    """Whether a file is JSON Lines, by its name."""
    return Path(path).suffix.casefold() in SUFFIXES


def read_json_lines(
    path: Path,
    text: str,
    clean: Callable[[str], str],
    wanted: Container[str] | None = None,
    lists: Container[str] | None = None,
    only_texts: bool = False,
) -> list[tuple[int, list[str]]]:
    """The objects of a text as a header and rows of text cells, each with its line.

    Numbers are written without needless decimals, `true` and `false` as such, null as a blank;
    the values of a list are joined by `|`. A key that an object lacks is a blank.

    Args:
        path: the file, for messages.
        text: its content.
        clean: makes a key the name of its column.
        wanted: names of the columns that are used; in others a list of several or an object is
            read as a blank; None: all.
        lists: names of columns whose values may be lists of several; None: any.
        only_texts: leave out the columns of lists and objects: where there is no other value, and
            one holds more than one text.

    Returns:
        The header (all keys, in the order in which they first appear), then the rows; `[]` if
        there is no object.

    Raises:
        InputError: every line that is no object, has a key twice, or holds half a character in a
            value; once for each key, objects, and lists of several where one value is wanted.
    """
    problems: list[Problem] = []
    objects: list[tuple[int, dict[str, str]]] = []
    name_of: dict[str, str] = {}
    first: dict[tuple[str, str], int] = {}  # the place among the problems
    rows_of: Counter[tuple[str, str]] = Counter()
    several, texts = set[str](), set[str]()
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
            if (name := name_of.get(key)) is None:
                name = name_of[key] = clean(key).casefold()
            values = value if type(value) is list else [value]
            fault = None
            if any(isinstance(entry, list) for entry in values):  # `_Pairs` is a list too
                fix = "Write a text, a number, or a list of these."
                fault = Problem(path, "a value inside a value", fix, line, key)
            elif len(values) > 1 and lists is not None and name not in lists:
                fix = "Keep one, or remove the column."
                fault = Problem(path, "several values", fix, line, key, values)
            if fault or len(values) > 1:
                several.add(name)
            elif type(value) is not list and value not in (None, ""):
                texts.add(name)
            if fault and wanted is not None and name not in wanted:
                values = [""]
            elif fault:
                rows_of[fault.what, name] += 1
                if (fault.what, name) not in first:
                    first[fault.what, name] = len(problems)
                    problems.append(fault)
            cells[key] = _BETWEEN.join(map(_text, values))
            if _HALF.search(key + cells[key]):
                fix = "Write the whole character."
                problems.append(Problem(path, "half a character (\\ud800 to \\udfff)", fix, line))
        objects.append((line, cells))
    for (what, name), at in first.items():
        number = rows_of[what, name]
        counted = f"{what} (in {number} rows):" if number > 1 else f"{what}:"
        problems[at] = replace(problems[at], what=counted)
    refuse(problems)
    if not objects:
        return []
    header = list(dict.fromkeys(key for _, cells in objects for key in cells))
    if only_texts:
        header = [key for key in header if name_of[key] not in several - texts]
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
