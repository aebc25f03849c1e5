"""Learners: kernel ridge with exact leave-one-out answers, and the blend of all evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve
from scipy.linalg.lapack import spotrf, spotri
from scipy.optimize import minimize

from strata_labels.proposal.signals import Features

_CHUNK = 4_096
# Parts of the known rows, each left out once to see what the answer hangs on.
PARTS = 8


def kernel(features: Features, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Kernel values `[len(rows), len(others)]`, float32."""
    result = (features.sparse[rows] @ features.sparse[others].T).toarray().astype(np.float32)
    for vectors, weight, gamma in features.dense:
        result += weight * _gaussian(vectors[rows], vectors[others], gamma)
    return result


def _gaussian(a: np.ndarray, b: np.ndarray, gamma: float) -> np.ndarray:
    """exp(-gamma |a - b|^2) of unit vectors; 0 where either row is all zeros."""
    # In as few passes as can be: these are the largest matrices there are.
    values = (a * np.float32(2.0 * gamma)) @ b.T
    values -= np.float32(2.0 * gamma)
    np.exp(values, out=values)
    for silent, part in ((~a.any(axis=1), values), (~b.any(axis=1), values.T)):
        if silent.any():
            part[silent] = 0.0
    return values


@dataclass(frozen=True)
class Ridge:
    """What kernel ridge has learnt from m known rows.

    Attributes:
        scores: class scores of all items, `[n, K]`; a known row's without its own label.
        rows: positions of the known rows, `[m]`.
        mean: what is said where nothing is alike, `[K]`.
        duals: coefficients with each of `PARTS` parts of the known rows left out, `[m, K]` each.
    """

    scores: np.ndarray
    rows: np.ndarray
    mean: np.ndarray
    duals: list[np.ndarray]

    def resampled(self, features: Features, some: np.ndarray) -> Iterator[np.ndarray]:
        """Scores of some items, `[s, K]`, with each part left out (a delete-a-group jackknife)."""
        columns = np.hstack(self.duals)
        found = np.empty((len(some), columns.shape[1]), dtype=np.float32)
        for start in range(0, len(some), _CHUNK):
            part = slice(start, start + _CHUNK)
            found[part] = kernel(features, some[part], self.rows) @ columns
        for scores in np.split(found, len(self.duals), axis=1):
            yield scores + self.mean


def kernel_ridge(
    features: Features,
    rows: np.ndarray,
    labels: np.ndarray,
    num_nodes: int,
    ridge: float,
    together: np.ndarray | None = None,
) -> Ridge:
    """Class scores of all items, learnt from the labels of some: ridge on class indicators.

    Known rows get their leave-one-out score, y_i - a_i / (K + ridge I)^-1_ii, which costs no
    further fit (Rifkin and Lippert, "Notes on regularized least squares", 2007), so that
    scores of known and of open rows are alike. Rows known by one answer are left out together
    (the same with a block of the inverse): they were asked together because they look alike, and
    an open row has no such neighbours among the known.

    Args:
        features: kernel parts of n items.
        rows: positions of the known items, `[m]`.
        labels: their node indices, `[m]`.
        num_nodes: K.
        ridge: regularisation, in units of the kernel's diagonal.
        together: the answer each known row is known by, `[m]`; -1: one of its own.
    """
    num_items = features.sparse.shape[0]
    target = np.zeros((len(rows), num_nodes), dtype=np.float32)
    target[np.arange(len(rows)), labels] = 1.0
    mean = target.mean(axis=0)
    gram = kernel(features, rows, rows)
    gram[np.diag_indices(len(rows))] += ridge
    # Fortran order lets LAPACK work in place; the matrix is symmetric, so its transpose is itself.
    factor, info = spotrf(gram.T, lower=1, overwrite_a=1)
    if info != 0:
        raise np.linalg.LinAlgError(f"kernel is not positive definite (LAPACK spotrf: {info})")
    dual = cho_solve((factor, True), target - mean)
    inverse, _ = spotri(factor, lower=1, overwrite_c=1)
    _mirror(inverse)
    answers = _answers(together, len(rows))
    left_out = target - dual / np.diagonal(inverse)[:, None]
    for block in answers:
        if len(block) > 1:
            left_out[block] = target[block] - _taken(inverse, block, dual)
    duals = []
    for start in range(min(PARTS, len(answers))):
        part = np.concatenate(answers[start::PARTS])
        without = dual - inverse[:, part] @ _taken(inverse, part, dual)
        without[part] = 0.0
        duals.append(without)
    del gram, factor, inverse
    primal = features.sparse[rows].T @ dual
    scores = np.empty((num_items, num_nodes), dtype=np.float32)
    for start in range(0, num_items, _CHUNK):
        here = slice(start, start + _CHUNK)
        scores[here] = features.sparse[here] @ primal + mean
        for vectors, weight, gamma in features.dense:
            scores[here] += weight * (_gaussian(vectors[here], vectors[rows], gamma) @ dual)
    scores[rows] = left_out
    return Ridge(scores, rows, mean, duals)


def _taken(inverse: np.ndarray, part: np.ndarray, dual: np.ndarray) -> np.ndarray:
    """What the rows of a part add to themselves: their target less their score without them."""
    return np.linalg.solve(inverse[np.ix_(part, part)], dual[part])


def _mirror(lower: np.ndarray) -> None:
    """Fills the upper triangle from the lower one, in place."""
    for start in range(0, len(lower), _CHUNK):
        end = min(start + _CHUNK, len(lower))
        square = lower[start:end, start:end]
        square[:] = np.tril(square) + np.tril(square, -1).T
        lower[start:end, end:] = lower[end:, start:end].T


def _answers(together: np.ndarray | None, number: int) -> list[np.ndarray]:
    """Positions of the rows known by each answer."""
    if together is None:
        return np.split(np.arange(number), np.arange(1, number))
    alone = together < 0
    answer = np.where(alone, together.max(initial=0) + 1 + np.arange(number), together)
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
    bias_spread: float = 1.0,
) -> Blend:
    """Conditional logit with shared weights, drawn towards `prior` (McFadden 1974).

    Without labels the prior is the answer; each label moves it as far as it speaks.

    Args:
        columns: evidence of the known rows, `[m, K]` each, out of sample.
        labels: node index of each, `[m]`.
        prior: weights without labels, `[J]`.
        spread: standard deviation of the Gaussian prior round each weight, `[J]`.
        bias_spread: standard deviation of a node's bias.
    """
    stacked = np.stack(columns).astype(np.float64)
    num_columns, num_known, num_nodes = stacked.shape
    index = np.arange(num_known)

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = theta[:num_columns] * spread + prior, theta[num_columns:] * bias_spread
        logits = np.tensordot(weights, stacked, axes=1) + bias
        logits -= logits.max(axis=1, keepdims=True)
        odds = np.exp(logits)
        total = odds.sum(axis=1)
        loss = np.log(total).sum() - logits[index, labels].sum() + 0.5 * theta @ theta
        odds /= total[:, None]
        odds[index, labels] -= 1.0
        gradient = np.concatenate(
            [np.einsum("jmk,mk->j", stacked, odds) * spread, odds.sum(axis=0) * bias_spread]
        )
        return float(loss), gradient + theta

    start = np.zeros(num_columns + num_nodes)
    theta = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    return Blend(theta[:num_columns] * spread + prior, theta[num_columns:] * bias_spread)
