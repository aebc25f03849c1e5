"""Reads labels of some items from a table of their own, for `--known-labels`."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from strata_labels.errors import InputError, Problem, refuse
from strata_labels.people_csv import is_row_numbers, read_header, read_people_csv
from strata_labels.sources.contract import Labels, count_labels, label_rows
from strata_labels.tables import own_ids


def known_levels(path: Path) -> tuple[str, ...]:
    """Names of the file's columns of labels, in their order: finest first.

    Raises:
        InputError: not a file, undecodable.
    """
    names = (name for name in read_header(path, only_texts=True) if name not in ("", "id", "split"))
    return tuple(name for name in names if not is_row_numbers(name))


def read_labels(path: Path, items: pd.DataFrame, levels: Sequence[str]) -> Labels:
    """Reads a CSV with `id`, where needed `split`, and a column for some of the levels.

    Args:
        path: the file; `id` is an item's id, or the data set's own (`7` of `table/train/7`).
        items: the metadata's items; every id must be one of them.
        levels: names of the tree's levels, the item's first.

    Returns:
        The labels. Columns that are no level are not read; the counts name them.

    Raises:
        InputError: no column of any level; every column whose name is nearly that of a level that
            the file lacks, and every id that no item has, that items of several splits have, or
            that appears twice; a list of several labels.
    """
    wanted = {"id", "split", *(level.casefold() for level in levels[1:])}
    frame = read_people_csv(path, ["id"], ["split"], further=True, wanted=wanted, lists=())
    named = [level for level in levels[1:] if level.casefold() in frame]
    lacking = [level for level in levels[1:] if level not in named]
    used = {"id", "split", *(level.casefold() for level in named)}
    others = [str(column) for column in frame if column not in used]
    problems = [
        Problem(path, "no such level:", f"Write {near[0]}, or remove the column.", column=column)
        for column in others
        if (near := get_close_matches(column, lacking, n=1, cutoff=0.85))
    ]
    if not (named or problems):
        fix = f"Add a column for a level: {', '.join(levels[1:])}."
        raise InputError(Problem(path, "has no column of labels", fix))
    by_id: dict[str, list[str]] = {}
    by_split: dict[tuple[str, str], str] = {}
    for item, own, split in zip(items["item_id"], own_ids(items), items["split"], strict=True):
        by_id[item] = [item]
        by_id.setdefault(own, []).append(item)
        by_split[split, own] = item
    found: dict[int, str] = {}
    first: dict[str, int] = {}
    for row, number, split in zip(frame.index, frame["id"], frame["split"], strict=True):
        known = by_split.get((split, number))
        candidates = by_id.get(number, []) if not split else [known] if known else []
        if len(candidates) != 1:
            what = "no such item in the metadata:"
            fix = "Remove the row, or correct id and split."
            if candidates:
                what, fix = "items of several splits have this id:", "Add a column `split`."
            problems.append(Problem(path, what, fix, int(row), "id", number))
            continue
        before = first.setdefault(candidates[0], int(row))
        if before != row:
            what = f"id appears twice (first in row {before}):"
            problems.append(Problem(path, what, "Keep one.", int(row), "id", number))
        found[int(row)] = candidates[0]
    refuse(problems)
    wide = pd.DataFrame({level: frame[level.casefold()] for level in named})
    wide.insert(0, "item_id", pd.Series(found, dtype=object))
    wide = wide.reset_index(drop=True)
    counts = count_labels(wide)
    if others:
        counts["columns_not_read"] = ", ".join(others)
    return Labels(label_rows(wide, levels, "known"), counts)
