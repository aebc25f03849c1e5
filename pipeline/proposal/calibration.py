"""Confidence that means what it says, and the set of proposals that needs no review."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

NUM_BINS = 15


def calibration_error(confidence: np.ndarray, right: np.ndarray, num_bins: int = NUM_BINS) -> float:
    """Expected calibration error over equal-width bins (Guo et al. 2017, eq. 3).

    Args:
        confidence: `[n]`, 0 to 1.
        right: whether each proposal was right, `[n]`.
        num_bins: number of bins.

    Example:
        >>> round(calibration_error(np.array([0.8, 0.8]), np.array([True, False])), 3)
        0.3
    """
    if len(confidence) == 0:
        return 0.0
    bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(confidence))


def doubt_features(probabilities: np.ndarray, sources: list[np.ndarray]) -> np.ndarray:
    """What tells a right proposal from a wrong one, `[n, F]`.

    Columns: log-odds of the best node, log-ratio of best to second, and for each source whether
    its own best node is the proposed one (+1), another (-1), or it is silent (0).
    """
    index = np.arange(len(probabilities))
    best = probabilities.argmax(axis=1)
    top = np.partition(probabilities, -2, axis=1)[:, -2:].astype(np.float64)
    features = [
        logit(np.clip(top[:, 1], 1e-4, 1 - 1e-4)),
        np.log(np.clip(top[:, 1], 1e-4, 1)) - np.log(np.clip(top[:, 0], 1e-4, 1)),
    ]
    for source in sources:
        own = source.argmax(axis=1)
        speaks = source[index, own] > source.mean(axis=1) + 1e-6
        features.append(np.where(speaks, np.where(own == best, 1.0, -1.0), 0.0))
    return np.column_stack(features)


@dataclass(frozen=True)
class Calibration:
    """Logistic map from doubt features to the probability of being right.

    Attributes:
        weights: one a feature, `[F]`.
        offset: log-odds where all features are 0.
    """

    weights: np.ndarray
    offset: float

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Calibrated confidence, `[n]`."""
        return expit(features @ self.weights + self.offset)


def fit_calibration(features: np.ndarray, right: np.ndarray, prior: Calibration) -> Calibration:
    """Logistic regression on out-of-sample outcomes, drawn towards `prior` (unit deviation)."""
    start = np.append(prior.weights, prior.offset)
    design = np.column_stack([features, np.ones(len(features))])
    sign = np.where(right, 1.0, -1.0)

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        score = sign * (design @ theta)
        gap = theta - start
        gradient = -(sign * expit(-score)) @ design + gap
        return float(np.logaddexp(0, -score).sum() + 0.5 * gap @ gap), gradient

    theta = minimize(objective, start, jac=True, method="L-BFGS-B").x
    return Calibration(theta[:-1], float(theta[-1]))


def acceptance_threshold(
    confidence: np.ndarray,
    target: float,
    known_confidence: np.ndarray | None = None,
    known_right: np.ndarray | None = None,
    margin: float = 0.005,
) -> float:
    """Lowest confidence at which proposals are accepted without review.

    The accepted set is the largest one whose estimated accuracy is at least `target + margin`.
    Two estimates must agree: the mean calibrated confidence of the open proposals, and, where
    labels are known, the share of known rows that were right out of sample.

    Args:
        confidence: calibrated confidences of the open proposals, `[n]`.
        target: accuracy asked of the accepted set.
        known_confidence: calibrated out-of-sample confidences of the known rows, `[m]`.
        known_right: whether those were right, `[m]`.
        margin: safety margin.

    Returns:
        A threshold; above 1 where no set is good enough.
    """
    thresholds = [_lowest(confidence, confidence, target + margin)]
    if known_confidence is not None and known_right is not None and len(known_right):
        thresholds.append(_lowest(known_confidence, known_right.astype(float), target + margin))
    return max(thresholds)


def _lowest(confidence: np.ndarray, right: np.ndarray, target: float) -> float:
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    accuracy = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    # Rows of equal confidence are accepted together or not at all.
    ends = np.append(ranked[1:] != ranked[:-1], True) if len(ranked) else np.zeros(0, bool)
    good = np.flatnonzero((accuracy >= target) & ends)
    return float(ranked[good[-1]]) if len(good) else 2.0
