"""One export from tables, as tests ask for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from strata_labels.export import ExportInput, ExportResult, write_format


def export(
    format: str,
    folder: Path,
    items: pd.DataFrame,
    assignments: pd.DataFrame,
    metadata: Path | None = None,
    levels: Sequence[str] = (),
    nodes: pd.DataFrame | None = None,
    **given: Any,
) -> ExportResult:
    """Writes a format; levels are called `level0, level1, ...` if no names are given."""
    numbered = [name for name in assignments if re.fullmatch(r"level\d+_id", name)]
    names = tuple(levels) or tuple(f"level{n}" for n in range(len(numbered) + 1))
    tree = ExportInput(items, assignments, names, metadata, table_nodes=nodes, **given)
    return write_format(format, folder, tree)
