"""Vocabulary-free proposals: nodes found by clustering; a person reviews each of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from strata_labels.evidence import Evidence, Reason, evidence_hash
from strata_labels.proposal.clusters import find_nodes
from strata_labels.proposal.propose import proposal_row, proposal_table

NEIGHBOURS = 10
# Neighbours are looked for among at most this many items, evenly taken.
MOST_REFERENCES = 10_000


def propose_free(
    items: pd.DataFrame, vectors: np.ndarray, sizes: Sequence[int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Proposals into nodes of their own making.

    Nothing is known that a confidence could be calibrated on. An item's is the share of its ten
    nearest items that hang under the same level-2 node, and an item is accepted where all do; every
    node waits for a person to name, merge or keep it. Items without a vector wait without a
    proposal.

    Args:
        items: `item_id, name, qualifier, image_ids`.
        vectors: finite vectors of the items, zeros for one that has none, `[n, d]`.
        sizes: number of nodes at levels 1, 2, ..., falling.

    Returns:
        `proposals`, as `propose` gives them, and the nodes (`node_id, level, name, parent_id,
        qid`).
    """
    known = vectors.any(axis=1)
    without, items = items.iloc[np.flatnonzero(~known)], items.iloc[np.flatnonzero(known)]
    vectors = vectors[known]
    nodes, membership = find_nodes(
        items["item_id"].tolist(), items["name"].tolist(), vectors, sizes
    )
    share = _neighbours_agree(items["item_id"], vectors, membership[:, min(1, len(sizes) - 1)])
    found = [Reason("found_by_clustering")]
    rows = [
        proposal_row(
            node, level + 1, parent, "text", fingerprint=evidence_hash(subject=node),
            confidence=0.5, margin=0.0, accepted=False, reasons=found,
            evidence=[Evidence("cluster", node, float(size))],
        )
        for node, level, parent, size in zip(
            nodes["node_id"], nodes["level"], nodes["parent_id"], nodes["size"], strict=True
        )
        if parent
    ]  # fmt: skip
    parent_of = dict(zip(nodes["node_id"], nodes["parent_id"], strict=True))
    for item, name, qualifier, images, node, agree in zip(
        items["item_id"], items["name"], items["qualifier"].fillna(""), items["image_ids"],
        membership[:, 0], share.tolist(), strict=True,
    ):  # fmt: skip
        same = parent_of[node] or node
        rows.append(
            proposal_row(
                item, 1, node, "text", fingerprint=_mark(name, qualifier, images),
                confidence=agree, margin=agree, accepted=agree == 1.0,
                evidence=[Evidence("neighbours", same, round(agree, 2))],
                reasons=[] if agree == 1.0 else [Reason("neighbours_elsewhere")],
            )
        )  # fmt: skip
    for item, name, qualifier, images in zip(
        without["item_id"], without["name"], without["qualifier"].fillna(""), without["image_ids"],
        strict=True,
    ):  # fmt: skip
        rows.append(
            proposal_row(
                item, 1, None, "", fingerprint=_mark(name, qualifier, images), confidence=0.0,
                margin=0.0, accepted=False, status="no_evidence", reasons=[Reason("no_evidence")],
            )
        )  # fmt: skip
    table = proposal_table(rows)
    table = table.sort_values(["level", "subject"], ascending=[False, True], ignore_index=True)
    nodes = nodes.assign(qid=None, parent_id=nodes["parent_id"].replace("", None))
    return table, nodes[["node_id", "level", "name", "parent_id", "qid"]]


def _mark(name: str, qualifier: str, images: Sequence[str]) -> str:
    return evidence_hash(
        name=name, qualifier=qualifier, entity="", classes=[], images=sorted(images)
    )


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
