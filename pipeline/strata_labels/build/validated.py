"""What a training on the tree has measured, kept beside the tables for the data card."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pandas as pd

from strata_labels.build.workspace import Workspace
from strata_labels.files import write_json
from strata_labels.tables import load


def keep_validation(workspace: Workspace, measured: dict[str, Any]) -> None:
    """Keeps what was measured, with the labels it was measured on.

    Args:
        workspace: a workspace that was built and trained on.
        measured: `recipe, mode, encoder, seed, steps, num_queries, synthetic` and `rows`: `label`,
            `frozen`, `trained`, `difference` and its `interval`, shares of 1 or None.
    """
    labels = _labels(load(workspace.folder, "assignments"))
    write_json(workspace.validation, {**measured, "labels": labels})


def validation(workspace: Workspace, assignments: pd.DataFrame) -> dict[str, Any] | None:
    """What was kept, None if nothing; `earlier` says that the tree has changed since."""
    if not workspace.validation.is_file():
        return None
    kept = json.loads(workspace.validation.read_text(encoding="utf-8"))
    return {**kept, "earlier": kept["labels"] != _labels(assignments)}


def _labels(assignments: pd.DataFrame) -> str:
    """Fingerprint of where the items are, whatever is known of how sure that is."""
    ids = [name for name in map(str, assignments) if name.endswith("_id")]
    text = assignments[ids].sort_values("item_id").to_csv(index=False)
    return hashlib.sha256(text.encode()).hexdigest()
