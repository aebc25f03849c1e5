"""Learners: kernel ridge with leave-one-out answers, and the blend of all evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.linalg.blas import ssyrk, strmm, strsm
from scipy.linalg.lapack import spotrf, spotrs
from scipy.optimize import minimize

from strata_labels.proposal.signals import Features

CHUNK = 4_096
# With no more labelled rows than these the kernel is exact; with more it has so many landmarks.
MOST_EXACT, RANK = 8_000, 4_096
#: Parts of the labelled rows, each left out once to see what an answer depends on.
PARTS = 8
# Ridge values that are tried; the one of the least leave-one-out error is used. With fewer answers
# than these that says too little, and the usual one is taken.
RIDGES = (0.02, 0.05, 0.15, 0.4)
USUAL_RIDGE, FEWEST_ANSWERS = 0.15, 100
# Rows that these are tried on, at most.
SAMPLE = 2_000
_JITTER = 1e-4


def kernel(features: Features, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Kernel values `[len(rows), len(others)]`, float32."""
    # In as few passes as can be: these are the largest matrices there are.
    dense = None
    for vectors, weight, gamma in features.dense:
        part = _gaussian(vectors[rows], vectors[others], gamma)
        part *= np.float32(weight)
        dense = part if dense is None else np.add(dense, part, out=dense)
    if dense is not None and not features.sparse.shape[1]:
        return dense
    products = features.sparse[rows] @ features.sparse[others].T
    return products.toarray() if dense is None else np.asarray(products + dense)


def _gaussian(a: np.ndarray, b: np.ndarray, gamma: float) -> np.ndarray:
    """exp(-gamma |a - b|^2) of unit vectors; 0 where either row is all zeros."""
    values = (a * np.float32(2.0 * gamma)) @ b.T
    values -= np.float32(2.0 * gamma)
    np.exp(values, out=values)
    for silent, part in ((~a.any(axis=1), values), (~b.any(axis=1), values.T)):
        if silent.any():
            part[silent] = 0.0
    return values


