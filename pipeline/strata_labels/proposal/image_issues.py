"""Images that do not look like the other images of their item, or look more like another node."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from strata_labels.proposal.signals import CentredVectors

#: How much nearer another node has to be, as a difference of cosines of centred vectors.
#: Chosen on the grocery photographs with an even `fine_id` (see benchmarks/strangers.py).
MARGIN = 0.2
_DECIMALS = 4
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class NodeCentres:
    """Where the nodes lie among image vectors.

    Attributes:
        origin: what all items have in common, `[d]`.
        vectors: unit mean of the centred vectors of each node's items, `[K, d]`; a row of zeros for
            a node without any.
    """

    origin: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, items: np.ndarray, node: np.ndarray, num_nodes: int) -> NodeCentres:
        """From item vectors `[n, d]`, rows of zeros for none, and each item's node, -1 for none."""
        centred = CentredVectors(items)
        sums = np.zeros((num_nodes, items.shape[1]), np.float32)
        placed = items.any(axis=1) & (node >= 0)
        np.add.at(sums, node[placed], centred.items[placed])
        return cls(centred.origin, _unit(sums))


@dataclass(frozen=True)
class ImageSimilarities:
    """How images compare with their item and with other nodes.

    Attributes:
        own: cosine to the mean of the item's other images that are alike, `[items, n]`.
        other: index of the other node whose centre is nearest, -1 for none, `[items, n]`.
        to_other: cosine to it, `[items, n]`.
    """

    own: np.ndarray
    other: np.ndarray
    to_other: np.ndarray

    @property
    def like_other(self) -> np.ndarray:
        """Images that look more like another node than like their item, boolean `[items, n]`."""
        return np.asarray((self.other >= 0) & (self.to_other >= self.own + MARGIN))


def image_similarities(
    vectors: np.ndarray, alike: np.ndarray, node: np.ndarray, centres: NodeCentres
) -> ImageSimilarities:
    """Compares the images of items that have n of them each.

    Args:
        vectors: unit vectors, `[items, n, d]`, n at least 3.
        alike: which images are like the item's others, boolean `[items, n]`, at least 2 of each.
        node: the items' nodes, -1 for none: such an item is not compared with nodes, `[items]`.
        centres: of the nodes.
    """
    items, count, dim = vectors.shape
    moved = _unit(vectors - centres.origin)
    kept = np.where(alike[:, :, None], moved, 0)
    others = _unit(kept.sum(axis=1, keepdims=True) - kept)
    own = np.einsum("ind,ind->in", moved, others).ravel().round(_DECIMALS)
    other = np.full(items * count, -1)
    to_other = np.full(items * count, -1.0, np.float32)
    flat, of_image = moved.reshape(-1, dim), np.repeat(node, count)
    has_items = centres.vectors.any(axis=1)
    for start in range(0, len(flat), _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(flat)))
        rows = rows[of_image[rows] >= 0]
        near = flat[rows] @ centres.vectors.T
        near[:, ~has_items] = -np.inf
        near[np.arange(len(rows)), of_image[rows]] = -np.inf
        if near.size:
            best = near.round(_DECIMALS).argmax(axis=1)
            value = near[np.arange(len(rows)), best]
            found = np.isfinite(value)
            other[rows[found]] = best[found]
            to_other[rows[found]] = value[found].round(_DECIMALS)
    shape = (items, count)
    return ImageSimilarities(own.reshape(shape), other.reshape(shape), to_other.reshape(shape))


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-9), dtype=np.float32)
