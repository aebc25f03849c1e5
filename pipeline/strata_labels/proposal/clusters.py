"""Vocabulary-free mode: nodes found in the vectors, cut to the asked number at each level."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy

from strata_labels.proposal.lexicon import FUNCTION_WORDS, words

# Ward linkage holds all pairs in memory, so more rows than this are first gathered.
MOST_POINTS = 4_000
NAME_WORDS = 2


def find_nodes(
    item_ids: Sequence[str],
    names: Sequence[str],
    vectors: np.ndarray,
    sizes: Sequence[int],
) -> tuple[pd.DataFrame, np.ndarray]:
    """Hierarchical clustering of items into a tree with `sizes[l]` nodes at each level.

    Ward's linkage on unit vectors (Ward 1963), over at most 4,000 k-means centres where
    there are more items; cuts of one dendrogram, so levels nest. A node is
    named by the words that mark its members off from the others (class-based tf-idf), its id is
    a fingerprint of its members' ids: the same members give the same id, whatever the order.

    Args:
        item_ids: lasting ids, `[n]`.
        names: what nodes are named from, `[n]`.
        vectors: text vectors, image vectors or both side by side, `[n, d]`, finite.
        sizes: number of nodes at levels 1, 2, ..., falling.

    Returns:
        Nodes `node_id, level, name, parent_id, size` (no parent at the last level), sorted, and
        the node id of each item at each level, `[n, len(sizes)]` (object array of str).

    Raises:
        ValueError: sizes do not fall, or there are fewer items than nodes.
    """
    sizes = list(sizes)
    if not sizes or sorted(sizes, reverse=True) != sizes or sizes[-1] < 1:
        raise ValueError(f"sizes must fall from level to level and be positive, got {sizes}")
    if len(item_ids) < sizes[0]:
        raise ValueError(f"{sizes[0]} nodes asked of {len(item_ids)} items")
    # Rows in order of their ids, so that the order of the table has no say.
    order = np.argsort(np.asarray(item_ids, dtype=str), kind="stable")
    points, point_of = _gather(vectors[order])
    of = scipy.cluster.hierarchy
    tree = of.linkage(points, method="ward") if len(points) > 1 else np.empty((0, 4))
    cuts = [of.fcluster(tree, size, criterion="maxclust")[point_of] for size in sizes]
    ids = np.asarray(item_ids, dtype=str)[order]
    texts = np.asarray(names, dtype=object)[order]
    membership = np.empty((len(ids), len(sizes)), dtype=object)
    rows: list[dict[str, object]] = []
    for level, cut in enumerate(cuts, start=1):
        titles = _titles(texts, cut)
        for number in np.unique(cut):
            members = cut == number
            mark = hashlib.sha256("\n".join(ids[members]).encode()).hexdigest()[:12]
            membership[members, level - 1] = f"{level}/c-{mark}"
            rows.append(
                {
                    "node_id": f"{level}/c-{mark}",
                    "level": level,
                    "name": titles[number],
                    "size": int(members.sum()),
                }
            )
    parent = {
        child: above
        for level in range(len(sizes) - 1)
        for child, above in zip(membership[:, level], membership[:, level + 1], strict=True)
    }
    nodes = pd.DataFrame(rows).sort_values(["level", "node_id"]).reset_index(drop=True)
    nodes["parent_id"] = [parent.get(node, "") for node in nodes["node_id"]]
    back = np.empty_like(membership)
    back[order] = membership
    return nodes[["node_id", "level", "name", "parent_id", "size"]], back


def _gather(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most `MOST_POINTS` points, and the point of each row."""
    vectors = vectors.astype(np.float32)
    if len(vectors) <= MOST_POINTS:
        return vectors, np.arange(len(vectors))
    from sklearn.cluster import MiniBatchKMeans

    gathering = MiniBatchKMeans(
        MOST_POINTS, init="random", n_init=1, batch_size=8_192, max_iter=10, random_state=0
    ).fit(vectors)
    kept, point_of = np.unique(gathering.labels_, return_inverse=True)
    return gathering.cluster_centers_[kept], point_of


def _titles(texts: np.ndarray, cut: np.ndarray) -> dict[int, str]:
    """Names of clusters: their most distinctive words, by class-based tf-idf."""
    # Imported here: what needs none of it need not wait for scikit-learn.
    from sklearn.feature_extraction.text import CountVectorizer

    numbers = np.unique(cut)
    counter = CountVectorizer(
        analyzer=lambda text: sorted({w for w in words(text) if w not in FUNCTION_WORDS}),
        min_df=1,
        dtype=np.int32,
    )
    try:
        counts = counter.fit_transform(texts)
    except ValueError:  # no word at all
        return {int(n): f"cluster of {int((cut == n).sum())}" for n in numbers}
    vocabulary = counter.get_feature_names_out()
    total = np.asarray(counts.sum(axis=0)).ravel()
    titles: dict[int, str] = {}
    for number in numbers:
        members = np.flatnonzero(cut == number)
        inside = np.asarray(counts[members].sum(axis=0)).ravel()
        found = np.flatnonzero(inside)
        score = inside[found] / len(members) * np.log1p(len(texts) / total[found])
        best = found[np.lexsort((vocabulary[found], -score))][:NAME_WORDS]
        titles[int(number)] = " / ".join(vocabulary[best]) or f"cluster of {len(members)}"
    return titles
