"""open-metric-learning: a CSV for each level, `level0.csv` the finest, and what labels are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from strata_labels.errors import InputError, Problem
from strata_labels.export.export_input import ExportInput, image_file, one_row_an_image
from strata_labels.export.export_result import ExportResult, compare, set_aside, write_csvs
from strata_labels.tables import LABELLED
from strata_labels.tree import as_train_and_test

#: How to open it, in Markdown.
USAGE = (
    "open-metric-learning: `level0.csv` for the finest level. `names.csv` says what its labels are."
)

QUERY, GALLERY = "query", "gallery"
COLUMNS = ["label", "path", "split", "is_query", "is_gallery"]


def _frames(given: ExportInput) -> tuple[dict[str, pd.DataFrame], pd.DataFrame, dict[str, int]]:
    rows = given.split_rows()
    rows = rows.assign(split=as_train_and_test(rows.split))
    none, unlabelled = rows.image_ids.str.len() == 0, rows.status != LABELLED
    outside = rows.split.isna()
    rows, left = set_aside(rows, no_label=unlabelled, not_in_the_split=outside, no_images=none)
    nodes = given.nodes
    leaves = pd.DataFrame(
        {"node_id": rows.item_id, "level": 0, "name": rows["name"], "parent_id": None}
    )
    if given.num_levels > 1:
        leaves["parent_id"] = rows.level1_id
    leaves = leaves.drop_duplicates("node_id")
    used = {node for n in range(1, given.num_levels) for node in rows[f"level{n}_id"].dropna()}
    nodes = pd.concat([leaves, nodes[nodes.node_id.isin(used)]], ignore_index=True)
    nodes["label"] = nodes.groupby("level").cumcount()
    label = dict(zip(nodes.node_id, nodes.label, strict=True))
    images = one_row_an_image(rows)
    images["path"] = [
        image_file(split, image) for split, image in zip(images.split, images.image, strict=True)
    ]
    train = images.split == "train"
    frames = {}
    for level in range(given.num_levels):
        own = images.item_id if level == 0 else images[f"level{level}_id"]
        frame = pd.DataFrame({"label": own.map(label), "path": images.path})
        frame["split"] = np.where(train, "train", "validation")
        # A test image asks and answers; on train both cells are blank.
        frame["is_query"] = _cells(train, images.split != GALLERY)
        frame["is_gallery"] = _cells(train, images.split != QUERY)
        if level + 1 < given.num_levels:
            frame["category"] = images[f"level{level + 1}_id"].map(label)
            frame = frame[frame.category.notna()].astype({"category": int})
        frame = frame[frame.label.notna()].astype({"label": int})
        frames[f"level{level}.csv"] = frame.reset_index(drop=True)
    names = nodes.assign(parent=nodes.parent_id.map(label).astype("Int64"))
    return frames, names[["level", "label", "name", "parent", "node_id"]], left


def _cells(train: pd.Series, is_one: pd.Series) -> NDArray[np.object_]:
    """`True` or `False` of a test image; blank of one of the train."""
    return np.where(train, "", np.where(is_one, "True", "False"))


def write(folder: Path, given: ExportInput) -> ExportResult:
    """Labelled items with images; the split `train` and, as `validation`, all others.

    Of folds, the first is the validation.

    Raises:
        InputError: no item has a label and images.
    """
    frames, names, left = _frames(given)
    if frames["level0.csv"].empty:
        fix = "Give the items images, or take a format of items, such as landmarks."
        raise InputError(Problem("oml", "lists images, and no labelled item has one", fix))
    # An item whose label stops early has no category in the finest file; it is in a higher one.
    items = frames["level0.csv"].label.nunique()
    if stopped := len(given.items) - items - sum(left.values()):
        left["label_stops_early"] = stopped
    result = write_csvs(folder, {**frames, "names.csv": names}, items, left)
    del result.rows["names.csv"]  # lists nodes, no items
    return result


def check(folder: Path, given: ExportInput) -> None:
    """Reads every level as the library does and compares; its own check needs the images too."""
    for name, frame in _frames(given)[0].items():
        path = folder / name
        found = pd.read_csv(path, low_memory=False)
        if not pd.api.types.is_integer_dtype(found.label):
            raise ValueError(f"{path}: labels are not integers")
        validation = found.split == "validation"
        for column in ("is_query", "is_gallery"):
            # A column with blanks is read as objects, one without as booleans.
            if (
                not found[column]
                .astype(str)
                .where(validation, "")
                .equals(frame[column].astype(str))
            ):
                raise ValueError(f"{path}: another {column} than was written")
        columns = [column for column in frame if column not in ("is_query", "is_gallery")]
        paths = pd.read_csv(path, usecols=["path"], dtype=str, keep_default_na=False)
        compare(path, found.assign(path=paths.path)[columns], frame[columns])
