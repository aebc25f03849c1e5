"""What known labels say of each n-gram or word of a name: naive Bayes, without a row's own label.

Kernel ridge learns from whole names, and its scores stay moderate. That all rows with one ending
have one label says more about how sure an answer is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy

from strata_labels.proposal.learners import Targets

# Labels, spread as all labels are, that are added to those seen with each feature. Chosen on two
# thirds of the real sample; 0.5 to 8 differ little.
ADDED = 2.0
# At most so many votes are held as a plain matrix, which is faster to add up.
MOST_DENSE = 40_000_000


class NameVotes:
    """Votes of features for nodes.

    A feature that c of the labelled rows of a node have votes `log(1 + c / (a p))` for the node,
    with p the node's share of the labels and a = `ADDED`: the log-ratio of its smoothed share among
    the rows with the feature to p, but for what is the same for all nodes. A row's score is the
    mean over its features, weighted as they are in `Features.of_names`, less the mean over the
    nodes.

    Args:
        features: weights of D features of n items, none negative, `[n, D]`.
        targets: what the m labelled items teach.
    """

    def __init__(self, features: scipy.sparse.csr_matrix, targets: Targets) -> None:
        self._targets = targets
        total = np.asarray(features.sum(axis=1)).ravel()
        shares = scipy.sparse.diags(1.0 / np.where(total > 0, total, 1.0)).astype(np.float32)
        self._weights = (shares @ features).tocsr()
        own = self._weights[targets.rows]
        self._present = scipy.sparse.csr_matrix(
            ((own.data > 0).astype(np.float32), own.indices, own.indptr), own.shape
        )
        self._pull = (ADDED * targets.mean).astype(np.float32)
        self._counts = self._count(slice(None))
        self._votes = self._logs(self._counts)
        # Scores of the labelled rows for their own nodes without their labels, and all scores of
        # those that are known by one answer.
        self._own = np.zeros(len(targets.rows), dtype=np.float32)
        self._blocks: dict[int, np.ndarray] = {}
        self._leave_out(own)

    def scores(self, rows: np.ndarray, images: np.ndarray | None = None) -> np.ndarray:
        """Scores of nodes, float32 `[len(rows), K]`; labelled rows without their own label.

        Images say nothing of names.
        """
        found = self._sums(rows, self._votes)
        labelled, positions = self._targets.find(rows)
        if len(positions):
            place = np.flatnonzero(labelled)
            found[place, self._targets.labels[positions]] = self._own[positions]
            for n, position in zip(place.tolist(), positions.tolist(), strict=True):
                if position in self._blocks:
                    found[n] = self._blocks[position]
        return found - found.mean(axis=1, keepdims=True)

    def resampled(self, rows: np.ndarray, parts: list[np.ndarray]) -> Iterator[np.ndarray]:
        """Scores of open items with each part of the labelled rows left out, `[len(rows), K]`.

        Args:
            rows: positions of the items.
            parts: positions among the labelled rows, see `Ridge.parts`.
        """
        for part in parts:
            left = self._counts - self._count(part)
            found = self._sums(rows, self._logs(left))
            yield found - found.mean(axis=1, keepdims=True)

    def _count(self, positions: np.ndarray | slice) -> scipy.sparse.csr_matrix:
        """Labelled rows of each node with each feature, `[D, K]`."""
        return (self._present[positions].T @ self._targets.indicators(positions)).tocsr()

    def _logs(self, counts: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix | np.ndarray:
        votes = counts.copy()
        votes.data = np.log1p(votes.data / self._pull[votes.indices])
        return votes.toarray() if np.prod(votes.shape) <= MOST_DENSE else votes

    def _sums(self, rows: np.ndarray, votes: scipy.sparse.csr_matrix | np.ndarray) -> np.ndarray:
        found = self._weights[rows] @ votes
        return found.toarray() if scipy.sparse.issparse(found) else np.asarray(found)

    def _leave_out(self, own: scipy.sparse.csr_matrix) -> None:
        labels, counts = self._targets.labels, self._counts.tocsc()
        order = np.argsort(labels, kind="stable")
        for some in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
            node = labels[some[0]]
            column = slice(counts.indptr[node], counts.indptr[node + 1])
            votes = np.zeros(counts.shape[0], dtype=np.float32)
            votes[counts.indices[column]] = np.log1p((counts.data[column] - 1) / self._pull[node])
            self._own[some] = own[some] @ votes
        for block in self._targets.blocks():
            inside = own[block]
            columns = np.unique(inside.indices)
            taken = self._present[block][:, columns].T @ self._targets.indicators(block)
            left = (self._counts[columns] - taken).toarray()
            left = np.log1p(left / np.where(self._pull > 0, self._pull, 1.0))
            found = np.asarray(inside[:, columns] @ left, dtype=np.float32)
            self._blocks.update(zip(block.tolist(), found, strict=True))
