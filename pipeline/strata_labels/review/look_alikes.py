"""Groups of open rows that look alike: one answer is likely to be right for most of a group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from strata_labels.evidence import Alternative

#: Rows of a group, at most: as many as a person takes in at a glance.
GROUP_SIZE = 10
# Rows among which those of a group are looked for, in groups: the next most doubtful ones.
_REACH = 3


def look_alikes(
    place: np.ndarray,
    score: np.ndarray,
    features: Callable[[np.ndarray], np.ndarray],
    most: int = GROUP_SIZE,
) -> Iterator[np.ndarray]:
    """Cuts rows into groups of one proposed place, about as doubtful, and near in what is known.

    The most doubtful row that is left is joined by those of the next most doubtful ones that are
    most like it, until none is left.

    Args:
        place: the node that each row is proposed for, `[n]` of str.
        score: 0 to 1, 1 is clean, `[n]`.
        features: gives vectors of rows, `[m, d]`, by their positions; see `row_features`.
        most: rows of a group, at most.

    Yields:
        Positions of a group's rows, the most doubtful first. Every row is in one group.
    """
    codes = np.unique(place.astype(str), return_inverse=True)[1]
    order = np.lexsort((np.arange(len(codes)), score, codes))
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    for rows in np.split(order, starts[1:]) if len(order) else []:
        left = rows
        while len(left):
            near = left[: _REACH * most if most > 1 else 1]
            if len(near) > most:
                window = features(near)
                like = window[1:] @ window[0]
                # Ties, as without any vectors, go to the more doubtful row.
                chosen = 1 + np.argsort(-np.round(like, 5), kind="stable")[: most - 1]
                chosen = np.sort(np.append(0, chosen))
                yield near[chosen]
                left = np.delete(left, chosen)
            else:
                yield near
                left = left[len(near) :]


def row_features(
    vectors: Sequence[np.ndarray],
    at: np.ndarray,
    place: np.ndarray,
    sure: np.ndarray,
    alternatives: Sequence[Sequence[Alternative]],
) -> Callable[[np.ndarray], np.ndarray]:
    """What `look_alikes` compares some rows by: each kind of vector, and the evidence.

    Vectors count from the mean of the rows that are compared: what all of them share says nothing.

    Args:
        vectors: of all items, `[num_items, d]` for each kind; NaN where there is none.
        at: position of each row in them, `[n]`.
        place: the place that each row is proposed for, `[n]` of str.
        sure: probability of that place, `[n]`.
        alternatives: the other places of each row with their probabilities, `[n]`.
    """

    # All rows' places in one array, cut by `starts`: most windows of rows are looked at thrice.
    nodes, shares, counts = list[str](), list[float](), list[int]()
    for own, share, others in zip(place.tolist(), sure.tolist(), alternatives, strict=True):
        rest = [other for other in others if other.node != own]
        nodes += [own, *(other.node for other in rest)]
        shares += [share, *(other.confidence or 0.0 for other in rest)]
        counts.append(1 + len(rest))
    codes, values = pd.factorize(np.array(nodes, dtype=object))[0], np.sqrt(shares)
    sizes = np.array(counts, dtype=np.int64)
    starts = np.cumsum(sizes) - sizes

    def features(rows: np.ndarray) -> np.ndarray:
        size = sizes[rows]
        cells = np.arange(size.sum()) + np.repeat(starts[rows] - (np.cumsum(size) - size), size)
        found, column = np.unique(codes[cells], return_inverse=True)
        evidence = np.zeros((len(rows), len(found)))
        evidence[np.repeat(np.arange(len(rows)), size), column] = values[cells]
        parts = [evidence]
        for kind in vectors:
            near = np.nan_to_num(np.asarray(kind[at[rows]], dtype=float))
            near -= near.mean(axis=0)
            parts.append(near / np.maximum(np.linalg.norm(near, axis=1, keepdims=True), 1e-9))
        return np.hstack(parts)

    return features
