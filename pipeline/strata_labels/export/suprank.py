"""The set of files that SupRank's GLDv2 loader reads.

`{train,index}_label_to_subcategory_with_clusters.csv` with `landmark_id, cluster, overall_cluster`
(no missing value anywhere), beside the data set's own lists of images.
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pandas as pd

from strata_labels.errors import Problem, refuse
from strata_labels.export.export_input import ExportInput
from strata_labels.export.export_result import ExportResult, compare, set_aside, write_csvs
from strata_labels.files import whole
from strata_labels.tables import LABELLED

#: How to open it, in Markdown.
USAGE = (
    "SupRank's GLDv2 loader reads this folder. Images belong in `train/` and `index/`, as "
    "`a/b/c/abc….jpg`."
)

COLUMNS = ["landmark_id", "cluster", "overall_cluster"]
FROM_METADATA = ["train_clean.csv", "index_image_to_landmark.csv", "retrieval_solution_v2.1.csv"]
_NAME = "{}_label_to_subcategory_with_clusters.csv"


def _frames(given: ExportInput) -> tuple[dict[str, pd.DataFrame], dict[str, int]]:
    """Rows by file, and the items left out."""
    rows = given.rows
    unlabelled = rows.status != LABELLED
    rows, left = set_aside(rows, no_label=unlabelled, label_stops_early=rows.level2_id.isna())
    names = ["source_id", "level2_name", "level3_name"]
    rows = rows.rename(columns=dict(zip(names, COLUMNS, strict=True)))
    splits = {str(split): part for split, part in rows.groupby("split", sort=True)}
    none = rows[:0]
    return {
        _NAME.format(split): splits.get(split, none)[COLUMNS]
        for split in sorted(set(given.items.split))
    }, left


def _read_as_missing(frames: dict[str, pd.DataFrame]) -> list[str]:
    """Names that pandas' defaults turn into a missing value, such as `NA`."""
    names = sorted({name for frame in frames.values() for c in COLUMNS[1:] for name in frame[c]})
    written = pd.DataFrame({"number": range(len(names)), "name": names}).to_csv(index=False)
    lost = pd.read_csv(io.StringIO(written)).name.isna()
    return [name for name, is_lost in zip(names, lost, strict=True) if is_lost]


def write(folder: Path, given: ExportInput) -> ExportResult:
    """Labelled items only; copies the data set's image lists from `metadata` where they are.

    Raises:
        InputError: a node's name is one that the loader takes for a missing value.
    """
    frames, left = _frames(given)
    problems = [
        Problem(
            "suprank", "the loader takes this name for missing:", "Rename the node.", value=name
        )
        for name in _read_as_missing(frames)
    ]
    refuse(problems)
    result = write_csvs(folder, frames, sum(map(len, frames.values())), left)
    for name in FROM_METADATA:
        source = given.metadata / name if given.metadata else None
        if source is not None and source.is_file():
            with whole(folder / name) as beside:
                shutil.copyfile(source, beside)
            result.files.append(folder / name)
        else:
            result.missing.append(name)
    return result


def check(folder: Path, given: ExportInput) -> None:
    """Reads the label files as the loader does: pandas' defaults, where `NA` is a missing value."""
    for name, frame in _frames(given)[0].items():
        path = folder / name
        found = pd.read_csv(path)
        if found.isna().any(axis=None):
            bad = frame[found.isna().any(axis=1).to_numpy()].iloc[0].to_dict()
            raise ValueError(f"{path}: the loader reads a missing value in {bad}")
        compare(path, found, frame)
