"""Vocabulary-free proposals: nodes found by clustering, each asked about before its items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from strata_labels.proposal.clusters import find_nodes
from strata_labels.proposal.ids import evidence_hash
from strata_labels.proposal.propose import COLUMNS

NEIGHBOURS = 10
# Neighbours are looked for among at most this many items, evenly taken.
MOST_REFERENCES = 10_000


def propose_free(
    items: pd.DataFrame, vectors: np.ndarray, sizes: Sequence[int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Proposals into nodes of their own making.

    Nothing is known that a confidence could be calibrated on. An item's is the share of its ten
    nearest items that hang under the same level-2 node, and an item is accepted where all do; every
    node waits for a person to name, merge or keep it.

    Args:
        items: `item_id, name, qualifier, image_ids`.
        vectors: finite vectors of the items, `[n, d]`.
        sizes: number of nodes at levels 1, 2, ..., falling.

    Returns:
        `proposals`, as `propose` gives them, and the nodes (`node_id, level, name, parent_id,
        qid`).
    """
    nodes, membership = find_nodes(
        items["item_id"].tolist(), items["name"].tolist(), vectors, sizes
    )
    share = _neighbours_agree(items["item_id"], vectors, membership[:, min(1, len(sizes) - 1)])
    rows = [
        (f"{level + 1}:{node}", node, level + 1, "proposed", parent, "text", 0.5, 0.0, False,
         f"{size} items found alike", "found_by_clustering", parent, "", evidence_hash(node))
        for node, level, parent, size in zip(
            nodes["node_id"], nodes["level"], nodes["parent_id"], nodes["size"], strict=True
        )
        if parent
    ]  # fmt: skip
    for item, name, qualifier, images, node, agree in zip(
        items["item_id"], items["name"], items["qualifier"].fillna(""), items["image_ids"],
        membership[:, 0], share, strict=True,
    ):  # fmt: skip
        said = f"{agree:.0%} of its nearest items are under the same node"
        reasons = "" if agree == 1.0 else "neighbours_elsewhere"
        mark = evidence_hash(name, qualifier, "", [], sorted(images))
        rows.append(
            (f"1:{item}", item, 1, "proposed", node, "text", agree, agree, agree == 1.0, said,
             reasons, node, "", mark)
        )  # fmt: skip
    table = pd.DataFrame(rows, columns=COLUMNS).astype(
        {"level": np.int8, "confidence": np.float32, "margin": np.float32, "accepted": bool}
    )
    table = table.sort_values(["level", "subject"], ascending=[False, True], ignore_index=True)
    nodes = nodes.assign(qid=None, parent_id=nodes["parent_id"].replace("", None))
    return table, nodes[["node_id", "level", "name", "parent_id", "qid"]]


def _neighbours_agree(ids: pd.Series, vectors: np.ndarray, node: np.ndarray) -> np.ndarray:
    """Share of each item's nearest other items that are under its node, `[n]`."""
    by_id = np.argsort(ids.to_numpy(dtype=str), kind="stable")
    step = -(-len(by_id) // MOST_REFERENCES)
    reference = by_id[::step]
    count = min(NEIGHBOURS, len(reference) - 1)
    if count < 1:
        return np.ones(len(ids))
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=count + 1, algorithm="brute").fit(vectors[reference])
    found = reference[search.kneighbors(vectors, return_distance=False)]
    other = found != np.arange(len(ids))[:, None]
    # Of the count + 1 found, the item itself is left out; where it is none of them, the last is.
    other[other.all(axis=1), -1] = False
    same = node[found] == node[:, None]
    return (same & other).sum(axis=1) / count
