"""Kernel ridge regression on labels, exact or from landmarks, with leave-one-out answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.linalg import solve_triangular
from scipy.linalg.blas import ssyrk, strmm, strsm
from scipy.linalg.lapack import dpotrf, dpotri, spotrf, spotrs

from strata_labels.proposal.signals import Features

CHUNK = 4_096
# With no more labelled rows than these the kernel is exact; with more it has so many landmarks.
MOST_EXACT, RANK = 8_000, 4_096
#: Parts of the labelled rows, each left out once to see what an answer depends on.
PARTS = 8
# Values that are kept of all parts: many nodes mean fewer parts.
MOST_PART_VALUES = 160_000_000
# Rows that may differ from those of the kept sums. Set by hand: more cost as much as new sums.
MOST_CHANGED = 1_000
# Ridge values that are tried; the one of the least leave-one-out error is used. With fewer answers
# than these that says too little, and the usual one is taken.
RIDGES = (0.02, 0.05, 0.15, 0.4)
USUAL_RIDGE, FEWEST_ANSWERS = 0.15, 100
# Rows that these are tried on, at most.
SAMPLE = 2_000
_JITTER = 1e-4


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
    # In as few passes as can be: these are the largest matrices there are.
    dense = None
    for number, (vectors, weight, gamma) in enumerate(features.dense, start=1):
        last = number == len(features.dense)
        own = vectors[rows] if images is None or not last else images
        part = _gaussian(own, vectors[others], gamma)
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

    def indicators(self, positions: np.ndarray | slice = slice(None)) -> sp.csr_matrix:
        """One in the column of each row's node, `[len(positions), K]`."""
        return _indicators(self.labels[positions], self.num_nodes)

    def find(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of some items are labelled, boolean, and the positions of these in `rows`."""
        place = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        labelled = self.rows[place] == rows
        return labelled, place[labelled]

    def blocks(self) -> list[np.ndarray]:
        """Positions of the rows of each answer that several rows are known by."""
        return [answer for answer in self.answers if len(answer) > 1]


def _indicators(labels: np.ndarray, num_nodes: int) -> sp.csr_matrix:
    ones = np.ones(len(labels), np.float32)
    return sp.csr_matrix((ones, (np.arange(len(labels)), labels)), (len(labels), num_nodes))


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
        # Weights of the references, `[r, K]`; scores of rows known by one answer, by position.
        self._weights: np.ndarray
        self._blocks: dict[int, np.ndarray] = {}

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Node scores of items, float32 `[len(rows), K]`; labelled ones without their own label."""
        values = kernel(self._features, rows, self._references)
        found = values @ self._weights
        found += self.mean
        labelled, positions = self._targets.find(rows)
        if len(positions):
            own = self._targets.indicators(positions).toarray()
            left = own - self._errors(positions, values[labelled], own - found[labelled])
            for n, position in enumerate(positions.tolist()):
                if position in self._blocks:
                    left[n] = self._blocks[position]
            found[labelled] = left
        return found

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

    @abstractmethod
    def resampled(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Scores of open items with each part of the labelled rows left out, `[len(rows), K]`."""

    @abstractmethod
    def _errors(self, positions: np.ndarray, values: np.ndarray, error: np.ndarray) -> np.ndarray:
        """Labels of labelled rows less their scores without them, from kernel values and labels
        less scores."""

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
        factor, info = dpotrf(matrix, lower=1, overwrite_a=1)
        _check(info)
        inverse, _ = dpotri(factor, lower=1, overwrite_c=1)
        lower = np.tril(inverse, -1).astype(np.float32)
        self._inverse = lower + lower.T
        self._inverse[np.diag_indices(len(inverse))] = np.diagonal(inverse)
        del matrix, factor, inverse, lower
        self._weights = (targets.indicators().T @ self._inverse).T
        self._weights -= np.outer(self._inverse.sum(axis=1), self.mean)
        self._blocks = dict(self._left_out_blocks())

    def resampled(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """See `Ridge.resampled`."""
        values = kernel(self._features, rows, self._targets.rows)
        answers = self._targets.answers
        for start in range(min(PARTS, len(answers))):
            part = np.concatenate(answers[start::PARTS])
            error = self._without(part).astype(np.float32)
            yield values @ (self._weights - self._inverse[:, part] @ error) + self.mean

    def _errors(self, positions: np.ndarray, values: np.ndarray, error: np.ndarray) -> np.ndarray:
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


class LandmarkSums:
    """Sums over labelled rows in the features of r landmarks, part by part, and what follows.

    The kernel is approximated from landmarks (Nystroem; Williams and Seeger 2001): with kernel
    values k of a row and the triangular factor `F F' = K_rr`, its features are `x = F^-1 k`. The
    sums cost m r^2, and so do leverages; `LandmarkRidge` takes both over for labels that differ in
    few rows.

    Args:
        features: kernel parts of n items.
        targets: what the m labelled items teach.
        landmarks: rows of `features`.
        ridge: see `ExactRidge`.
    """

    def __init__(
        self,
        features: Features,
        targets: Targets,
        landmarks: np.ndarray,
        ridge: float | None = None,
    ) -> None:
        self.features, self.targets, self.landmarks = features, targets, landmarks
        rank, num_nodes = len(landmarks), targets.num_nodes
        self.ridge = ridge if ridge is not None else best_ridge(features, targets)
        gram = kernel(features, landmarks, landmarks).astype(np.float64)
        gram[np.diag_indices(rank)] += _JITTER
        inverse = solve_triangular(np.linalg.cholesky(gram), np.eye(rank), lower=True)
        # Lower triangles, in LAPACK's order: products with them cost half, and nothing is copied.
        self.map = np.asfortranarray(inverse, dtype=np.float32)
        del gram, inverse
        self.num_parts = max(2, min(PARTS, MOST_PART_VALUES // (rank * (rank + num_nodes))))
        self.part = parts_of(targets, self.num_parts)
        self.parts = [self._sums_of(part) for part in range(self.num_parts)]
        gram = _Sums.of(self.parts).gram
        self._whitener = strsm(1.0, _factor(gram, self.ridge), self.map, lower=1)
        self._leverage = np.full(features.sparse.shape[0], np.nan, dtype=np.float32)

    def mapped(self, values: np.ndarray) -> np.ndarray:
        """Features `x` from kernel values `[q, r]`, which are overwritten, `[r, q]`."""
        return _times(self.map, values)

    def white(self, values: np.ndarray) -> np.ndarray:
        """`L^-1 x` from kernel values `[q, r]`, which are overwritten, `[r, q]`; `L L'` is the sum
        of `x x'` and the ridge."""
        return _times(self._whitener, values)

    def directions(self, white: np.ndarray) -> np.ndarray:
        """What the inner products of kernel values and of `white` `[r, q]` are had from."""
        return np.asarray(self._whitener.T @ white)

    def leverage(self, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
        """`|L^-1 x|^2` of items with kernel values `[q, r]`; each is computed once."""
        new = np.isnan(self._leverage[rows])
        if new.any():
            white = self.white(values[new])
            self._leverage[rows[new]] = np.einsum("ij,ij->j", white, white)
        return self._leverage[rows]

    def _sums_of(self, part: int) -> _Sums:
        positions = np.flatnonzero(self.part == part)
        sums = _Sums.zeros(len(self.landmarks), self.targets.num_nodes)
        for start in range(0, len(positions), CHUNK):
            some = positions[start : start + CHUNK]
            values = kernel(self.features, self.targets.rows[some], self.landmarks)
            sums.add(self.mapped(values), self.targets.labels[some])
        return sums


@dataclass
class _Sums:
    """Sums over rows of features by features, the lower triangle of `[r, r]`, of features by
    indicators `[r, K]`, and of features `[r]`."""

    gram: np.ndarray
    total: np.ndarray
    plain: np.ndarray

    @classmethod
    def zeros(cls, rank: int, num_nodes: int) -> _Sums:
        gram = np.zeros((rank, rank), dtype=np.float32, order="F")
        return cls(gram, np.zeros((rank, num_nodes), np.float32), np.zeros(rank, np.float32))

    @classmethod
    def of(cls, parts: list[_Sums]) -> _Sums:
        """Sums of all parts."""
        sums = cls.zeros(*parts[0].total.shape)
        for part in parts:
            sums.gram += part.gram
            sums.total += part.total
            sums.plain += part.plain
        return sums

    def add(self, features: np.ndarray, labels: np.ndarray, sign: int = 1) -> None:
        """Adds rows with features `[r, q]` and labels `[q]`, or takes them away."""
        self.gram = ssyrk(sign, features, beta=1.0, c=self.gram, lower=1, overwrite_c=1)
        self.total += sign * (_indicators(labels, self.total.shape[1]).T @ features.T).T
        self.plain += sign * features.sum(axis=1)


class LandmarkRidge(Ridge):
    """From landmarks, for labels near those of given sums.

    With `L L'` the sum of `x x'` over labelled rows and the ridge, a row has the leverage
    `h = |L^-1 x|^2`, and its score without its own label is `y - (y - s) / (1 - h)`. Rows that are
    labelled now and not in the sums, or otherwise than there, are added and taken away: the scores
    are those of new sums, but for rounding.

    Args:
        sums: of labels that differ in few rows.
        targets: what the labelled items teach; None: what is in the sums.
    """

    def __init__(self, sums: LandmarkSums, targets: Targets | None = None) -> None:
        targets = sums.targets if targets is None else targets
        super().__init__(sums.features, targets, sums.landmarks, sums.ridge)
        self._base = sums
        self._changes = changes = _Changes.between(sums, targets)
        self._sums = _Sums.of(sums.parts)
        values = kernel(sums.features, changes.rows, sums.landmarks)
        white = sums.white(values.copy())
        self._directions = sums.directions(white)
        # Woodbury's identity: what the changed rows do to the inverse.
        middle = np.diag(changes.sign.astype(np.float64)) + white.T @ white
        self._middle = np.linalg.inv(middle).astype(np.float32)
        self._changed = sums.mapped(values)
        self._change(self._sums, np.ones(len(changes.rows), dtype=bool))
        self._weights = sums.map.T @ self._primal(self._sums)
        self._blocks = dict(self._left_out_blocks())

    def resampled(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """See `Ridge.resampled`."""
        base = self._base
        values = base.mapped(kernel(base.features, rows, base.landmarks)).T
        for number, part in enumerate(base.parts):
            left = _Sums(*(own.copy(order="K") for own in vars(self._sums).values()))
            left.gram -= part.gram
            left.total -= part.total
            left.plain -= part.plain
            self._change(left, self._changes.part == number, -1)
            yield values @ self._primal(left) + self.mean

    def _errors(self, positions: np.ndarray, values: np.ndarray, error: np.ndarray) -> np.ndarray:
        along = values @ self._directions
        leverage = self._base.leverage(self._targets.rows[positions], values)
        leverage = leverage - np.einsum("ij,ij->i", along @ self._middle, along)
        return np.asarray(error / (1.0 - np.minimum(leverage, 0.999))[:, None])

    def _influence(self, positions: np.ndarray, values: np.ndarray) -> np.ndarray:
        own = kernel(self._features, self._targets.rows[positions], self._references)
        along, own_along = values @ self._directions, own @ self._directions
        white, own_white = self._base.white(values), self._base.white(own)
        changed = np.einsum("ij,ij->i", along @ self._middle, own_along)
        return np.asarray(np.einsum("ij,ij->j", white, own_white) - changed)

    def _change(self, sums: _Sums, some: np.ndarray, direction: int = 1) -> None:
        """Adds some of the changed rows to sums, or, with direction -1, takes them out again."""
        for sign in (1, -1):
            part = some & (self._changes.sign == sign)
            if part.any():
                sums.add(self._changed[:, part], self._changes.labels[part], sign * direction)

    def _primal(self, sums: _Sums) -> np.ndarray:
        """Weights of the features, `[r, K]`."""
        target = sums.total - np.outer(sums.plain, self.mean)
        return np.asarray(spotrs(_factor(sums.gram, self.ridge), target, lower=1)[0])

    def _left_out_blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        for block in self._targets.blocks():
            rows = self._targets.rows[block]
            values = kernel(self._base.features, rows, self._base.landmarks)
            own = self._targets.indicators(block).toarray() - self.mean
            error = own - values @ self._weights
            along = values @ self._directions
            white = self._base.white(values)
            hat = (white.T @ white - along @ self._middle @ along.T).astype(np.float64)
            left = own - np.linalg.solve(np.eye(len(block)) - hat, error) + self.mean
            yield from zip(block.tolist(), left.astype(np.float32), strict=True)


@dataclass(frozen=True)
class _Changes:
    """Rows that labels add to sums (sign 1) or take away from them (-1), `[q]` each; a row with
    another label than in the sums is here twice."""

    rows: np.ndarray
    labels: np.ndarray
    part: np.ndarray
    sign: np.ndarray

    @classmethod
    def between(cls, sums: LandmarkSums, targets: Targets) -> _Changes:
        before, after = (
            pd.DataFrame({"row": own.rows, "label": own.labels, "part": part})
            for own, part in (
                (sums.targets, sums.part),
                (targets, parts_of(targets, sums.num_parts)),
            )
        )
        both = pd.concat([before.assign(sign=-1), after.assign(sign=1)])
        both = both.drop_duplicates(["row", "label", "part"], keep=False)
        return cls(*(both[column].to_numpy() for column in ("row", "label", "part", "sign")))


def parts_of(targets: Targets, num_parts: int) -> np.ndarray:
    """Part of each labelled row, by a hash of the first item of its answer, so that more labels
    move none of those that were there; `[m]`."""
    first = np.empty(len(targets.rows), dtype=np.uint64)
    sizes = np.array([len(answer) for answer in targets.answers])
    heads = np.array([answer[0] for answer in targets.answers])
    first[np.concatenate(targets.answers)] = np.repeat(targets.rows[heads], sizes)
    # Knuth's multiplicative hash: the upper half of 32 bits.
    mixed = first * np.uint64(2_654_435_761) % np.uint64(2**32) >> np.uint64(16)
    return mixed.astype(np.int64) % num_parts


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
    own = targets.indicators(some).toarray() - targets.mean
    moved = vectors.T @ own
    errors = []
    for ridge in RIDGES:
        inverse = 1.0 / (np.maximum(values, 0.0) + ridge)
        residual = vectors @ (inverse[:, None] * moved)
        diagonal = np.square(vectors) @ inverse
        errors.append(float(np.square(residual / diagonal[:, None]).mean()))
    return RIDGES[int(np.argmin(np.round(errors, 9)))]


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


def _times(lower: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`lower @ values.T`, `[r, n]`, for a lower triangle; overwrites the values."""
    return np.asarray(strmm(1.0, lower, values.T, lower=1, overwrite_b=1))


def _factor(gram: np.ndarray, ridge: float) -> np.ndarray:
    """Lower triangular factor of a sum of `x x'` and the ridge."""
    matrix = gram.copy(order="F")
    matrix[np.diag_indices(len(matrix))] += ridge
    factor, info = spotrf(matrix, lower=1, overwrite_a=1)
    _check(info)
    return np.asarray(factor)


def _check(info: int) -> None:
    if info != 0:
        raise np.linalg.LinAlgError(f"kernel is not positive definite (LAPACK potrf: {info})")
