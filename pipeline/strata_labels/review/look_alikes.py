"""Groups of open rows that look alike: one answer is likely to be right for most of a group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

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
                near = near[np.sort(np.append(0, chosen))]
            yield near
            left = left[~np.isin(left, near)]


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

    def features(rows: np.ndarray) -> np.ndarray:
        columns: dict[str, int] = {}
        cells = list[tuple[int, int, float]]()
        for m, n in enumerate(rows.tolist()):
            likely = {other.node: other.confidence or 0.0 for other in alternatives[n]}
            for node, share in {**likely, place[n]: float(sure[n])}.items():
                cells.append((m, columns.setdefault(node, len(columns)), share))
        evidence = np.zeros((len(rows), len(columns)))
        for m, column, share in cells:
            evidence[m, column] = np.sqrt(share)
        parts = [evidence]
        for kind in vectors:
            found = np.nan_to_num(np.asarray(kind[at[rows]], dtype=float))
            found -= found.mean(axis=0)
            parts.append(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9))
        return np.hstack(parts)

    return features
