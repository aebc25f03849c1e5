"""The classes above each item as a matrix, for learning which of them go with which label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy

# A class counts so much for each level that it is above the item's own. Set by hand, with the
# number of levels: classes farther up are those of nearly everything.
DECAY, MOST_LEVELS = 0.7, 6


def class_chains(
    class_qids: Sequence[Sequence[str]], classes: pd.DataFrame
) -> tuple[scipy.sparse.csr_matrix, list[str]]:
    """The classes of n items and those above them, by the shortest way up.

    Args:
        class_qids: the items' own classes, `[n]`.
        classes: `qid, parent_qids`.

    Returns:
        `DECAY` to the number of levels climbed, float32 `[n, C]`, 0 where a class is not above an
        item; and the C classes, sorted.
    """
    parents = dict(zip(classes["qid"], classes["parent_qids"], strict=True))
    found: dict[tuple[str, ...], dict[str, int]] = {}
    for qids in class_qids:
        key = tuple(sorted(set(qids)))
        if key not in found:
            found[key] = _above(key, parents)
    names = sorted({qid for levels in found.values() for qid in levels})
    column = {qid: n for n, qid in enumerate(names)}
    cells = [
        (row, column[qid], DECAY**level)
        for row, qids in enumerate(class_qids)
        for qid, level in found[tuple(sorted(set(qids)))].items()
    ]
    rows, columns, values = zip(*cells, strict=True) if cells else ((), (), ())
    shape = (len(class_qids), len(names))
    cell_values = np.array(values, np.float32)
    return scipy.sparse.csr_matrix((cell_values, (rows, columns)), shape=shape), names


def _above(qids: Sequence[str], parents: dict[str, Sequence[str]]) -> dict[str, int]:
    """Levels climbed to each class; loops end by themselves."""
    levels: dict[str, int] = {}
    frontier = list(qids)
    for level in range(MOST_LEVELS + 1):
        frontier = [qid for qid in dict.fromkeys(frontier) if qid not in levels]
        levels |= dict.fromkeys(frontier, level)
        frontier = [above for qid in frontier for above in parents.get(qid, ())]
    return levels
