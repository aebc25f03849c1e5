"""GLDv2's files of landmarks: which there are, what they are called, how they are labelled."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from strata_labels.errors import Problem, refuse
from strata_labels.people_csv import read_integer, read_people_csv
from strata_labels.sources.commons import CommonsName, parse_address
from strata_labels.sources.contract import Counts

DATASET = "gldv2"
SPLITS = ("train", "index")
# Levels 1 to 3, as the released files call them.
LEVELS = ("supercategory", "hierarchical_label", "natural_or_human_made")

_LARGEST_ID = 2**63 - 1


def item_id(split: str, landmark_id: int) -> str:
    """An item's id. Train and index number their landmarks apart, so the split is a part of it."""
    return f"{DATASET}/{split}/{landmark_id}"


def split_of(path: Path) -> str:
    """The split that a file's name begins with, `train_...` or `index_...`; "" for neither."""
    name = path.name.casefold()
    return next((split for split in SPLITS if name.startswith(f"{split}_")), "")


def read_landmarks(path: Path, split: str) -> tuple[pd.DataFrame, Counts]:
    """Reads a file with `landmark_id, category`: each landmark once, each category's address.

    Args:
        path: `{train,index}_label_to_category.csv`, or a released label file with a `category`.
        split: whose ids these are.

    Returns:
        `(items, counts)`: the columns of `items` but `image_ids`, sorted by id; and the counts, in
        which `categories_shared` notes the categories that several landmarks have.

    Raises:
        InputError: every duplicate id, value that is no id, address that is no Commons category,
            missing column or cell, and an end cut short.
    """
    frame = read_people_csv(path, ["landmark_id", "category"], ended=True)
    problems: list[Problem] = []
    ids = _ids(path, frame["landmark_id"], problems)
    names = [_category(text, path, _row(row), problems) for row, text in frame["category"].items()]
    problems += _twice(path, pd.Series([split] * len(frame), frame.index), ids)
    refuse(sorted(problems, key=lambda problem: problem.row or 0))
    found: list[CommonsName] = [name for name in names if name is not None]
    items = pd.DataFrame(
        {
            "item_id": [item_id(split, number) for number in ids],
            "dataset": DATASET,
            "split": split,
            "source_id": [int(number) for number in ids],
            "title": [name.title for name in found],
            "name": [name.name for name in found],
            "qualifier": [name.qualifier for name in found],
            "source_url": list(frame["category"]),
        }
    )
    items = items.sort_values("source_id", ignore_index=True)
    shared = items["title"].duplicated(keep=False)
    counts = {
        "in": len(frame),
        "out": len(items),
        "set_aside": {},
        "categories_shared": int(items.loc[shared, "title"].nunique()),
    }
    return items, counts


def read_released(path: Path, items: pd.DataFrame) -> pd.DataFrame:
    """Reads labels in the released columns.

    These are `landmark_id, hierarchical_label` and, where published, `category, supercategory,
    natural_or_human_made`. The split is given by the file's name (`train_...`, `index_...`), else
    by a column `split`, else it is the only one that the items have.

    Args:
        path: the file.
        items: the metadata's items; every id must be one of them, and every category theirs.

    Returns:
        `item_id` and a column for each of `LEVELS`, sorted by split and id; spaces are cleaned
        (`"ocean area "` is in the published files), a missing label is "".

    Raises:
        InputError: every value that is no id, id that appears twice, id that the metadata does not
            have in that split, category that is another in the metadata; a missing column; an end
            cut short; a split that is given nowhere.
    """
    optional = ["category", "split", "supercategory", "natural_or_human_made"]
    frame = read_people_csv(path, ["landmark_id", "hierarchical_label"], optional, ended=True)
    problems: list[Problem] = []
    splits = _splits(path, frame["split"], items, problems)
    ids = _ids(path, frame["landmark_id"], problems)
    problems += _twice(path, splits, ids)
    keys = pd.Series(
        [
            item_id(split, number) if split and number is not None else ""
            for split, number in zip(splits, ids, strict=True)
        ],
        frame.index,
        dtype=str,
    )
    problems += _not_in_metadata(path, frame, keys, items)
    refuse(sorted(problems, key=lambda problem: problem.row or 0))
    wide = frame[list(LEVELS)].assign(item_id=keys)[["item_id", *LEVELS]]
    order = pd.DataFrame({"split": splits, "id": ids}).sort_values(["split", "id"])
    return wide.loc[order.index].reset_index(drop=True)


