"""A level found inside published nodes: items grouped by their pictures, node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from strata_labels.evidence import Alternative, Evidence, Reason, evidence_hash
from strata_labels.proposal.rows import DECIMALS, NUM_ALTERNATIVES, proposal_row, proposal_table

# Set by hand, in round numbers: below this silhouette a node is not divided, and it has at most so
# many kinds.
LEAST_SILHOUETTE, MOST_KINDS = 0.1, 40
RESAMPLINGS, SAMPLED = 20, 0.8
# Distances among many items are taken along so many principal axes.
MOST_AXES = 64


@dataclass(frozen=True)
class Kinds:
    """Groups of n items.

    Attributes:
        kind: number of each item's group, from 0 in the order of the items, `[n]`.
        shares: how often each item falls into each group when a fifth of the items is left out and
            the rest is grouped anew, `[n, K]`, rows sum to 1.
        medoid: the item nearest to all others of each group, `[K]`.
    """

    kind: np.ndarray
    shares: np.ndarray
    medoid: np.ndarray


@dataclass(frozen=True)
class Candidates:
    """Names that found nodes may take, with their vectors in the images' space.

    Attributes:
        parent: name of the node each is for, `[m]`.
        name: the names, `[m]`.
        vectors: unit text vectors, `[m, d]`.
        images: image vectors of the n items in the same space, `[n, d]`.
        logit_scale: the model's inverse temperature.
    """

    parent: Sequence[str]
    name: Sequence[str]
    vectors: np.ndarray
    images: np.ndarray
    logit_scale: float


def find_kinds(vectors: np.ndarray) -> Kinds:
    """Groups items by Ward's linkage (Ward 1963), as many groups as tell themselves apart best.

    The number is the one of the largest mean silhouette (Rousseeuw 1987), cosine distance, among 2
    to half the items; one group where even that is small. How stable each item's group is comes
    from consensus over resamplings (Monti et al. 2003).

    Args:
        vectors: `[n, d]`, finite, in the order of lasting ids.
    """
    if len(vectors) > MOST_AXES < vectors.shape[1]:
        from sklearn.decomposition import PCA

        vectors = PCA(MOST_AXES, svd_solver="full").fit_transform(vectors)
    kind = _cut(vectors, _number(vectors))
    shares = _shares(vectors, kind)
    medoid = []
    for number in range(kind.max() + 1):
        members = np.flatnonzero(kind == number)
        medoid.append(members[_distances(vectors[members]).sum(axis=1).argmin()])
    return Kinds(kind, shares, np.array(medoid))


def propose_within(
    items: pd.DataFrame,
    parents: Sequence[str],
    names: Mapping[str, str],
    vectors: np.ndarray,
    target: float,
    candidates: Candidates | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Proposes a found node (level 1) for each item below its published one (level 2).

    An item's confidence is how stable its group is under resampling. A found node is named from
    candidates where there are any for its parent, each used once, by the softmax over the mean
    similarity of its items, and accepted if that is sure; else after its most typical item, and
    then a person is asked to name it. Its id comes from that item: it lasts while that stays the
    most typical one.

    Args:
        items: `item_id, name, qualifier, image_ids`.
        parents: node each item is published under, `[n]`.
        names: names of these nodes.
        vectors: image vectors `[n, d]`, rows of NaN where there is none: such an item is placed
            right below its parent, and its row is open for review.
        target: confidence from which no review is needed.
        candidates: names with vectors; only of an encoder whose towers are aligned.

    Returns:
        `proposals` of items and found nodes, and the found nodes (`node_id, level, name, parent_id,
        qid`), sorted.
    """
    seen = ~np.isnan(vectors).any(axis=1)
    # What all pictures have in common says nothing of their differences.
    centred = vectors - vectors[seen].mean(axis=0) if seen.any() else vectors
    centred = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    ids = items["item_id"].to_numpy(dtype=str)
    titles = items["name"].tolist()
    images = [sorted(found) for found in items["image_ids"]]
    marks = [
        evidence_hash(name=name, qualifier=qualifier, entity="", classes=[], images=found)
        for name, qualifier, found in zip(
            titles, items["qualifier"].fillna(""), images, strict=True
        )
    ]
    of_items: dict[int, tuple[object, ...]] = {}
    of_nodes: list[tuple[object, ...]] = []
    nodes: list[tuple[str, int, str, str, None]] = []
    parent_of = np.asarray(parents, dtype=object)
    for parent in sorted(set(parents)):
        inside = np.flatnonzero((parent_of == parent) & seen)
        inside = inside[np.argsort(ids[inside])]
        published = Evidence("published", parent, ids=(parent,))
        for n in np.flatnonzero((parent_of == parent) & ~seen).tolist():
            of_items[n] = proposal_row(
                str(ids[n]), 1, parent, "published", fingerprint=marks[n], confidence=0.0,
                margin=0.0, accepted=False, evidence=[published], reasons=[Reason("no_image")],
            )  # fmt: skip
        if not len(inside):
            continue
        kinds = find_kinds(centred[inside])
        tail = parent.split("/", 1)[-1]
        keys = [f"1/{tail}/{ids[inside[n]]}" for n in kinds.medoid]
        given = _names(names[parent], inside, kinds.kind, candidates)
        for number, key in enumerate(keys):
            members = inside[kinds.kind == number]
            typical = inside[kinds.medoid[number]]
            name, sure = given.get(number, (f"{names[parent]} like {titles[typical]}", 0.0))
            if len(keys) == 1:
                name, sure = names[parent], 1.0
            image = tuple(images[typical][:1])
            evidence = [Evidence("cluster", key, float(len(members)), titles[typical], ids=image)]
            if number in given:
                evidence.append(Evidence("image_name", key, round(sure, DECIMALS), name))
            reason = "" if sure >= target else "low_confidence" if sure else "name_it"
            nodes.append((key, 1, name, parent, None))
            of_nodes.append(
                proposal_row(
                    key, 2, parent, "image",
                    fingerprint=evidence_hash(members=sorted(ids[members].tolist())),
                    confidence=sure, margin=sure, accepted=sure >= target, evidence=evidence,
                    reasons=[Reason(reason)] if reason else [],
                )
            )  # fmt: skip
        order = np.argsort(-kinds.shares, axis=1, kind="stable")
        for row, n in enumerate(inside.tolist()):
            share, own = kinds.shares[row], kinds.kind[row]
            others = [int(k) for k in order[row] if k != own and share[k] > 0][:NUM_ALTERNATIVES]
            confidence = float(share[own])
            margin = confidence - max((float(share[k]) for k in others), default=0.0)
            of_items[n] = proposal_row(
                str(ids[n]), 1, keys[own], "image", fingerprint=marks[n], confidence=confidence,
                margin=margin, accepted=confidence >= target,
                evidence=[published, Evidence("image", keys[own], round(confidence, DECIMALS))],
                reasons=[] if confidence >= target else [Reason("low_confidence")],
                alternatives=[Alternative(keys[k], round(float(share[k]), 4)) for k in others],
            )  # fmt: skip
    table = proposal_table([*of_nodes, *(of_items[n] for n in sorted(of_items))])
    table = table.sort_values(["level", "subject"], ascending=[False, True], ignore_index=True)
    found = pd.DataFrame(nodes, columns=["node_id", "level", "name", "parent_id", "qid"])
    return table, found.sort_values("node_id", ignore_index=True)


