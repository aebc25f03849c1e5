"""Makes the tables `nodes` and `assignments` from items and decided proposals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from strata_labels.evidence import has_reason
from strata_labels.tables import LABELLED, OUTSIDE, SCHEMAS, assignments_schema
from strata_labels.tree.label_tree import LabelTree

#: Statuses that no stage gave: no row at level 1, and a class that leads to no top node.
NOT_PROPOSED, NO_PLACE = "not_proposed", "no_place"


def tree_tables(
    items: pd.DataFrame,
    rows: pd.DataFrame,
    tree: LabelTree,
    path_confidence: pd.DataFrame | None = None,
    num_levels: int | None = None,
    made: Iterable[str] = (),
    text: Mapping[str, str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Assembles the tables of a tree.

    A node is in the tree if it has an item below, or if people have made it; other nodes without
    items are counted, not kept. An
    item whose class has no place has the class's status and no label; one outside of all nodes has
    a path too, its best guess.

    Args:
        items: the table `items`, ids unique.
        rows: proposals after the decisions, `subject, level, parent, status, origin, confidence,
            accepted, reasons`.
        tree: all nodes after the decisions.
        path_confidence: the table of that name. It holds for items whose parent is the proposed
            one; of others each level is as sure as the row.
        num_levels: number of levels, the item's own included; by default those that have nodes.
        made: nodes that people have made. Only those below a top node are kept.
        text: what people wrote of nodes, by id.

    Returns:
        `nodes` (contract `SCHEMAS["nodes"]`; labelled items are level 0), `assignments`
        (`assignments_schema`, one row for every item, by split and source id) and a report:
        `items = labelled + sum(set_aside)`, `accepted` labels and `open` items, labels by `origin`,
        `nodes` and `empty_nodes` by level.
    """
    num_levels = tree.top + 1 if num_levels is None else num_levels
    of_nodes = rows[rows.level > 1]
    order = items.sort_values(["dataset", "split", "source_id", "item_id"], kind="stable")
    rows = rows[rows.level == 1].set_index("subject").reindex(order.item_id)
    parent = rows.parent.fillna("").to_numpy(dtype=object)
    status = rows.status.fillna(NOT_PROPOSED).to_numpy(dtype=object)

    codes, used = pd.factorize(pd.Series(parent, dtype=object))
    paths, reasons = _paths(used, tree, of_nodes)
    ok = np.array([reason == "" for reason in reasons], dtype=bool)[codes]
    reason = np.array(reasons, dtype=object)[codes]
    if num_levels == 1:
        # There is no node above the items: every item is a top node.
        ok, reason = np.ones(len(order), dtype=bool), np.full(len(order), "", dtype=object)
    # An item that is unlike every node has the best guess as its path, and is not in the tree.
    outside = ok & (status == OUTSIDE)
    status = np.where(ok, LABELLED, np.where((parent != "") & (reason != ""), reason, status))
    status[outside] = OUTSIDE
    labelled = ok & ~outside

    columns: dict[str, Any] = {
        "item_id": order.item_id.to_numpy(),
        "split": order.split.to_numpy(),
        "name": order.name.to_numpy(),
        "status": status,
    }
    names = {**tree.name, "": None}
    for level in range(1, num_levels):
        ids = np.array([path.get(level, "") for path in paths], dtype=object)[codes]
        ids = np.where(ok, ids, "")
        unique = pd.factorize(ids)
        columns[f"level{level}_id"] = _or_none(ids, ids != "")
        columns[f"level{level}_name"] = np.array([names[node] for node in unique[1]], object)[
            unique[0]
        ]
    sure, accepted = _sure(order.item_id, rows, path_confidence, num_levels)
    blank = _blank_levels(paths, of_nodes, num_levels)[codes]
    sure, accepted = np.where(blank, 0.0, sure), accepted & ~blank
    # A level counts only if all above it do.
    accepted = np.logical_and.accumulate(accepted[:, ::-1], axis=1)[:, ::-1]
    named = [pd.notna(columns[f"level{level}_id"]) for level in range(1, num_levels)]
    given = np.column_stack([np.zeros(len(order), dtype=bool), *named])
    for level in range(1, num_levels):
        columns[f"level{level}_confidence"] = np.where(given[:, level], sure[:, level], np.nan)
    reached = accepted & given
    finest = pd.array(reached.argmax(axis=1), dtype="Int8")
    finest[~reached.any(axis=1)] = pd.NA
    columns["accepted_level"] = finest
    columns["origin"] = _or_none(rows.origin.to_numpy(dtype=object), ok)
    columns["confidence"] = rows.confidence.fillna(0).to_numpy("float32")
    # An item without a row is not accepted.
    columns["accepted"] = rows.accepted.eq(True).to_numpy(dtype=bool) & ~blank.any(axis=1)
    assignments = pd.DataFrame(columns)[assignments_schema(num_levels).names]

    kept = {node for code in np.unique(codes[labelled]) for node in paths[code].values()}
    paths_made = [path for node in made if tree.level[(path := tree.path(node))[-1]] == tree.top]
    kept |= {node for path in paths_made for node in path}
    known = tree.nodes()
    upper, empty = known[known.node_id.isin(kept)], known[~known.node_id.isin(kept)]
    leaves = pd.DataFrame(
        {
            "node_id": assignments.item_id[labelled],
            "level": 0,
            "name": assignments.name[labelled],
            "parent_id": _or_none(parent, parent != "")[labelled],
            "qid": None,
        }
    )
    nodes = pd.concat([leaves.astype(object), upper.astype(object)])
    nodes["description"] = [(text or {}).get(node) for node in nodes.node_id]
    nodes = nodes[SCHEMAS["nodes"].names]
    nodes = nodes.sort_values(["level", "node_id"], ignore_index=True).astype({"level": "int8"})
    return nodes, assignments, _report(assignments, nodes, empty)


