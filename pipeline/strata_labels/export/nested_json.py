"""The tree as one nested JSON document, for web pages and D3: `hierarchy.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.export.export_input import ExportInput
from strata_labels.export.export_result import ExportResult, set_aside
from strata_labels.files import write_text
from strata_labels.tables import LABELLED

#: How to open it, in Markdown.
USAGE = (
    'Nested JSON: `json.load(open("hierarchy.json"))`, or `d3.hierarchy(document)`. An item has '
    "its confidence at each level, its origin, and `accepted_level`, the finest level that needs "
    "no review."
)

NAME = "hierarchy.json"


def _document(given: ExportInput) -> dict[str, Any]:
    """The root: `name`, `levels`, `children`; a node has `id, level, name, children`.

    An item has `split, origin, accepted_level, confidence` (by level) and `images` in place of
    children.
    """
    tree = given.whole_tree
    sure = [f"level{n}_confidence" for n in range(1, given.num_levels)]
    columns = ["split", "origin", "accepted_level", "image_ids", *sure]
    rows = given.rows.set_index("item_id")[columns]
    items = dict(zip(rows.index, rows.itertuples(index=False, name=None), strict=True))

    def leaf(item: str) -> dict[str, Any]:
        split, origin, accepted, images, *confidence = items[item]
        return {
            "id": item,
            "level": 0,
            "name": tree.name[item],
            "split": split,
            "origin": None if pd.isna(origin) else origin,
            "accepted_level": None if pd.isna(accepted) else int(accepted),
            "confidence": {
                level: round(float(value), 6)
                for level, value in zip(given.levels[1:], confidence, strict=True)
                if not pd.isna(value)
            },
            "images": images,
        }

    def inner(node: str) -> dict[str, Any]:
        if tree.level[node] == 0:
            return leaf(node)
        below = [inner(child) for child in tree.children(node)]
        return {"id": node, "level": tree.level[node], "name": tree.name[node], "children": below}

    return {
        "name": given.about.title,
        "levels": list(given.levels),
        "children": [inner(node) for node in tree.children("")],
    }


def write(folder: Path, given: ExportInput) -> ExportResult:
    """Every node and labelled item."""
    text = json.dumps(_document(given), ensure_ascii=False, indent=1, allow_nan=False)
    write_text(folder / NAME, text + "\n")
    rows, left = set_aside(given.assignments, no_label=given.assignments.status != LABELLED)
    return ExportResult([folder / NAME], {NAME: len(given.whole_tree.name)}, len(rows), left)


def check(folder: Path, given: ExportInput) -> None:
    """Reads the document back and compares it."""
    path = folder / NAME
    if json.loads(path.read_text(encoding="utf-8")) != _document(given):
        raise ValueError(f"{path}: another tree than was written")
