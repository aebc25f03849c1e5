"""The nodes that items are scored for, at several levels: sums, restriction, the best path."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy


class NodeLevels:
    """K finest nodes and the coarser ones that they are part of, S levels in all.

    Values of nodes are arrays `[n, K]`, a row for each item.

    Args:
        num_nodes: K.
        above: for each coarser level, from the finest up, which of its nodes each of the K is part
            of, `[K]` integers from 0.

    Attributes:
        above: the same for all levels: the first is 0 to K - 1.
        sizes: number of nodes of each level.
    """

    def __init__(self, num_nodes: int, above: Sequence[np.ndarray]) -> None:
        self.above = [np.arange(num_nodes), *map(np.asarray, above)]
        self.sizes = [int(level.max(initial=-1)) + 1 for level in self.above]

    def __len__(self) -> int:
        return len(self.above)

    def step(self, lower: int, upper: int) -> scipy.sparse.csr_matrix:
        """Which nodes of a level are part of which of a coarser one, `[K_lower, K_upper]`."""
        pairs = np.unique(np.column_stack([self.above[lower], self.above[upper]]), axis=0)
        ones = np.ones(len(pairs), dtype=np.float32)
        shape = (self.sizes[lower], self.sizes[upper])
        return scipy.sparse.csr_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=shape)

    def sums(self, values: np.ndarray, level: int) -> np.ndarray:
        """Sums of the finest nodes' values over the nodes of a level, `[n, K_level]`."""
        return values if level == 0 else values @ self.step(0, level)

    def highest(self, values: np.ndarray, level: int) -> np.ndarray:
        """Highest value of the finest nodes below each node of a level, `[n, K_level]`."""
        if level == 0:
            return values
        order = np.argsort(self.above[level], kind="stable")
        starts = np.searchsorted(self.above[level][order], np.arange(self.sizes[level]))
        return np.maximum.reduceat(values[:, order], starts, axis=1)

    def filled(self, known: np.ndarray, num_items: int) -> np.ndarray:
        """Known nodes at every level, `[n, S]`, -1 where unknown.

        Args:
            known: at the finest levels, `[n]` or `[n, up to S]`, -1 where unknown; a coarser level
                follows from a finer one.
            num_items: n.
        """
        given = np.asarray(known).reshape(num_items, -1)
        full = np.full((num_items, len(self)), -1)
        full[:, : given.shape[1]] = given
        for level in range(1, len(self)):
            upper = np.full(self.sizes[level - 1], -1)
            upper[self.above[level - 1]] = self.above[level]
            follows = full[:, level - 1] >= 0
            full[follows, level] = upper[full[follows, level - 1]]
        return full

    def within(self, probabilities: np.ndarray, level: int, node: np.ndarray) -> np.ndarray:
        """Probabilities given each row's node at a level `[n]`: only what is below it is left."""
        inside = self.above[level][None, :] == node[:, None]
        # Where all of it is far below what floats hold, the nodes are equally likely.
        kept = np.where(inside, np.maximum(probabilities, 1e-12), 0.0)
        return (kept / kept.sum(axis=1, keepdims=True)).astype(np.float32)

    def best_path(self, probabilities: np.ndarray) -> np.ndarray:
        """The likeliest node at each level below the likeliest one above it, `[n, S]`."""
        path = np.empty((len(probabilities), len(self)), dtype=np.int64)
        left = probabilities
        for level in range(len(self) - 1, -1, -1):
            path[:, level] = self.sums(left, level).argmax(axis=1)
            if level:
                inside = self.above[level][None, :] == path[:, level, None]
                left = np.where(inside, np.maximum(left, 1e-30), 0.0)
        return path
