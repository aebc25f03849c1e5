"""What an export wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from strata_labels.files import whole


@dataclass(frozen=True)
class Export:
    """Files of one export.

    Attributes:
        files: what was written.
        rows: rows by file name.
        set_aside: items that this format leaves out, by reason.
        missing: files the loader needs besides, and that were not there to copy.
    """

    files: list[Path]
    rows: dict[str, int]
    set_aside: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """UTF-8, LF, whole or not at all; blanks for missing values."""
    with whole(path) as beside:
        frame.to_csv(beside, index=False, lineterminator="\n", encoding="utf-8")


def labels_by_split(items: pd.DataFrame, assignments: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Assignments with `source_id` and `source_url`, by split, in the order of source ids."""
    joined = assignments.merge(
        items[["item_id", "source_id", "source_url"]], on="item_id", validate="one_to_one"
    ).sort_values("source_id", kind="stable")
    return {str(split): part for split, part in joined.groupby("split", sort=True)}


def compare(path: Path, found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Raises ValueError, with the first difference, unless the two frames are equal as text."""
    found, expected = (frame.astype(str).reset_index(drop=True) for frame in (found, expected))
    if list(found.columns) != list(expected.columns) or len(found) != len(expected):
        raise ValueError(
            f"{path}: {len(found)} rows of {list(found.columns)} where {len(expected)} of "
            f"{list(expected.columns)} were written"
        )
    differs = (found != expected).any(axis=1)
    if differs.any():
        at = int(differs.to_numpy().argmax())
        raise ValueError(
            f"{path}, row {at + 2}: read {found.iloc[at].to_dict()}, "
            f"expected {expected.iloc[at].to_dict()} ({int(differs.sum())} rows differ)"
        )