def _sure(
    ids: pd.Series, rows: pd.DataFrame, found: pd.DataFrame | None, num_levels: int
) -> tuple[Any, Any]:
    """Each item's confidence at each level, and whether that needs no review, `[n, num_levels]`."""
    confidence = rows.confidence.fillna(0).to_numpy(dtype="float32")
    sure = np.repeat(confidence[:, None], num_levels, axis=1)
    accepted = np.repeat(rows.accepted.eq(True).to_numpy(dtype=bool)[:, None], num_levels, axis=1)
    if found is None or found.empty:
        return sure, accepted
    # What people decided is as sure as their decision.
    kept = ids[(rows.get("state", pd.Series("", rows.index)) != "settled").to_numpy()]
    place = pd.Index(ids.to_numpy()).get_indexer(pd.Index(found.item_id))
    mine = (place >= 0) & found.item_id.isin(set(kept)).to_numpy()
    level = found.level.to_numpy()
    sure[place[mine], level[mine]] = found.confidence.to_numpy()[mine]
    accepted[place[mine], level[mine]] |= found.accepted.to_numpy()[mine]
    return sure, accepted


def _blank_levels(paths: list[dict[int, str]], rows: pd.DataFrame, num_levels: int) -> Any:
    """Levels of each path at which a node stands for a label that is asked for, `[P, levels]`."""
    still_open = rows[~rows.accepted.eq(True)]
    still_open = still_open[has_reason(still_open.reasons, "no_parent")]
    nearest = {
        subject: next(reason.node for reason in reasons if reason.kind == "no_parent")
        for subject, reasons in zip(still_open.subject, still_open.reasons, strict=True)
    }
    found = np.zeros((len(paths), num_levels), dtype=bool)
    for n, path in enumerate(paths):
        level_of = {node: level for level, node in path.items()}
        for node in nearest.keys() & level_of.keys():
            found[n, level_of[node] + 1 : level_of.get(nearest[node], num_levels)] = True
    return found


def _or_none(values: Any, given: Any) -> Any:
    """`values` where `given`, else None."""
    found = values.copy()
    found[~given] = None
    return found


def _paths(
    used: Any, tree: LabelTree, rows: pd.DataFrame
) -> tuple[list[dict[int, str]], list[str]]:
    """For each parent in use its path by level, and why it leads to no top node ("" if it does)."""
    status = dict(zip(rows.subject, rows.status, strict=True))
    paths, reasons = [], []
    for node in used:
        path = tree.path(node)
        paths.append({tree.level[step]: step for step in path})
        if path and tree.level[path[-1]] == tree.top:
            reasons.append("")
        else:
            reason = status.get(path[-1], NO_PLACE) if path else NO_PLACE
            reasons.append(reason if reason != "proposed" else NO_PLACE)
    return paths, reasons


def _report(assignments: pd.DataFrame, nodes: pd.DataFrame, empty: pd.DataFrame) -> dict[str, Any]:
    labelled = assignments.status == LABELLED

    def counts(values: pd.Series) -> dict[Any, int]:
        return {key: int(n) for key, n in values.value_counts().sort_index().items()}

    return {
        "items": len(assignments),
        "labelled": int(labelled.sum()),
        "set_aside": counts(assignments.status[~labelled]),
        "accepted": int((labelled & assignments.accepted).sum()),
        "open": int((~assignments.accepted & (assignments.status != NOT_PROPOSED)).sum()),
        "origin": counts(assignments.origin[labelled]),
        "nodes": {str(level): n for level, n in counts(nodes.level).items()},
        "empty_nodes": {str(level): n for level, n in counts(empty.level).items()},
    }


def tree_of_assignments(assignments: pd.DataFrame) -> LabelTree:
    """The tree that a table `assignments` describes, items included, without Wikidata ids."""
    levels = sorted(
        int(match[1])
        for name in assignments
        if (match := re.fullmatch(r"level(\d{1,3})_id", str(name)))
    )
    labelled = assignments[assignments.status == LABELLED]
    own, name = labelled.item_id, labelled.name
    # From the top down, so that `above` is the nearest node above that a row has.
    above = pd.Series("", labelled.index, dtype=object)
    parts = []
    for level in reversed(levels):
        ids = labelled[f"level{level}_id"]
        cells = {"node_id": ids, "level": level, "name": labelled[f"level{level}_name"]}
        part = pd.DataFrame({**cells, "parent_id": above})[ids.notna()]
        parts.append(part.drop_duplicates("node_id"))
        above = ids.astype(object).where(ids.notna(), above)
    items = {"node_id": own, "level": 0, "name": name, "parent_id": above}
    return LabelTree.from_nodes(pd.concat([pd.DataFrame(items), *parts[::-1]]))
