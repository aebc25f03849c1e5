"""What every source offers and hands on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from strata_labels.sources.download import Fetched

Counts = dict[str, Any]


@dataclass(frozen=True)
class Metadata:
    """A data set's metadata, read.

    Attributes:
        items: rows under `strata_labels.tables.SCHEMAS["items"]`, sorted by split and source id.
        images: the Parquet file of images that was written (`image_id, split, landmark_id, url`),
            None where there are no image files or none was asked for.
        counts: for each kind and split `in`, `out` and `set_aside` by reason (in = out + the sum
            of what is set aside), and notes.
        files: the files that were read, by name.
    """

    items: pd.DataFrame
    images: Path | None
    counts: Counts
    files: dict[str, Path]


@dataclass(frozen=True)
class Labels:
    """Published labels, read.

    Attributes:
        frame: `item_id` and one text column per level above 0, in the order of the levels; blank
            where that level is not published. Rows without any label are left out. Sorted by item.
        counts: `in`, `out` and `set_aside` by reason.
    """

    frame: pd.DataFrame
    counts: Counts


class Source(Protocol):
    """A data set's door: its files from the network, its items, its published labels."""

    def fetch(
        self,
        folder: Path,
        base_url: str = ...,
        names: Sequence[str] | None = None,
    ) -> list[Fetched]:
        """Downloads the metadata files (all that a build can use, or those named)."""
        ...

    def read(self, folder: Path, images_table: Path | None = None) -> Metadata:
        """Reads a folder of metadata files, and writes the table of images if one is asked for."""
        ...

    def read_labels(self, path: Path, items: pd.DataFrame | None = None) -> Labels:
        """Reads a file of published labels, checked against the items where they are given."""
        ...

    def label_files(self, folder: Path) -> list[Path]:
        """Files of published labels that a folder of metadata holds."""
        ...

    def files(self, folder: Path) -> list[Path]:
        """The files of a folder that `read` and `read_labels` look at, those that are there."""
        ...

    def levels(self, folder: Path) -> tuple[str, ...]:
        """Names of the levels that the labels of a folder have, finest first."""
        ...

    def image_root(self, folder: Path) -> Path:
        """The folder that image ids with a path are relative to."""
        ...
