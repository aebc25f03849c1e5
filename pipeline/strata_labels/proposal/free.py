"""Vocabulary-free proposals: nodes found by clustering, each of which a person reviews.

What is accepted without review rests on given labels alone: the purity of a node is estimated from
its labelled items. Vectors cannot tell how pure the nodes are that were made of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from strata_labels.evidence import Alternative, Evidence, Reason, evidence_hash
from strata_labels.proposal.clusters import find_nodes
from strata_labels.proposal.rows import proposal_row, proposal_table

NEIGHBOURS = 10
# Neighbours are looked for among at most this many items, evenly taken.
MOST_REFERENCES = 10_000
# A node's purity is drawn towards that of all nodes, as if so many more of its items had labels.
# Chosen on seeds 100 to 119 of benchmarks/clusters.py.
PRIOR_ITEMS = 1.0


def propose_free(
    items: pd.DataFrame,
    vectors: np.ndarray,
    sizes: Sequence[int],
    given: Sequence[Sequence[str]],
    target: float = 1.0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Proposals into nodes of their own making.

    An item's confidence is the least purity of the nodes on its path, as estimated from their items
    with a given label. It is accepted if every node on the path has such an estimate, above the
    target, and its own labels are the commonest of these nodes. If no node has an estimate, the
    confidence is the share of its ten nearest items that hang under the same level-2 node, which is
    not calibrated. Every node waits for a person to name, merge or keep it. Items without a vector
    wait without a proposal.

    Args:
        items: `item_id, name, qualifier, image_ids`.
        vectors: finite vectors of the items, zeros for one that has none, `[n, d]`.
        sizes: number of nodes at levels 1, 2, ..., falling.
        given: for each of these levels a given label of each item, "" for none, `[n]`. Nodes are
            named from those of level 1 too.
        target: purity above which no review is needed.

    Returns:
        `proposals`, as `propose` gives them, and the nodes (`node_id, level, name, parent_id,
        qid`).
    """
    known = vectors.any(axis=1)
    without, items = items.iloc[np.flatnonzero(~known)], items.iloc[np.flatnonzero(known)]
    labels = np.array(given, dtype=object).T[known]
    vectors = vectors[known]
    # A name that is only the id says nothing.
    own = [
        "" if item.endswith(f"/{name}") else name
        for item, name in zip(items["item_id"], items["name"], strict=True)
    ]
    texts = np.where(labels[:, 0] == "", own, labels[:, 0])
    nodes, membership = find_nodes(items["item_id"].tolist(), texts.tolist(), vectors, sizes)
    purity = [_purity(*columns) for columns in zip(membership.T, labels.T, strict=True)]
    nearest = _nearest_nodes(nodes, membership, vectors)
    share = _neighbours_agree(items["item_id"], vectors, membership[:, min(1, len(sizes) - 1)])
    found = [Reason("found_by_clustering")]
    rows = [
        proposal_row(
            node, level + 1, parent or None, "text", fingerprint=evidence_hash(subject=node),
            confidence=0.5, margin=0.0, accepted=False, reasons=found,
            evidence=[Evidence("cluster", node, float(size)), *purity[level - 1].evidence(node)],
            alternatives=[Alternative(nearest[node])] if node in nearest else [],
        )
        for node, level, parent, size in zip(
            nodes["node_id"], nodes["level"], nodes["parent_id"], nodes["size"], strict=True
        )
    ]  # fmt: skip
    parent_of = dict(zip(nodes["node_id"], nodes["parent_id"], strict=True))
    for item, name, qualifier, images, path, agree, of_item in zip(
        items["item_id"], items["name"], items["qualifier"].fillna(""), items["image_ids"],
        membership.tolist(), share.tolist(), labels.tolist(), strict=True,
    ):  # fmt: skip
        same = parent_of[path[0]] or path[0]
        shares = [pure.share.get(node) for pure, node in zip(purity, path, strict=True)]
        estimated = [share for share in shares if share is not None]
        confidence = min(estimated, default=agree)
        least = shares.index(confidence) if estimated else 0
        fits = all(
            label in ("", pure.label.get(node, ""))
            for pure, node, label in zip(purity, path, of_item, strict=True)
        )
        accepted = None not in shares and confidence > target and fits
        elsewhere = [Reason("neighbours_elsewhere")] if agree < 1 else []
        rows.append(
            proposal_row(
                item, 1, path[0], "text", fingerprint=_mark(name, qualifier, images),
                confidence=confidence, margin=confidence, accepted=accepted,
                evidence=[
                    Evidence("neighbours", same, round(agree, 2)),
                    *purity[least].evidence(path[least]),
                ],
                reasons=elsewhere if accepted else [Reason("low_confidence"), *elsewhere],
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


@dataclass(frozen=True)
class _Purity:
    """What the labelled items say of nodes; a node without one is in neither mapping.

    Attributes:
        share: estimated share of items that have the node's commonest label.
        label: that label.
    """

    share: dict[str, float]
    label: dict[str, str]

    def evidence(self, node: str) -> list[Evidence]:
        if node not in self.share:
            return []
        return [Evidence("purity", node, round(self.share[node], 2), self.label[node])]


def _purity(node: np.ndarray, label: np.ndarray) -> _Purity:
    """Estimates the purity of the nodes of one level.

    Each labelled item is held against the commonest label of the *other* labelled items of its
    node; a node's share of hits is drawn towards that of all nodes (a beta prior's mean).

    Args:
        node: of each item, `[n]`.
        label: of each item, "" for none, `[n]`.
    """
    counts = pd.crosstab(node[label != ""], label[label != ""])
    table = counts.to_numpy()
    total = table.sum(axis=1)
    ranked = np.sort(table, axis=1)
    most = ranked[:, -1] if table.size else np.zeros(0)
    second = ranked[:, -2] if table.size and table.shape[1] > 1 else np.zeros(len(total))
    # Without itself, an item of the commonest label may meet a draw, which is half a hit.
    hits = most * (np.sign(most - 1 - second) + 1) / 2
    others = total > 1
    # One item more that missed: few labels say little of all nodes.
    overall = hits[others].sum() / (total[others].sum() + 1.0)
    hits = np.where(others, hits, 0)
    size = np.where(others, total, 0)
    share = (hits + PRIOR_ITEMS * overall) / (size + PRIOR_ITEMS)
    names = counts.columns[table.argmax(axis=1)] if table.size else []
    return _Purity(
        dict(zip(counts.index, share.tolist(), strict=True)),
        dict(zip(counts.index, names, strict=True)),
    )


def _nearest_nodes(
    nodes: pd.DataFrame, membership: np.ndarray, vectors: np.ndarray
) -> dict[str, str]:
    """For each node the one of its level whose mean vector is nearest."""
    nearest: dict[str, str] = {}
    for level in range(membership.shape[1]):
        codes, ids = pd.factorize(membership[:, level], sort=True)
        if len(ids) < 2:
            continue
        means = np.zeros((len(ids), vectors.shape[1]))
        np.add.at(means, codes, vectors)
        means /= np.bincount(codes)[:, None]
        from sklearn.neighbors import NearestNeighbors

        search = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(means)
        found = search.kneighbors(means, return_distance=False)
        other = np.where(found[:, 0] == np.arange(len(ids)), found[:, 1], found[:, 0])
        nearest |= dict(zip(ids, ids[other], strict=True))
    return nearest


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
