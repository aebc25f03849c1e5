"""Kernel ridge regression from landmarks, for more labels than an exact kernel can hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from strata_labels.proposal.learners import (
    CHUNK,
    PARTS,
    Ridge,
    Targets,
    best_ridge,
    check_factored,
    indicators,
    kernel,
)
from strata_labels.proposal.signals import Features

# With no more labelled rows than these the kernel is exact; with more it has so many landmarks.
MOST_EXACT, RANK = 8_000, 4_096
# Values that are kept of all parts: many nodes mean fewer parts.
MOST_PART_VALUES = 160_000_000
# Rows that may differ from those of the kept sums. Set by hand: more cost as much as new sums.
MOST_CHANGED = 1_000
_JITTER = 1e-4


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
        inverse = scipy.linalg.solve_triangular(np.linalg.cholesky(gram), np.eye(rank), lower=True)
        # Lower triangles, in LAPACK's order: products with them cost half, and nothing is copied.
        self.map = np.asfortranarray(inverse, dtype=np.float32)
        del gram, inverse
        self.num_parts = max(2, min(PARTS, MOST_PART_VALUES // (rank * (rank + num_nodes))))
        self.part = parts_of(targets, self.num_parts)
        self.parts = [self._sums_of(part) for part in range(self.num_parts)]
        gram = _Sums.of(self.parts).gram
        self._whitener = scipy.linalg.blas.strsm(1.0, _factor(gram, self.ridge), self.map, lower=1)
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
        self.gram = scipy.linalg.blas.ssyrk(
            sign, features, beta=1.0, c=self.gram, lower=1, overwrite_c=1
        )
        self.total += sign * (indicators(labels, self.total.shape[1]).T @ features.T).T
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

    @property
    def parts(self) -> list[np.ndarray]:
        """See `Ridge.parts`."""
        part = parts_of(self._targets, self._base.num_parts)
        return [np.flatnonzero(part == n) for n in range(self._base.num_parts)]

    def resampled(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """See `Ridge.resampled`."""
        base = self._base
        values = base.mapped(kernel(base.features, rows, base.landmarks)).T
        whole = self._sums
        for number, part in enumerate(base.parts):
            left = _Sums(whole.gram - part.gram, whole.total - part.total, whole.plain - part.plain)
            self._change(left, self._changes.part == number, -1)
            weights = self._primal(left)
            del left
            found = values @ weights
            found += self.mean
            yield found

    def _errors(self, positions: np.ndarray) -> np.ndarray:
        rows = self._targets.rows[positions]
        values = kernel(self._features, rows, self._references)
        error = self._targets.indicators(positions).toarray() - self.mean
        error -= values @ self._weights
        along = values @ self._directions
        leverage = self._base.leverage(rows, values)
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
        target = np.empty_like(sums.total, order="F")  # LAPACK's order: nothing is copied
        np.outer(sums.plain, -self.mean, out=target)
        target += sums.total
        factor = _factor(sums.gram, self.ridge)
        return np.asarray(scipy.linalg.lapack.spotrs(factor, target, lower=1, overwrite_b=1)[0])

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


def _times(lower: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`lower @ values.T`, `[r, n]`, for a lower triangle; overwrites the values."""
    return np.asarray(scipy.linalg.blas.strmm(1.0, lower, values.T, lower=1, overwrite_b=1))


def _factor(gram: np.ndarray, ridge: float) -> np.ndarray:
    """Lower triangular factor of a sum of `x x'` and the ridge."""
    matrix = gram.copy(order="F")
    matrix[np.diag_indices(len(matrix))] += ridge
    factor, info = scipy.linalg.lapack.spotrf(matrix, lower=1, overwrite_a=1)
    check_factored(info)
    return np.asarray(factor)
