"""How sure each proposed path is, and from which level on upwards it needs no review."""

from __future__ import annotations

import numpy as np
import scipy

from strata_labels.proposal.calibration import (
    Calibration,
    acceptance_threshold,
    doubt_features,
    fit_calibration,
    zero_shot_log_odds,
)
from strata_labels.proposal.levels import NodeLevels
from strata_labels.proposal.model import Chunk

# Confidence of an untied class chain, unless a head word of the name or look-alikes with known
# labels say otherwise this clearly. Set by hand: too few recorded matches exist to measure it.
CLASS_CONFIDENCE = 0.97
STRONG_NAME, STRONG_KNOWN = 0.9, 0.5
# Decimals of confidences: fewer than what other BLAS kernels change.
DECIMALS = 5


class Acceptance:
    """Confidences of proposed paths, and which of these are accepted.

    A confidence means something else where a coarser label is given: there is a calibration for
    each finest given level, S for no label at all, and each level below it. Until `fit` it is the
    map of zero-shot proposals.

    Args:
        levels: the nodes.
        target: accuracy asked of what is accepted without review.
        surest: no calibrated confidence is higher.
    """

    def __init__(self, levels: NodeLevels, target: float, surest: float) -> None:
        self._levels, self._target, self._surest = levels, target, surest
        # By given level: calibrations of the levels below it, and confidences and rightness of the
        # rows that these were fitted on; positions of the rows, and the answers they are known by.
        self._calibrations: dict[int, list[Calibration]] = {}
        self._measured: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._rows = self._answers = np.zeros(0, dtype=np.int64)

    def fit(self, chunk: Chunk, known: np.ndarray, answers: np.ndarray, worth: np.ndarray) -> None:
        """Fits the calibrations on rows, each scored without its own label.

        For each given level the rows are scored with their own labels from there upwards.

        Args:
            chunk: of m rows with a known finest label.
            known: their nodes at each level, `[m, S]`.
            answers: number of the answer each is known by, `[m]`, -1 for one of its own.
            worth: rows that each counts for, see `worth_of`, `[m]`.
        """
        self._rows, self._answers = chunk.rows, answers
        num_levels = len(self._levels)
        for given in range(1, num_levels + 1):
            inside = chunk
            if given < num_levels:
                inside = chunk.within(self._levels, given, known[:, given])
            found = self._levels.best_path(inside.probabilities)
            self._calibrations[given] = []
            right = found == known
            for level in range(given):
                doubts = self._doubts(inside, found[:, level], level)
                self._calibrations[given].append(
                    fit_calibration(
                        doubts, found[:, level], self._levels.sizes[level], right[:, level], worth
                    )
                )
            sure, _ = self.confidence(inside, found, given)
            sure = np.round(np.maximum.accumulate(sure, axis=1), DECIMALS)
            self._measured[given] = sure, right

    def confidence(
        self, chunk: Chunk, path: np.ndarray, given: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Confidences of paths, and for which of them a class chain vouches.

        Args:
            chunk: of n rows.
            path: their nodes at each level, `[n, S]`.
            given: the finest level at which their labels were given; S for none.

        Returns:
            Confidences `[n, S]`, 1 from the given level on upwards, and booleans `[n]`.
        """
        sure = np.ones(path.shape)
        for level in range(given):
            node = path[:, level]
            if self._calibrations:
                doubts = self._doubts(chunk, node, level)
                found = self._calibrations[given][level].confidence(doubts, node)
                sure[:, level] = np.minimum(found, self._surest)
            else:
                raw = self._levels.sums(chunk.probabilities, level)[np.arange(len(node)), node]
                sure[:, level] = scipy.special.expit(zero_shot_log_odds(raw))
        trusted = trusted_class(chunk, path[:, 0])
        sure[trusted] = np.maximum(sure[trusted], CLASS_CONFIDENCE)
        return sure, trusted

    def accepted(
        self,
        confidence: np.ndarray,
        known: np.ndarray,
        known_level: np.ndarray,
        trusted: np.ndarray,
    ) -> tuple[np.ndarray, float]:
        """From which level on upwards paths need no review.

        Args:
            confidence: of the paths of all items, `[n, S]`.
            known: node of each item at each level, -1 where unknown, `[n, S]`.
            known_level: the finest level at which it is known, `[n]`; S for none.
            trusted: whether a class chain vouches for the finest node, `[n]`.

        Returns:
            See `Scores.accepted_level` and `Scores.threshold`.
        """
        num_levels = known.shape[1]
        passed = known >= 0
        threshold = 2.0
        # Class chains have a confidence set by hand: they lend none of it to other rows.
        free = ~trusted[self._rows]
        for given in range(1, num_levels + 1):
            rows = np.flatnonzero((known_level == given) & ~trusted)
            for level in range(given):
                own = confidence[rows, level]
                if given in self._measured:
                    sure, right = (values[free, level] for values in self._measured[given])
                    limit = acceptance_threshold(
                        own, self._target, sure, right, self._answers[free]
                    )
                else:
                    limit = acceptance_threshold(own, self._target)
                passed[rows, level] = confidence[rows, level] >= limit
                if given == num_levels and level == 0:
                    threshold = limit
        if self._target <= CLASS_CONFIDENCE:
            passed |= trusted[:, None]
        # A level counts only if all above it do.
        whole = np.logical_and.accumulate(passed[:, ::-1], axis=1)[:, ::-1]
        return num_levels - whole.sum(axis=1), threshold

    def _doubts(self, chunk: Chunk, node: np.ndarray, level: int) -> np.ndarray:
        levels = self._levels
        zero_shot = None if chunk.zero_shot is None else levels.sums(chunk.zero_shot, level)
        sources = [levels.highest(source, level) for source in chunk.sources.values()]
        if chunk.learnt:
            sources.append(chunk.learnt[level])
        sources += [levels.highest(votes, level) for votes in chunk.votes]
        probabilities = levels.sums(chunk.probabilities, level)
        return doubt_features(node, probabilities, zero_shot, chunk.silent, sources)


def trusted_class(chunk: Chunk, best: np.ndarray) -> np.ndarray:
    """Rows whose class chain reaches the proposed node and nothing contradicts strongly.

    A chain that ties between nodes counts if the head word of the name says the same. A strong
    contradiction is the head word of the name, or labels of look-alikes learnt from.
    """
    index = np.arange(len(best))
    if "class" not in chunk.sources:
        return np.zeros(len(best), dtype=bool)
    reached, names = chunk.sources["class"], chunk.sources.get("name")
    trusted = reached[index, best] >= 1.0
    if names is not None:
        trusted |= (reached[index, best] > 0) & (names[index, best] >= STRONG_NAME)
    for source, limit in ((names, STRONG_NAME), (chunk.alike, STRONG_KNOWN)):
        if source is not None:
            own = source.argmax(axis=1)
            trusted &= (own == best) | (source[index, own] < limit)
    return trusted
