"""Which of an item's images are like the others: the rest is left out of its vector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from strata_labels.embedding.encoder import Floats

#: An image further from the others than this many times the item's median is left out.
#: Chosen on the grocery photographs with an even `fine_id` (see benchmarks/strangers.py).
FURTHER = 1.5
#: Images as near as this, as 1 - cosine, are alike however near the others are.
NEAR = 0.05
#: Of fewer images, none is left out: each is as far from the other as the other from it.
LEAST_IMAGES = 3
_DECIMALS = 5


def alike(vectors: Floats) -> NDArray[np.bool_]:
    """Which images of each item are like the item's other images; at least half of them are.

    An image's distance is the median of 1 - cosine to the other images of its item. It is compared
    with the item's median of these, so how much an item's images vary is taken into account.

    Args:
        vectors: unit vectors of items with n images each, `[items, n, d]`.

    Returns:
        Boolean `[items, n]`.
    """
    items, count, _ = vectors.shape
    if count < LEAST_IMAGES:
        return np.ones((items, count), dtype=bool)
    distance = 1.0 - vectors @ vectors.transpose(0, 2, 1)
    own = np.arange(count)
    distance[:, own, own] = np.inf
    to_others = np.median(np.sort(distance, axis=2)[:, :, :-1], axis=2).round(_DECIMALS)
    usual = np.median(to_others, axis=1, keepdims=True)
    return np.asarray(to_others <= np.maximum(FURTHER * usual, NEAR))
