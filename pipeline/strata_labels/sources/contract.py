"""What every source offers: a data set's items and the labels that came with them, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from strata_labels.tables import SCHEMAS

#: For each kind of row and split: `in`, `out` and `set_aside` by reason (in = out + set aside).
Counts = dict[str, Any]


@dataclass(frozen=True)
class Metadata:
    """A data set's metadata, read.

    Attributes:
        items: rows under `SCHEMAS["items"]`, sorted by split and source id.
        labels: rows under `SCHEMAS["labels"]`, origin `published`.
        counts: of each kind of row that was read.
    """

    items: pd.DataFrame
    labels: pd.DataFrame
    counts: Counts


@dataclass(frozen=True)
class Labels:
    """Labels read from a file of their own.

    Attributes:
        table: rows under `SCHEMAS["labels"]`, origin `known`.
        counts: of the file's rows.
    """

    table: pd.DataFrame
    counts: Counts


class Source(Protocol):
    """One data set's reader: where its files are published, its items and labels from the files."""

    BASE_URL: str  #: where the data set is published
    #: By name of each official metadata file, its paths below the base, in the order to try them.
    DOWNLOADS: Mapping[str, Sequence[str]]
    IMAGE_SPLITS: tuple[str, ...]  #: splits whose images can be fetched

    def image_archives(self, splits: Sequence[str] = ...) -> list[tuple[str, str]]:
        """The official archives of images: path, and path of the file with the MD5 sum or ""."""
        ...

    def files(self, folder: Path) -> list[Path]:
        """The files of a folder that `read` reads and an export copies, those that are there."""
        ...

    def levels(self, folder: Path) -> tuple[str, ...]:
        """Names of the levels that the published labels have, finest first, without the item's."""
        ...

    def image_root(self, folder: Path) -> Path:
        """The folder that image references with a path are relative to."""
        ...

    def read(self, folder: Path, levels: Sequence[str]) -> Metadata:
        """Reads a folder of metadata files.

        Args:
            folder: holds the files.
            levels: names of the tree's levels, the item's first. Labels of a level that the tree
                does not have are left out.
        """
        ...

    def read_labels(self, path: Path, items: pd.DataFrame, levels: Sequence[str]) -> Labels:
        """Reads a file of labels of some items; every id has to be one of `items`."""
        ...


def label_rows(wide: pd.DataFrame, levels: Sequence[str], origin: str) -> pd.DataFrame:
    """The table `labels` of a table with a column for each level.

    Args:
        wide: `item_id` and text columns named for levels; a blank cell is a missing label.
        levels: names of the tree's levels, the item's first.
        origin: `published` or `known`.

    Returns:
        Rows under `SCHEMAS["labels"]`, the finest level first, within a level in the order of
        `wide`.
    """
    parts = [
        pd.DataFrame({"item_id": part["item_id"], "level": level, "node": part[name]})
        for level, name in enumerate(levels)
        if level and name in wide
        for part in [wide.loc[wide[name] != "", ["item_id", name]]]
    ]
    columns = SCHEMAS["labels"].names
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    return table.assign(origin=origin)[columns].astype({"level": "int8"})


def shared_images(items: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """The images that several items have.

    Returns:
        `image, item_id, name, labels` by image: a row for each item that has it; `labels` are the
        names of its labels, finest first.
    """
    lists = pa.array(items["image_ids"], pa.list_(pa.string()))
    images, owners = pc.list_flatten(lists), pc.list_parent_indices(lists)
    counts = pc.value_counts(images)
    several = pc.filter(counts.field("values"), pc.greater(counts.field("counts"), 1))
    at = pc.is_in(images, several)
    found = pd.DataFrame(
        {"image": pc.filter(images, at).to_pylist(), "at": pc.filter(owners, at).to_numpy()}
    ).drop_duplicates()
    found = found[found["image"].duplicated(keep=False)]
    own = items.iloc[found["at"]]
    named = labels[labels["item_id"].isin(own["item_id"])].sort_values("level", kind="stable")
    paths = named.groupby("item_id")["node"].agg(" › ".join)
    return pd.DataFrame(
        {
            "image": found["image"].to_numpy(),
            "item_id": own["item_id"].to_numpy(),
            "name": own["name"].to_numpy(),
            "labels": own["item_id"].map(paths).fillna("").to_numpy(),
        },
        dtype=object,
    ).sort_values(["image", "item_id"], ignore_index=True)


def count_labels(wide: pd.DataFrame) -> Counts:
    """Counts of rows with and without a label in a table with a column for each level."""
    labelled = int((wide.drop(columns="item_id") != "").any(axis=1).sum())
    without = len(wide) - labelled
    return {
        "in": len(wide),
        "out": labelled,
        "set_aside": {"no label": without} if without else {},
    }
