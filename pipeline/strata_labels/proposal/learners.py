"""Kernel ridge regression on labels, with leave-one-out answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy

from strata_labels.proposal.signals import Features

CHUNK = 4_096
#: Parts of the labelled rows, each left out once to see what an answer depends on.
PARTS = 8
# Ridge values that are tried; the one of the least leave-one-out error is used. With fewer answers
# than these that says too little, and the usual one is taken.
RIDGES = (0.02, 0.05, 0.15, 0.4)
USUAL_RIDGE, FEWEST_ANSWERS = 0.15, 100
# Rows that these are tried on, at most.
SAMPLE = 2_000
# Weights of sparse features that are held at most: items without a label need no kernel for them.
MOST_WEIGHTS = 40_000_000


def kernel(
    features: Features, rows: np.ndarray, others: np.ndarray, images: np.ndarray | None = None
) -> np.ndarray:
    """Kernel values `[len(rows), len(others)]`, float32.

    Args:
        features: of n items.
        rows: positions of items.
        others: positions of items.
        images: vectors that stand for `rows` in the last dense part, in place of their own.
    """
    dense = _dense_kernel(features, rows, others, images)
    if dense is not None and not features.sparse.shape[1]:
        return dense
    products = features.sparse[rows] @ features.sparse[others].T
    return products.toarray() if dense is None else np.asarray(products + dense)


def _dense_kernel(
    features: Features, rows: np.ndarray, others: np.ndarray, images: np.ndarray | None = None
) -> np.ndarray | None:
    """Sum of the Gaussian parts, see `kernel`; None where there are none."""
    # In as few passes as can be: these are the largest matrices there are.
    dense = None
    for number, (vectors, weight, gamma) in enumerate(features.dense, start=1):
        last = number == len(features.dense)
        own = vectors[rows] if images is None or not last else images
        part = _gaussian(own, vectors[others], gamma)
        part *= np.float32(weight)
        dense = part if dense is None else np.add(dense, part, out=dense)
    return dense


def _gaussian(a: np.ndarray, b: np.ndarray, gamma: float) -> np.ndarray:
    """exp(-gamma |a - b|^2) of unit vectors; 0 where either row is all zeros."""
    values = (a * np.float32(2.0 * gamma)) @ b.T
    values -= np.float32(2.0 * gamma)
    np.exp(values, out=values)
    for silent, part in ((~a.any(axis=1), values), (~b.any(axis=1), values.T)):
        if silent.any():
            part[silent] = 0.0
    return values


def largest(values: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the largest values of each row, largest first, and these values; of equal ones the
    first columns."""
    left, rows = values.copy(), np.arange(len(values))
    found = np.empty((len(values), number), dtype=np.int64)
    for place in range(number):
        found[:, place] = left.argmax(axis=1)
        left[rows, found[:, place]] = -np.inf
    return found, np.take_along_axis(values, found, axis=1)


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

    @property
    def mean(self) -> np.ndarray:
        """Share of the labels that each node has, `[K]`."""
        return np.bincount(self.labels, minlength=self.num_nodes) / len(self.rows)

    def indicators(self, positions: np.ndarray | slice = slice(None)) -> scipy.sparse.csr_matrix:
        """One in the column of each row's node, `[len(positions), K]`."""
        return indicators(self.labels[positions], self.num_nodes)

    def find(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of some items are labelled, boolean, and the positions of these in `rows`."""
        place = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        labelled = self.rows[place] == rows
        return labelled, place[labelled]

    def blocks(self) -> list[np.ndarray]:
        """Positions of the rows of each answer that several rows are known by."""
        return [answer for answer in self.answers if len(answer) > 1]


def indicators(labels: np.ndarray, num_nodes: int) -> scipy.sparse.csr_matrix:
    """One in the column of each label, `[len(labels), num_nodes]`."""
    ones = np.ones(len(labels), np.float32)
    shape = (len(labels), num_nodes)
    return scipy.sparse.csr_matrix((ones, (np.arange(len(labels)), labels)), shape)


class Ridge(ABC):
    """Scores of nodes by kernel ridge regression on indicators.

    A labelled row's score is that without its own label, which needs no further fit (Rifkin and
    Lippert, "Notes on regularized least squares", 2007). Rows that are known by one answer are left
    out together: they were asked together because they look alike, and an open row has no such
    neighbours among labelled ones.

    Args:
        features: kernel parts of n items.
        targets: what the labelled items teach.
        references: items that all others are compared with, `[r]`.
        ridge: regularisation, in units of the kernel's diagonal.
    """

    def __init__(
        self, features: Features, targets: Targets, references: np.ndarray, ridge: float
    ) -> None:
        self._features, self._targets, self._references = features, targets, references
        #: What is said where nothing is alike, `[K]`.
        self.mean = targets.mean.astype(np.float32)
        self.ridge = ridge
        # Weights of the references, `[r, K]`, and of the sparse features, `[D, K]`, once they are
        # needed; scores of rows known by one answer, by position.
        self._weights: np.ndarray
        self._sparse_weights: np.ndarray | None = None
        self._blocks: dict[int, np.ndarray] = {}

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Node scores of items, float32 `[len(rows), K]`; labelled ones without their own label."""
        labelled, positions = self._targets.find(rows)
        if not len(positions):
            return self._unlabelled(rows)
        found = np.empty((len(rows), len(self.mean)), dtype=np.float32)
        found[~labelled] = self._unlabelled(rows[~labelled])
        left = self._targets.indicators(positions).toarray() - self._errors(positions)
        for n, position in enumerate(positions.tolist()):
            if position in self._blocks:
                left[n] = self._blocks[position]
        found[labelled] = left
        return found

    def _unlabelled(self, rows: np.ndarray) -> np.ndarray:
        """Scores of items without a label, `[len(rows), K]`.

        The sparse part of the kernel is linear: its product with the weights needs no kernel.
        """
        sparse = self._features.sparse
        if sparse.shape[1] * len(self.mean) > MOST_WEIGHTS:
            found = kernel(self._features, rows, self._references) @ self._weights
        else:
            if self._sparse_weights is None:
                self._sparse_weights = sparse[self._references].T @ self._weights
            found = sparse[rows] @ self._sparse_weights
            dense = _dense_kernel(self._features, rows, self._references)
            if dense is not None:
                found += dense @ self._weights
        found += self.mean
        return np.asarray(found)

    def scores_of_images(self, rows: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Scores of items as if they had other images, without their own labels.

        Args:
            rows: positions of the items.
            images: vectors of the images, see `kernel`.
        """
        values = kernel(self._features, rows, self._references, images)
        found = values @ self._weights
        found += self.mean
        labelled, positions = self._targets.find(rows)
        if len(positions):
            own = self._targets.indicators(positions).toarray()
            error = own - self.scores(rows[labelled])
            found[labelled] -= self._influence(positions, values[labelled])[:, None] * error
        return found

    @property
    @abstractmethod
    def parts(self) -> list[np.ndarray]:
        """Parts of the labelled rows that resamples leave out, as positions among these rows."""

    @abstractmethod
    def resampled(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Scores of open items with each of `parts` left out, `[len(rows), K]`."""

    @abstractmethod
    def _errors(self, positions: np.ndarray) -> np.ndarray:
        """Labels of labelled rows less their scores without them, `[len(positions), K]`."""

    @abstractmethod
    def _influence(self, positions: np.ndarray, values: np.ndarray) -> np.ndarray:
        """How much of the error of each labelled row without its label is added, by that label, to
        a score with these kernel values, `[len(positions)]`."""


class ExactRidge(Ridge):
    """Over all m labelled rows.

    With `Q = (K + ridge I)^-1` and the indicators y less their mean, `c = Q y` are the weights of
    the rows, and the error of a row without its own label is `c_i / Q_ii`; of rows known by one
    answer, the same with a block of Q.

    Args:
        features: kernel parts of n items.
        targets: what the labelled items teach.
        ridge: regularisation, in units of the kernel's diagonal; None: chosen among `RIDGES` by
            leave-one-out error.
    """

    def __init__(self, features: Features, targets: Targets, ridge: float | None = None) -> None:
        ridge = ridge if ridge is not None else best_ridge(features, targets)
        super().__init__(features, targets, targets.rows, ridge)
        matrix = kernel(features, targets.rows, targets.rows).astype(np.float64, order="F")
        matrix[np.diag_indices(len(matrix))] += self.ridge
        factor, info = scipy.linalg.lapack.dpotrf(matrix, lower=1, overwrite_a=1)
        check_factored(info)
        inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
        lower = np.tril(inverse, -1).astype(np.float32)
        self._inverse = lower + lower.T
        self._inverse[np.diag_indices(len(inverse))] = np.diagonal(inverse)
        del matrix, factor, inverse, lower
        self._weights = (targets.indicators().T @ self._inverse).T
        self._weights -= np.outer(self._inverse.sum(axis=1), self.mean)
        self._blocks = dict(self._left_out_blocks())

    @property
    def parts(self) -> list[np.ndarray]:
        """See `Ridge.parts`."""
        answers = self._targets.answers
        return [np.concatenate(answers[n::PARTS]) for n in range(min(PARTS, len(answers)))]

    def resampled(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """See `Ridge.resampled`."""
        values = kernel(self._features, rows, self._targets.rows)
        for part in self.parts:
            error = self._without(part).astype(np.float32)
            yield values @ (self._weights - self._inverse[:, part] @ error) + self.mean

    def _errors(self, positions: np.ndarray) -> np.ndarray:
        return np.asarray(self._weights[positions] / self._inverse[positions, positions, None])

    def _influence(self, positions: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.asarray(np.einsum("ij,ij->i", values, self._inverse[positions]))

    def _without(self, positions: np.ndarray) -> np.ndarray:
        """Labels of some rows less their scores without the labels of all of them, `[r, K]`."""
        block = self._inverse[np.ix_(positions, positions)].astype(np.float64)
        return np.asarray(np.linalg.solve(block, self._weights[positions]))

    def _left_out_blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        for block in self._targets.blocks():
            left = self._targets.indicators(block).toarray() - self._without(block)
            yield from zip(block.tolist(), left.astype(np.float32), strict=True)


def best_ridge(features: Features, targets: Targets) -> float:
    """The ridge of the least squared leave-one-out error over `RIDGES`.

    Measured with the exact kernel on a sample that has one row of each answer.
    """
    first = np.array([answer[0] for answer in targets.answers])
    if len(first) < FEWEST_ANSWERS:
        return USUAL_RIDGE
    some = np.sort(first[np.linspace(0, len(first) - 1, min(len(first), SAMPLE)).astype(int)])
    rows = targets.rows[some]
    values, vectors = np.linalg.eigh(kernel(features, rows, rows).astype(np.float64))
    # A node without a row here differs from others by its mean alone: one column serves them all.
    nodes, place = np.unique(targets.labels[some], return_inverse=True)
    mean = targets.mean
    others = np.square(np.delete(mean, nodes)).sum()
    columns = np.column_stack([indicators(place, len(nodes)).toarray(), np.ones(len(some))])
    moved = vectors.T @ columns
    errors = []
    for ridge in RIDGES:
        inverse = 1.0 / (np.maximum(values, 0.0) + ridge)
        residual = vectors @ (inverse[:, None] * moved)
        residual /= (np.square(vectors) @ inverse)[:, None]
        of_mean = residual[:, -1]
        own = residual[:, :-1] - np.outer(of_mean, mean[nodes])
        error = np.square(own).sum() + others * np.square(of_mean).sum()
        errors.append(float(error / (len(some) * len(mean))))
    return RIDGES[int(np.argmin(np.round(errors, 9)))]


def answers_of(together: np.ndarray) -> list[np.ndarray]:
    """Positions of the rows known by each answer; -1: an answer of its own."""
    alone = together < 0
    answer = np.where(alone, together.max(initial=0) + 1 + np.arange(len(together)), together)
    order = np.argsort(answer, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(answer[order])) + 1)


def check_factored(info: int) -> None:
    """Raises an error where LAPACK could not factor a kernel."""
    if info != 0:
        raise np.linalg.LinAlgError(f"kernel is not positive definite (LAPACK potrf: {info})")
