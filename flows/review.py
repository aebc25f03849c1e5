"""From a finished training back to its workspace: the report, and the doubts to review."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline.build import Workspace, rerun
from pipeline.tables import load, save
from pipeline.validation import (
    ITEMS,
    TRAINED,
    doubts_table,
    read_vectors,
    table_of,
    write_report,
)


def back_to_review(
    workspace: Path, images: Path, out: Path, synthetic: bool = False
) -> pd.DataFrame:
    """Writes a training's report, the workspace's table `doubts` and its review sheet.

    Args:
        workspace: a folder that a build has filled.
        images: root of its images.
        out: folder of a training on it.
        synthetic: the images are drawn, which the report then says.

    Returns:
        The table `doubts`, best first.
    """
    nodes = load(workspace, "nodes")
    names = dict(zip(nodes["node_id"], nodes["name"], strict=True))
    write_report(out, images, names=names, synthetic=synthetic)
    vectors, _ = read_vectors(out / TRAINED, out / ITEMS)
    found = doubts_table(vectors, table_of(out / ITEMS), images.resolve())
    save(workspace, "doubts", found)
    for line in rerun(Workspace(workspace.resolve()), ["settle", "show"]):
        print(line)
    return found