def _times(lower: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`lower @ values.T`, `[r, n]`, for a lower triangle; overwrites the values."""
    return np.asarray(strmm(1.0, lower, values.T, lower=1, overwrite_b=1))


@dataclass(frozen=True)
class Targets:
    """What the labelled rows teach.

    Attributes:
        rows: positions of the m labelled items, rising, `[m]`.
        labels: node of each, `[m]`.
        num_nodes: K.
        answers: positions in `rows` of those that are known by one answer, and are left out
            together; every position once.
    """

    rows: np.ndarray
    labels: np.ndarray
    num_nodes: int
    answers: list[np.ndarray]

    def indicators(self, positions: np.ndarray | slice = slice(None)) -> sp.csr_matrix:
        """One in the column of each row's node, `[len(positions), K]`."""
        labels = self.labels[positions]
        place = (np.arange(len(labels)), labels)
        return sp.csr_matrix(
            (np.ones(len(labels), np.float32), place), (len(labels), self.num_nodes)
        )


class KernelRidge:
    """Kernel ridge regression on the nodes' indicators, over all labelled rows.

    The kernel is approximated from r landmarks among the m labelled rows (Nystroem; Williams and
    Seeger 2001): a fit costs m r^2. Where all rows are landmarks, nothing is approximated. With
    kernel values k of a row and triangular factors `F F' = K_rr`, `L L' = G + ridge`, its features
    are `x = F^-1 k`, G is the sum of `x x'` over labelled rows, and `h = |L^-1 x|^2`.

    A labelled row's score is that without its own label, `y - (y - s) / (1 - h)` with h its
    leverage, which needs no further fit (Rifkin and Lippert, "Notes on regularized least squares",
    2007). Rows that are known by one answer are left out together, by the same with a block of the
    hat matrix: they were asked together because they look alike, and an open row has no such
    neighbours among the labelled ones.

    Args:
        features: kernel parts of n items.
        targets: what the labelled items teach.
        landmarks: rows of `features`, among `targets.rows`.
        ridge: regularisation, in units of the kernel's diagonal; None: chosen among `RIDGES` by
            leave-one-out error.
    """

    def __init__(
        self,
        features: Features,
        targets: Targets,
        landmarks: np.ndarray,
        ridge: float | None = None,
    ) -> None:
        self._features, self._targets, self._landmarks = features, targets, landmarks
        rank = len(landmarks)
        gram = kernel(features, landmarks, landmarks).astype(np.float64)
        gram[np.diag_indices(rank)] += _JITTER
        inverse = solve_triangular(np.linalg.cholesky(gram), np.eye(rank), lower=True)
        # Lower triangles, in LAPACK's order: products with them cost half, and nothing is copied.
        self._map = np.asfortranarray(inverse, dtype=np.float32)
        del gram, inverse
        #: What is said where nothing is alike, `[K]`.
        self.mean = np.bincount(targets.labels, minlength=targets.num_nodes) / len(targets.rows)
        self.ridge = ridge if ridge is not None else self._best_ridge()
        every = np.arange(len(targets.rows))
        self._gram, self._sum = self._moments(every)
        matrix = self._gram.copy(order="F")
        matrix[np.diag_indices(rank)] += self.ridge
        factor, info = spotrf(matrix, lower=1, overwrite_a=1)
        if info != 0:
            raise np.linalg.LinAlgError(f"kernel is not positive definite (LAPACK spotrf: {info})")
        self._primal, _ = spotrs(factor, self._sum, lower=1)
        self._weights = self._map.T @ self._primal
        self._whitener = strsm(1.0, factor, self._map, lower=1)
        self._blocks = dict(self._left_out_blocks())

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Node scores of items, float32 `[len(rows), K]`; labelled ones without their own label."""
        values = kernel(self._features, rows, self._landmarks)
        found = values @ self._weights
        found += self.mean.astype(np.float32)
        place = np.searchsorted(self._targets.rows, rows)
        place = np.minimum(place, len(self._targets.rows) - 1)
        labelled = self._targets.rows[place] == rows
        if labelled.any():
            positions = place[labelled]
            own = self._targets.indicators(positions).toarray().astype(np.float32)
            white = _times(self._whitener, values[labelled])
            leverage = np.minimum(np.einsum("ij,ij->j", white, white), 0.999)
            left = own - (own - found[labelled]) / (1.0 - leverage)[:, None]
            for n, position in enumerate(positions.tolist()):
                if position in self._blocks:
                    left[n] = self._blocks[position]
            found[labelled] = left
        return found

    def resampled(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Scores of open items with each part of the labelled rows left out, `[len(rows), K]`."""
        values = kernel(self._features, rows, self._landmarks) @ self._map.T
        answers = self._targets.answers
        for start in range(min(PARTS, len(answers))):
            gram, total = self._moments(np.concatenate(answers[start::PARTS]))
            matrix = self._gram - gram
            matrix[np.diag_indices(len(matrix))] += self.ridge
            primal = cho_solve(cho_factor(matrix, lower=True, overwrite_a=True), self._sum - total)
            yield values @ primal + self.mean.astype(np.float32)

    def _moments(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums over labelled rows: features by features, the lower triangle of `[r, r]`, and
        features by targets `[r, K]`."""
        rank, num_nodes = len(self._landmarks), self._targets.num_nodes
        gram = np.zeros((rank, rank), dtype=np.float32, order="F")
        total = np.zeros((rank, num_nodes), dtype=np.float32)
        for start in range(0, len(positions), CHUNK):
            some = positions[start : start + CHUNK]
            values = kernel(self._features, self._targets.rows[some], self._landmarks)
            mapped = _times(self._map, values)
            gram = ssyrk(1.0, mapped, beta=1.0, c=gram, lower=1, overwrite_c=1)
            total += (self._targets.indicators(some).T @ mapped.T).T
            total -= np.outer(mapped.sum(axis=1), self.mean).astype(np.float32)
        return gram, total

    def _best_ridge(self) -> float:
        """The ridge of the least squared leave-one-out error over `RIDGES`.

        Measured with the exact kernel on a sample that has one row of each answer.
        """
        first = np.array([answer[0] for answer in self._targets.answers])
        if len(first) < FEWEST_ANSWERS:
            return USUAL_RIDGE
        some = np.sort(first[np.linspace(0, len(first) - 1, min(len(first), SAMPLE)).astype(int)])
        rows = self._targets.rows[some]
        values, vectors = np.linalg.eigh(kernel(self._features, rows, rows).astype(np.float64))
        own = self._targets.indicators(some).toarray() - self.mean
        moved = vectors.T @ own
        errors = []
        for ridge in RIDGES:
            inverse = 1.0 / (np.maximum(values, 0.0) + ridge)
            residual = vectors @ (inverse[:, None] * moved)
            diagonal = np.square(vectors) @ inverse
            errors.append(float(np.square(residual / diagonal[:, None]).mean()))
        return RIDGES[int(np.argmin(np.round(errors, 9)))]

    def _left_out_blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Scores of rows known by one answer without the labels of all of them, by position."""
        blocks = [answer for answer in self._targets.answers if len(answer) > 1]
        for block in blocks:
            rows = self._targets.rows[block]
            values = kernel(self._features, rows, self._landmarks)
            own = self._targets.indicators(block).toarray() - self.mean
            error = own - values @ self._weights
            white = _times(self._whitener, values)
            hat = white.T @ white
            left = own - np.linalg.solve(np.eye(len(block)) - hat, error) + self.mean
            yield from zip(block.tolist(), left.astype(np.float32), strict=True)


def spread_over_nodes(labels: np.ndarray, most: int) -> np.ndarray:
    """Positions of at most `most` rows, rare nodes in full, evenly over the order of the rows."""
    if len(labels) <= most:
        return np.arange(len(labels))
    counts = np.bincount(labels)
    low, high = 1, int(counts.max())
    while low < high:  # the largest cap per node that keeps within the limit
        middle = (low + high + 1) // 2
        if np.minimum(counts, middle).sum() <= most:
            low = middle
        else:
            high = middle - 1
    kept = []
    for node in np.flatnonzero(counts):
        members = np.flatnonzero(labels == node)
        step = np.linspace(0, len(members) - 1, min(low, len(members)))
        kept.append(members[step.astype(int)])
    # Where there are more nodes than rows asked for, evenly over the nodes.
    found = np.sort(np.concatenate(kept))
    return found[np.linspace(0, len(found) - 1, min(most, len(found))).astype(int)]


def answers_of(together: np.ndarray) -> list[np.ndarray]:
    """Positions of the rows known by each answer; -1: an answer of its own."""
    alone = together < 0
    answer = np.where(alone, together.max(initial=0) + 1 + np.arange(len(together)), together)
    order = np.argsort(answer, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(answer[order])) + 1)


@dataclass(frozen=True)
class Blend:
    """Weights that turn evidence columns into one softmax.

    Attributes:
        weights: one a column, shared by all nodes, `[J]`.
        bias: one a node, `[K]`.
    """

    weights: np.ndarray
    bias: np.ndarray

    def probabilities(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        """Softmax over nodes of the weighted columns, float32 `[n, K]`."""
        logits = np.zeros(columns[0].shape, dtype=np.float32) + self.bias.astype(np.float32)
        for weight, column in zip(self.weights, columns, strict=True):
            logits += np.float32(weight) * column
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits


def fit_blend(
    columns: Sequence[np.ndarray],
    labels: np.ndarray,
    prior: np.ndarray,
    spread: np.ndarray,
    among: np.ndarray | None = None,
    bias_spread: float = 1.0,
    few: int = 0,
) -> Blend:
    """Conditional logit with shared weights, drawn towards `prior` (McFadden 1974).

    Without labels the prior is the answer; each label moves it as far as it speaks.

    Args:
        columns: evidence of the known rows, `[m, K]` each, out of sample.
        labels: node index of each, `[m]`.
        prior: weights without labels, `[J]`.
        spread: standard deviation of the Gaussian prior round each weight, `[J]`.
        among: nodes that the labels choose among, boolean `[K]`; None for all.
        bias_spread: standard deviation of a node's bias.
        few: rows below which the prior counts more than twice: left out, one of few rows takes much
            of what is known of its node along.
    """
    stacked = np.stack(columns).astype(np.float64)
    num_columns, num_known, num_nodes = stacked.shape
    index = np.arange(num_known)
    pull = 1.0 + few / max(num_known, 1)

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = theta[:num_columns] * spread + prior, theta[num_columns:] * bias_spread
        logits = np.tensordot(weights, stacked, axes=1) + bias
        if among is not None:
            logits[:, ~among] = -np.inf
        logits -= logits.max(axis=1, keepdims=True)
        odds = np.exp(logits)
        total = odds.sum(axis=1)
        loss = np.log(total).sum() - logits[index, labels].sum() + 0.5 * pull * theta @ theta
        odds /= total[:, None]
        odds[index, labels] -= 1.0
        gradient = np.concatenate(
            [np.einsum("jmk,mk->j", stacked, odds) * spread, odds.sum(axis=0) * bias_spread]
        )
        return float(loss), gradient + pull * theta

    start = np.zeros(num_columns + num_nodes)
    theta = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    return Blend(theta[:num_columns] * spread + prior, theta[num_columns:] * bias_spread)
