"""Nodes and assignments from items and decided proposals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from strata_labels.review import KnownNodes, Resolution
from strata_labels.tables import SCHEMAS, assignments_schema

#: Status of an item that has a label; other statuses are reasons for having none.
LABELLED = "labelled"

#: Reasons that no stage gave: no row at level 1, and a class that leads to no top node.
NOT_PROPOSED, NO_PLACE = "not_proposed", "no_place"


def build_tree(
    items: pd.DataFrame, resolution: Resolution
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Assembles the tree.

    A node is in the tree if an item hangs below it; vocabulary nodes without items are counted,
    not kept. An item whose class is set aside has the class's status and no label.

    Args:
        items: the table `items`, ids unique.
        resolution: from `strata_labels.review.replay`.

    Returns:
        `nodes` (contract `SCHEMAS["nodes"]`; labelled items are level 0), `assignments`
        (`assignments_schema`, one row for every item, by split and source id) and a report:
        `items = labelled + sum(set_aside)`, `accepted` labels and `open` items, labels by `origin`,
        `nodes` and `empty_nodes` by level, and the resolution's own counts under `review`.
    """
    known = KnownNodes(resolution.nodes)
    num_levels = known.top + 1
    order = items.sort_values(["dataset", "split", "source_id", "item_id"], kind="stable")
    rows = resolution.rows
    rows = rows[rows.level == 1].set_index("subject")
    rows = rows.reindex(order.item_id)
    parent = rows.parent.fillna("").to_numpy(dtype=object)
    status = rows.status.fillna(NOT_PROPOSED).to_numpy(dtype=object)

    codes, used = pd.factorize(pd.Series(parent, dtype=object))
    paths, reasons = _paths(used, known, resolution)
    ok = np.array([reason == "" for reason in reasons], dtype=bool)[codes]
    reason = np.array(reasons, dtype=object)[codes]
    if num_levels == 1:
        # No node above the items: every item is a tree of its own.
        ok, reason = np.ones(len(order), dtype=bool), np.full(len(order), "", dtype=object)
    status = np.where(ok, LABELLED, np.where((parent != "") & (reason != ""), reason, status))

    columns: dict[str, Any] = {
        "item_id": order.item_id.to_numpy(),
        "split": order.split.to_numpy(),
        "name": order.name.to_numpy(),
        "status": status,
    }
    names = known.name | {"": None}
    for level in range(1, num_levels):
        ids = np.array([path.get(level, "") for path in paths], dtype=object)[codes]
        ids = np.where(ok, ids, "")
        unique = pd.factorize(ids)
        columns[f"level{level}_id"] = _or_none(ids, ids != "")
        columns[f"level{level}_name"] = np.array([names[node] for node in unique[1]], object)[
            unique[0]
        ]
    columns["origin"] = _or_none(rows.origin.to_numpy(dtype=object), ok)
    columns["confidence"] = rows.confidence.fillna(0).to_numpy("float32")
    # An item without any row has nobody's word: it is not accepted.
    columns["accepted"] = rows.accepted.eq(True).to_numpy(dtype=bool)
    assignments = pd.DataFrame(columns)[assignments_schema(num_levels).names]

    kept = {
        node
        for path, reason in zip(paths, reasons, strict=True)
        if not reason
        for node in path.values()
    }
    upper = resolution.nodes[resolution.nodes.node_id.isin(kept)]
    leaves = pd.DataFrame(
        {
            "node_id": assignments.item_id[ok],
            "level": 0,
            "name": assignments.name[ok],
            "parent_id": _or_none(parent, parent != "")[ok],
            "qid": None,
        }
    )
    nodes = pd.concat([leaves.astype(object), upper.astype(object)])[SCHEMAS["nodes"].names]
    nodes = nodes.sort_values(["level", "node_id"], ignore_index=True).astype({"level": "int8"})
    return nodes, assignments, _report(assignments, nodes, resolution)


def _or_none(values: Any, given: Any) -> Any:
    """`values` where `given`, else None."""
    found = values.copy()
    found[~given] = None
    return found


def _paths(
    used: Any, known: KnownNodes, resolution: Resolution
) -> tuple[list[dict[int, str]], list[str]]:
    """For each parent in use its path by level, and why it leads nowhere ("" if it does)."""
    node_rows = resolution.rows[resolution.rows.level > 1]
    status = dict(zip(node_rows.subject, node_rows.status, strict=True))
    paths, reasons = [], []
    for node in used:
        path = known.path(node)
        paths.append({known.level[step]: step for step in path})
        if path and known.level[path[-1]] == known.top:
            reasons.append("")
        else:
            stuck = status.get(path[-1], NO_PLACE) if path else NO_PLACE
            reasons.append(stuck if stuck != "proposed" else NO_PLACE)
    return paths, reasons


def _report(
    assignments: pd.DataFrame, nodes: pd.DataFrame, resolution: Resolution
) -> dict[str, Any]:
    labelled = assignments.status == LABELLED

    def counts(values: pd.Series) -> dict[Any, int]:
        return {key: int(n) for key, n in values.value_counts().sort_index().items()}

    empty = resolution.nodes[~resolution.nodes.node_id.isin(nodes.node_id)]
    return {
        "items": len(assignments),
        "labelled": int(labelled.sum()),
        "set_aside": counts(assignments.status[~labelled]),
        "accepted": int((labelled & assignments.accepted).sum()),
        "open": int((~assignments.accepted & (assignments.status != NOT_PROPOSED)).sum()),
        "origin": counts(assignments.origin[labelled]),
        "nodes": {str(level): n for level, n in counts(nodes.level).items()},
        "empty_nodes": {str(level): n for level, n in counts(empty.level).items()},
        "review": resolution.report,
    }
