"""The nodes that items are scored for, and what labels and people say of each item."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from strata_labels.build.label_questions import merged_nodes
from strata_labels.build.settings import BuildSettings
from strata_labels.proposal import Ladder, is_new_node
from strata_labels.review import replay
from strata_labels.tree import LabelTree


@dataclass(frozen=True)
class GivenNodes:
    """What is given of n items.

    Attributes:
        node: index of each item's node at each of S levels, -1 for none, `[n, S]`.
        level: the finest level at which a label was given, counted from the finest, `[n]`; S for
            none. A coarse label that no finer one is given below has its own finest node.
    """

    node: np.ndarray
    level: np.ndarray


def with_merged_nodes(
    decisions: pd.DataFrame, proposals: pd.DataFrame, nodes: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Proposals and nodes with the nodes that people merged in place of their parts."""
    merged = merged_nodes(decisions, proposals, nodes)
    if not merged:
        return proposals, nodes
    kept = nodes[~nodes["node_id"].isin(merged)]
    return (
        proposals.assign(parent=proposals["parent"].replace(merged)),
        kept.assign(parent_id=kept["parent_id"].replace(merged)),
    )


def label_ladder(
    settings: BuildSettings,
    items: pd.DataFrame,
    labels: pd.DataFrame,
    made: set[str],
    proposals: pd.DataFrame,
    nodes: pd.DataFrame,
) -> tuple[Ladder, GivenNodes]:
    """The nodes that labels name or people made, and each item's labels.

    Below a coarse label without any finer one, the node that stands for "unspecified" is the finest
    one: there is nothing finer to propose.
    """
    first = 2 if settings.hierarchy.found else 1
    num_levels = len(settings.hierarchy.levels) - first
    tree = LabelTree.from_nodes(nodes)
    own = proposals[proposals["level"] == 1].set_index("subject")["parent"]
    parent = items["item_id"].map(own).fillna("").tolist()
    lowest = labels[labels["level"] >= first].groupby("item_id")["level"].min()
    given = (items["item_id"].map(lowest) - first).fillna(num_levels).astype(int).to_numpy()
    given = np.where([node != "" for node in parent], given, num_levels)
    steps = given.tolist()
    paths = {node: tree.path(node) for node in {*parent, *nodes["node_id"]} - {""}}
    finest = {node for node, level in zip(parent, steps, strict=True) if node and level == 0}
    named = [{paths[node][step] for node in finest} for step in range(num_levels)]
    by_name = [Counter(tree.name[node] for node in of_level) for of_level in named]

    def is_named(node: str, step: int) -> bool:
        # A coarse label without those above it may be of another lineage by its id alone.
        return node in named[step] or by_name[step][tree.name[node]] == 1

    # A node that people made, or that was proposed and taken up, has no label of the data.
    # Beside nodes with labels only: where it is the one node below its parent, all would go there.
    beside = {tree.parent[node] for node in finest}
    finest |= {
        node
        for node in nodes["node_id"][nodes["level"] == first]
        if is_new_node(node) or (node in made and tree.parent[node] in beside)
    }
    finest |= {
        node
        for node, level in zip(parent, steps, strict=True)
        if 0 < level < num_levels and not is_named(paths[node][level], level)
    }
    ids = [sorted({paths[node][step] for node in finest}) for step in range(num_levels)]
    place = [{node: n for n, node in enumerate(of_level)} for of_level in ids]
    above = [
        np.array([place[step][paths[node][step]] for node in sorted(finest)], dtype=np.int64)
        for step in range(num_levels)
    ]
    of_name: list[dict[str, int]] = [
        {tree.name[node]: place[step][node] for node in of_level}
        for step, of_level in enumerate(named)
    ]
    known = np.full((len(items), num_levels), -1)
    for n, (node, level) in enumerate(zip(parent, steps, strict=True)):
        if level == num_levels:
            continue
        # One that has a finest node of its own is known down to it.
        step = 0 if node in place[0] else level
        one = paths[node][step]
        known[n, step] = place[step].get(one, of_name[step].get(tree.name[one], -1))
    return Ladder(first, ids, above), GivenNodes(known, given)


def with_decisions(
    ladder: Ladder,
    items: pd.DataFrame,
    known: np.ndarray,
    decisions: pd.DataFrame,
    proposals: pd.DataFrame,
    nodes: pd.DataFrame,
) -> tuple[np.ndarray, np.ndarray]:
    """Given labels with those that people decided in their place, and the ledger's line of each."""
    resolution = replay(decisions, proposals, nodes)
    rows = resolution.rows
    rows = rows[(rows["level"] == 1) & (rows["state"] == "settled")].set_index("subject")
    parent = items["item_id"].map(rows["parent"]).fillna("").tolist()
    lines = resolution.effective.drop_duplicates("subject").set_index("subject")
    line = lines.groupby(["file", "row"], sort=False).ngroup().reindex(items["item_id"])
    place = [{node: n for n, node in enumerate(of_level)} for of_level in ladder.ids]
    both = known.copy()
    for n, node in enumerate(parent):
        if not node:
            continue
        path = resolution.tree.path(node)
        both[n] = -1
        for step, of_level in enumerate(place):
            at = next((of_level[one] for one in path if one in of_level), -1)
            if at >= 0:
                both[n, step] = at
                break
    return both, line.fillna(-1).to_numpy(dtype=np.int64)
