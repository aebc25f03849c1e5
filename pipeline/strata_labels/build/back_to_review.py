"""From a finished training back to its workspace: the report, and the doubts to review."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.build.validated import keep_validation
from strata_labels.build.workspace import Workspace
from strata_labels.tables import load, save


def back_to_review(
    workspace: Workspace,
    images: Path,
    out: Path,
    synthetic: bool = False,
) -> pd.DataFrame:
    """Writes a training's report, and into its workspace the table `doubts` and what was measured.

    `rebuild` then brings both into the review sheet and the card.

    Args:
        workspace: one that a build has filled.
        images: root of its images.
        out: folder of a training on it.
        synthetic: the images are drawn, which the report then says.

    Returns:
        The table `doubts`, best first.
    """
    # Both rooms import torch, which most commands do without.
    from strata_labels.training import RESULT
    from strata_labels.validation import (
        ITEMS,
        TRAINED,
        doubts_table,
        read_vectors,
        table_of,
        write_report,
    )

    nodes = load(workspace.folder, "nodes")
    names = dict(zip(nodes["node_id"], nodes["name"], strict=True))
    numbers = write_report(out, images, names=names, synthetic=synthetic)
    vectors, _ = read_vectors(out / TRAINED, out / ITEMS)
    found = doubts_table(vectors, table_of(out / ITEMS), images.resolve())
    save(workspace.folder, "doubts", found)
    keep_validation(workspace, _measured(numbers, json.loads((out / RESULT).read_text("utf-8"))))
    return found


def _measured(numbers: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """The figures that the data card shows."""
    names = [("H-AP", "hap"), ("ASI", "asi"), ("NDCG", "ndcg")]
    names += [(f"R@1 level {n}", f"recall_at_1_level{n}") for n in range(numbers["levels"])]
    rows = []
    for label, name in names:
        row = numbers["metrics"][name]
        shown = {key: row[key] for key in ("frozen", "trained", "difference")}
        rows.append({"label": label, **shown, "interval": row["difference_interval"]})
    return {
        "rows": rows,
        "recipe": result["recipe"]["title"],
        "encoder": result["features"],
        "num_queries": numbers["num_queries"],
        "synthetic": numbers["synthetic"],
        **{key: result[key] for key in ("mode", "seed", "steps")},
    }
