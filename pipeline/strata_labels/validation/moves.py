"""Computes H-AP as if a node were under another parent, on the same ranking."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from strata_labels.retrieval import agreement, hap

# Pairs of query and gallery image in flight.
_PAIRS = 1 << 22


def blocks(n: int) -> Iterator[slice]:
    """Queries in blocks, so that memory is O(block x n)."""
    size = max(1, _PAIRS // n)
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def scores_of(vectors: Tensor, block: slice) -> Tensor:
    """Cosines `[b, n]` of a block's images with all, their own at minus infinity."""
    scores = vectors[block] @ vectors.T
    rows = torch.arange(block.start, block.stop)
    scores[rows - block.start, rows] = -torch.inf
    return scores


def moved_hap(
    vectors: Tensor,
    labels: Tensor,
    targets: list[Tensor],
    progress: Callable[[int], None] | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """H-AP of every query as the tree is, and as if one node above it had another parent.

    A node is moved for its own queries alone, exactly, on the same ranking; a query without
    positives counts as 0, since a move may give it some.

    Args:
        vectors: `[n, d]` of unit length; each ranks all the others.
        labels: `[n, L]`, nested, column 0 the finest.
        targets: for each column but the last `[n, S]`: where the query's node of that column is
            tried, as a row of `labels` below the new parent; -1 for nowhere.
        progress: called with the number of queries just done.

    Returns:
        `[n]` as it is, and for each column `[n, S]`, NaN where there was nothing to try.
    """
    num_levels = labels.shape[1]
    base = torch.empty(len(labels), dtype=torch.float64)
    moved = [torch.full(rows.shape, torch.nan, dtype=torch.float64) for rows in targets]
    for block in blocks(len(vectors)):
        scores = scores_of(vectors, block)
        # The query itself comes last and is cut off.
        order = scores.argsort(dim=1, descending=True, stable=True)[:, :-1]
        levels = agreement(labels[block], labels)
        base[block] = hap(levels.gather(1, order), num_levels).nan_to_num(0.0)
        for column, rows in enumerate(targets):
            same = labels[block, column][:, None] == labels[None, :, column]
            for slot, below in enumerate(rows[block].T):
                path = labels[below.clamp(min=0), column + 1 :]
                tried = torch.where(same, levels, agreement(path, labels[:, column + 1 :]))
                value = hap(tried.gather(1, order), num_levels).nan_to_num(0.0)
                moved[column][block, slot] = torch.where(below >= 0, value, torch.nan)
        if progress is not None:
            progress(block.stop - block.start)
    return base, moved