def _distances(vectors: np.ndarray) -> np.ndarray:
    if len(vectors) < 2:
        return np.zeros((1, 1))
    distance = scipy.spatial.distance
    return distance.squareform(distance.pdist(vectors, "cosine"))


def _number(vectors: np.ndarray) -> int:
    # Imported here: what needs none of it need not wait for scikit-learn.
    from sklearn.metrics import silhouette_score

    most = min(len(vectors) // 2, MOST_KINDS)
    if most < 2:
        return 1
    tree = scipy.cluster.hierarchy.linkage(vectors, "ward")
    distances = np.maximum(_distances(vectors), 0.0)
    best, score = 1, LEAST_SILHOUETTE
    for number in range(2, most + 1):
        cut = scipy.cluster.hierarchy.fcluster(tree, number, "maxclust")
        if cut.max() < 2:
            continue
        own = silhouette_score(distances, cut, metric="precomputed")
        if own > score:
            best, score = number, float(own)
    return best


def _cut(vectors: np.ndarray, number: int) -> np.ndarray:
    """Group of each row, numbered in the order of the rows."""
    if number == 1 or len(vectors) < 2:
        return np.zeros(len(vectors), dtype=int)
    tree = scipy.cluster.hierarchy.linkage(vectors, "ward")
    return pd.factorize(scipy.cluster.hierarchy.fcluster(tree, number, "maxclust"))[0]


def _shares(vectors: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """See `Kinds.shares`: an item that is left out falls to the nearest centre."""
    number, rows = kind.max() + 1, np.arange(len(kind))
    votes = np.zeros((len(kind), number))
    if number == 1:
        return votes + 1.0
    random = np.random.default_rng(0)
    for _ in range(RESAMPLINGS):
        some = np.sort(random.permutation(rows)[: max(number, round(SAMPLED * len(rows)))])
        cut = _cut(vectors[some], number)
        groups = range(cut.max() + 1)
        centres = np.stack([vectors[some[cut == group]].mean(axis=0) for group in groups])
        # A new group stands for the old one that most of its members are of.
        old = np.array([np.bincount(kind[some[cut == group]]).argmax() for group in groups])
        fallen = ((vectors[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        fallen[some] = cut
        votes[rows, old[fallen]] += 1
    return votes / RESAMPLINGS


def _names(
    parent: str, items: np.ndarray, kind: np.ndarray, candidates: Candidates | None
) -> dict[int, tuple[str, float]]:
    """A name and its probability for the groups that candidates were found for."""
    if candidates is None:
        return {}
    own = [n for n, above in enumerate(candidates.parent) if above == parent]
    if not own:
        return {}
    vectors = candidates.images[items]
    means = np.stack([vectors[kind == k].mean(axis=0) for k in range(kind.max() + 1)])
    scores = scipy.special.softmax(
        candidates.logit_scale * means @ candidates.vectors[own].T, axis=1
    )
    pairs = zip(*scipy.optimize.linear_sum_assignment(-np.log(scores + 1e-12)), strict=True)
    return {int(k): (candidates.name[own[n]], float(scores[k, n])) for k, n in pairs}