def _category(text: str, path: Path, row: int, problems: list[Problem]) -> CommonsName | None:
    try:
        return parse_address(text)
    except ValueError as error:
        fix = "Write it as http://commons.wikimedia.org/wiki/Category:..."
        what = f"no address of a Commons category ({error}):" if text else "the address is missing:"
        problems.append(Problem(path, what, fix, row, "category", text))
        return None


def _ids(path: Path, cells: pd.Series, problems: list[Problem]) -> pd.Series:
    """Landmark ids as Python integers; None where there is a problem."""
    ids: list[int | None] = []
    for row, text in cells.items():
        try:
            number = read_integer(text)
            if not 0 <= number <= _LARGEST_ID:
                raise ValueError("an id is 0 or more" if number < 0 else "too large for an id")
            ids.append(number)
        except ValueError as error:
            what, fix = f"not a landmark id ({error}):", "Write an integer without separators."
            problems.append(Problem(path, what, fix, _row(row), "landmark_id", text))
            ids.append(None)
    return pd.Series(ids, cells.index, dtype=object)


def _twice(path: Path, splits: pd.Series, ids: pd.Series) -> list[Problem]:
    first: dict[tuple[str, int], int] = {}
    problems = []
    for (row, number), split in zip(ids.items(), splits, strict=True):
        if number is None or not split:
            continue
        before = first.setdefault((split, number), _row(row))
        if before != row:
            what = f"landmark id appears twice (first in row {before}):"
            fix = "Keep one of the rows."
            problems.append(Problem(path, what, fix, _row(row), "landmark_id", number))
    return problems


def _row(label: object) -> int:
    """A row's line, which `read_people_csv` makes its index."""
    return int(str(label))


def _splits(
    path: Path, column: pd.Series, items: pd.DataFrame, problems: list[Problem]
) -> pd.Series:
    """The split of each row; "" where there is a problem."""
    known = sorted(set(items["split"]))
    named = split_of(path)
    whole = named or (known[0] if len(known) == 1 else "")
    if not whole and not (column != "").any():
        fix = "Name the file train_... or index_..., or add a column `split`."
        what = f"does not say whether its ids are of {' or '.join(known)}"
        problems.append(Problem(path, what, fix))
        return pd.Series("", column.index)
    if named and named not in known:
        what = f"labels of the {named} split, of which the metadata has no landmark"
        fix = f"Add {named}_label_to_category.csv to the metadata, or take the other file."
        problems.append(Problem(path, what, fix))
    splits = []
    for row, text in column.items():
        split = text.casefold() or whole
        if split not in known or (text and named and split != named):
            what = "not the split in the file's name:" if named else "no such split:"
            if not (named and named not in known and not text):
                fix = f"Write {named or ' or '.join(known)}."
                problems.append(Problem(path, what, fix, _row(row), "split", text))
            split = ""
        splits.append(split)
    return pd.Series(splits, column.index, dtype=str)


def _not_in_metadata(
    path: Path, frame: pd.DataFrame, keys: pd.Series, items: pd.DataFrame
) -> list[Problem]:
    """Ids that the metadata does not have, and categories that are another there."""
    titles = dict(zip(items["item_id"], items["title"], strict=True))
    problems: list[Problem] = []
    columns = zip(keys.items(), frame["landmark_id"], frame["category"], strict=True)
    for (row, key), number, address in columns:
        if not key:
            continue
        _, split, _ = key.split("/")
        if key not in titles:
            what = f"no such landmark in the metadata's {split} split:"
            fix = f"Remove the row; is the id one of the {_other(split)} split?"
            problems.append(Problem(path, what, fix, _row(row), "landmark_id", number))
        elif address:
            name = _category(address, path, _row(row), problems)
            if name is not None and name.title != titles[key]:
                what = f"{split} landmark {number} is {titles[key]!r} in the metadata, here:"
                fix = f"Correct the id; is it one of the {_other(split)} split?"
                problems.append(Problem(path, what, fix, _row(row), "category", address))
    return problems


def _other(split: str) -> str:
    return SPLITS[1 - SPLITS.index(split)]
