"""The formats, and the one way in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.errors import InputError, Problem
from pipeline.export import gldv2, suprank
from pipeline.export.report import Export


@dataclass(frozen=True)
class Format:
    """A format's two functions, and how deep a tree it carries (items included)."""

    num_levels: int
    write: Callable[[Path, pd.DataFrame, pd.DataFrame, Path | None], Export]
    check: Callable[[Path, pd.DataFrame, pd.DataFrame], None]


FORMATS: dict[str, Format] = {
    "gldv2": Format(4, gldv2.write, gldv2.check),
    "suprank": Format(4, suprank.write, suprank.check),
}


def export(
    format: str,
    folder: Path,
    items: pd.DataFrame,
    assignments: pd.DataFrame,
    metadata: Path | None = None,
) -> Export:
    """Writes one format into `folder` and reads it back as its loader would.

    Args:
        format: a key of `FORMATS`.
        folder: e.g. `WORKSPACE/export/gldv2`; its files of this format are replaced, each whole.
        items: the table `items`.
        assignments: from `pipeline.tree.build_tree`.
        metadata: the data set's own files, which some loaders read beside the labels.

    Raises:
        InputError: an unknown format, or one that cannot carry the tree's depth.
        ValueError: what was read back is not what was written.
    """
    chosen = _format(format, assignments)
    result = chosen.write(folder, items, assignments, metadata)
    chosen.check(folder, items, assignments)
    return result


def check(format: str, folder: Path, items: pd.DataFrame, assignments: pd.DataFrame) -> None:
    """Reads an export as its loader would and compares.

    Raises:
        InputError: as `export`; a file of the export is missing.
        ValueError: a file says something else than the assignments.
    """
    _format(format, assignments).check(folder, items, assignments)


def _format(format: str, assignments: pd.DataFrame) -> Format:
    if format not in FORMATS:
        fix = f"Take one of {', '.join(sorted(FORMATS))}."
        raise InputError(Problem("--format", "unknown format:", fix, value=format))
    depth = 1 + sum(str(column).endswith("_id") for column in assignments.columns.drop("item_id"))
    if FORMATS[format].num_levels != depth:
        able = sorted(name for name, known in FORMATS.items() if known.num_levels == depth)
        fix = f"Formats that can: {', '.join(able) or 'none'}."
        what = f"cannot carry a tree of {depth} levels (it needs {FORMATS[format].num_levels}):"
        raise InputError(Problem("--format", what, fix, value=format))
    return FORMATS[format]
