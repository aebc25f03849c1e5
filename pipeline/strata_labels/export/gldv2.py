"""GLDv2-H as released: `{train,index}_label_to_hierarchical.csv`."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pandas as pd

from strata_labels.errors import InputError, Problem
from strata_labels.export.corrections import Publication
from strata_labels.export.export_input import ExportInput
from strata_labels.export.export_result import ExportResult, compare, write_csvs

#: How to open it, in Markdown.
USAGE = 'The released columns: `pandas.read_csv("train_label_to_hierarchical.csv")`.'

COLUMNS = [
    "landmark_id",
    "category",
    "supercategory",
    "hierarchical_label",
    "natural_or_human_made",
]

#: Where loaders of the set expect images beside the labels.
IMAGE_FOLDERS = ("train", "index", "test")


def _frames(given: ExportInput) -> dict[str, pd.DataFrame]:
    names = dict(zip(["level1_name", "level2_name", "level3_name"], COLUMNS[2:], strict=True))
    rows = given.rows.rename(columns={"source_id": "landmark_id", "source_url": "category"})
    rows = rows.rename(columns=names)
    return {
        f"{split}_label_to_hierarchical.csv": part[COLUMNS].fillna("")
        for split, part in rows.groupby("split", sort=True)
    }


def write(folder: Path, given: ExportInput) -> ExportResult:
    """A row for every item of each split there is; blank labels where it has none."""
    frames = _frames(given)
    return write_csvs(folder, frames, sum(map(len, frames.values())), {})


def check(folder: Path, given: ExportInput) -> None:
    """Reads the files as users of the release do and compares every cell."""
    for name, frame in _frames(given).items():
        path = folder / name
        compare(path, pd.read_csv(path, dtype=str, keep_default_na=False), frame)


def released_files(place: Path) -> dict[Path, str]:
    """The released files of labels in a folder, in any case, or one file, with their splits.

    Raises:
        InputError: there is none.
    """
    if place.is_file():
        start = place.name.casefold().partition("_")[0]
        return {place: start if start in ("train", "index") else "train"}
    pattern = re.compile(r"(train|index)_label_to_hierarchical\b.*\.csv", re.IGNORECASE)
    there = sorted(place.glob("*")) if place.is_dir() else []
    found = {path: match[1].lower() for path in there if (match := pattern.fullmatch(path.name))}
    if not found:
        what = "holds no released file of labels" if place.is_dir() else "no such file or folder"
        fix = (
            "Name the folder of train_label_to_hierarchical.csv or index_label_to_hierarchical.csv."
        )
        raise InputError(Problem(place, what, fix))
    return found


def _same_category(one: str, other: str) -> bool:
    """Whether two addresses name one category."""
    return _category(one) == _category(other)


def _category(address: str) -> str:
    text = unquote(address).partition("Category:")[2] or address
    return text.replace("_", " ").strip()


#: How the labels are published.
PUBLICATION = Publication("landmark_id", released_files, "category", _same_category)
