"""GLDv2-H as released: `{train,index}_label_to_hierarchical.csv`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from strata_labels.errors import InputError, Problem
from strata_labels.export.material import Material
from strata_labels.export.report import Export, compare, labels_by_split, write_csv

COLUMNS = [
    "landmark_id",
    "category",
    "supercategory",
    "hierarchical_label",
    "natural_or_human_made",
]


def _frames(material: Material) -> dict[str, pd.DataFrame]:
    names = dict(zip(["level1_name", "level2_name", "level3_name"], COLUMNS[2:], strict=True))
    return {
        f"{split}_label_to_hierarchical.csv": part.rename(
            columns={"source_id": "landmark_id", "source_url": "category", **names}
        )[COLUMNS].fillna("")
        for split, part in labels_by_split(material.items, material.assignments).items()
    }


def write(folder: Path, material: Material) -> Export:
    """A row for every item of each split there is; blank labels where it has none."""
    frames = _frames(material)
    for name, frame in frames.items():
        write_csv(folder / name, frame)
    return Export(
        files=[folder / name for name in frames],
        rows={name: len(frame) for name, frame in frames.items()},
    )


def check(folder: Path, material: Material) -> None:
    """Reads the files as users of the release do and compares every cell."""
    for name, frame in _frames(material).items():
        path = folder / name
        if not path.exists():
            raise InputError(Problem(path, "not in the export", "Export again."))
        compare(path, pd.read_csv(path, dtype=str, keep_default_na=False), frame)
