"""Brings a finished training back to its workspace: report, doubts and figures for the card."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.build.workspace import Workspace
from strata_labels.files import write_json
from strata_labels.tables import load, save


def add_training_results(
    workspace: Workspace, images: Path, training: Path, synthetic: bool = False
) -> pd.DataFrame:
    """Writes a training's report, and into its workspace the table `doubts` and the figures.

    `rebuild` then brings both into the review sheet and the card.

    Args:
        workspace: one that a build has filled.
        images: root of its images.
        training: folder of a training on it.
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
        read_item_table,
        read_vectors,
        write_report,
    )

    nodes = load(workspace.folder, "nodes")
    names = dict(zip(nodes["node_id"], nodes["name"], strict=True))
    numbers = write_report(training, images, names=names, synthetic=synthetic)
    vectors, _ = read_vectors(training / TRAINED, training / ITEMS)
    doubts = doubts_table(vectors, read_item_table(training / ITEMS), images.resolve())
    result = json.loads((training / RESULT).read_text(encoding="utf-8"))
    placement = _placement(load(workspace.folder, "assignments"))
    with workspace.locked("results of a training"):
        save(workspace.folder, "doubts", doubts)
        write_json(workspace.validation, {**_figures(numbers, result), "labels": placement})
    return doubts


def training_figures(workspace: Workspace, assignments: pd.DataFrame) -> dict[str, Any] | None:
    """The figures of the last training for the card; None if there is none.

    Returns:
        `recipe, mode, encoder, seed, steps, num_queries, synthetic`, `rows` (`label`, `frozen`,
        `trained`, `difference` and its `interval`, shares of 1 or None), and `earlier`: the tree
        has changed since.
    """
    if not workspace.validation.is_file():
        return None
    kept = json.loads(workspace.validation.read_text(encoding="utf-8"))
    return {**kept, "earlier": kept["labels"] != _placement(assignments)}


def _figures(numbers: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
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


def _placement(assignments: pd.DataFrame) -> str:
    """Fingerprint of where the items are, without confidences."""
    ids = [name for name in map(str, assignments) if name.endswith("_id")]
    text = assignments[ids].sort_values("item_id").to_csv(index=False)
    return hashlib.sha256(text.encode()).hexdigest()
