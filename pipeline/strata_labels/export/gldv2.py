"""GLDv2-H as released: `{train,index}_label_to_hierarchical.csv`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from strata_labels.export.export_input import ExportInput
from strata_labels.export.export_result import ExportResult, compare, write_csv

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
    for name, frame in frames.items():
        write_csv(folder / name, frame)
    rows = {name: len(frame) for name, frame in frames.items()}
    return ExportResult([folder / name for name in frames], rows, sum(rows.values()))


def check(folder: Path, given: ExportInput) -> None:
    """Reads the files as users of the release do and compares every cell."""
    for name, frame in _frames(given).items():
        path = folder / name
        compare(path, pd.read_csv(path, dtype=str, keep_default_na=False), frame)
