"""What an export wrote, and the writing and comparing of CSV files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.files import whole
from strata_labels.people_csv import harmless


@dataclass(frozen=True)
class ExportResult:
    """Files of one export, and what is in them.

    Attributes:
        files: what was written.
        rows: rows by file name.
        items: items that are in the files.
        set_aside: items that this format leaves out, by reason.
        missing: files the loader needs besides, and that were not there to copy.
    """

    files: list[Path]
    rows: dict[str, int]
    items: int
    set_aside: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, Any]:
        """Items in, out and set aside, and the number of files, as plain numbers."""
        given = self.items + sum(self.set_aside.values())
        left = {"set_aside": self.set_aside} if self.set_aside else {}
        return {"in": given, "out": self.items, **left, "files": len(self.files)}

    def summary(self) -> str:
        """What is in the export and what is not: `5 of 8 items; left out: 3 no label`."""
        parts = [f"{self.items:,} of {self.items + sum(self.set_aside.values()):,} items"]
        if self.set_aside:
            reasons = (f"{n:,} {reason.replace('_', ' ')}" for reason, n in self.set_aside.items())
            parts.append(f"left out: {', '.join(reasons)}")
        if self.missing:
            parts.append(f"not there to copy: {', '.join(self.missing)}")
        return "; ".join(parts)


def set_aside(rows: pd.DataFrame, **reasons: pd.Series) -> tuple[pd.DataFrame, dict[str, int]]:
    """Rows without those that a reason (a mask) leaves out, and the counts by first reason."""
    kept = pd.Series(True, rows.index)
    counts = {}
    for reason, mask in reasons.items():
        if number := int((kept & mask).sum()):
            counts[reason] = number
        kept &= ~mask
    return rows[kept].reset_index(drop=True), counts


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """UTF-8, LF, whole or not at all; blanks for missing values."""
    with whole(path) as beside:
        frame.to_csv(beside, index=False, lineterminator="\n", encoding="utf-8")


def write_csvs(
    folder: Path, frames: Mapping[str, pd.DataFrame], items: int, set_aside: dict[str, int]
) -> ExportResult:
    """Writes frames by file name; what was written, of how many items."""
    for name, frame in frames.items():
        write_csv(folder / name, frame)
    rows = {name: len(frame) for name, frame in frames.items()}
    return ExportResult([folder / name for name in frames], rows, items, set_aside)


def compare_people_csv(path: Path, expected: pd.DataFrame) -> None:
    """Raises ValueError unless `write_people_csv` wrote `expected` into the file."""
    found = pd.read_csv(path, dtype=str, keep_default_na=False)
    expected = harmless(expected).astype(object)
    compare(path, found, expected.where(expected.notna(), ""))


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
