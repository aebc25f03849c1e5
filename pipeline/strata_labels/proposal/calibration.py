"""Confidence that means what it says, and the set of proposals that needs no review."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

NUM_BINS = 15


def calibration_error(confidence: np.ndarray, right: np.ndarray, num_bins: int = NUM_BINS) -> float:
    """Expected calibration error over equal-width bins (Guo et al. 2017).

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


# Log-odds of a zero-shot proposal being right, at five log-odds its softmax gives, linear between.
# Fitted once on two thirds of the published labels of a sample of 7,287 GLDv2 landmarks (names
# alone, MiniLM text vectors): `python benchmarks/proposal.py map` fits and prints it again.
MAP_KNOTS = np.array([-3.0, -1.0, 1.0, 3.0, 5.0])
MAP_VALUES = np.array([-2.28, 0.93, 1.11, 1.68, 2.88])


# Rows below which the prior of the calibration counts more than twice. Set by hand, on simulated
# reviews: 0, 1,000, 2,000 and 4,000 were tried.
FEW = 2_000


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Log-odds of each row's best node, `[n]`."""
    best = probabilities.max(axis=1).astype(np.float64)
    return logit(np.clip(best, 1e-4, 1 - 1e-4))


def zero_shot_log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Calibrated log-odds of proposals made without any known label, `[n]`."""
    return np.interp(log_odds(probabilities), MAP_KNOTS, MAP_VALUES)


def doubt_features(
    probabilities: np.ndarray, zero_shot: np.ndarray, sources: list[np.ndarray]
) -> np.ndarray:
    """What tells a right proposal from a wrong one, `[n, 6 + 4 S + K]`.

    Columns: the zero-shot log-odds, the softmax's own, the log-ratio of best to second, the
    entropy; whether the zero-shot answer is the same, and its calibrated log-odds, negative where
    it is another; for each source whether its own best node is the proposed one (1), another (-1)
    or it is silent (0), its score of the proposed node, how far that is below its own best, and
    its best less its second; an indicator of the proposed node, since some nodes are easier than
    others.

    Args:
        probabilities: what labels and evidence say together, `[n, K]`.
        zero_shot: what the evidence says without any label, `[n, K]`. It keeps its meaning where
            no label has been seen, as among rows too sure to be asked about.
        sources: scores of each source, `[n, K]` each.
    """
    index = np.arange(len(probabilities))
    best = probabilities.argmax(axis=1)
    clipped = np.clip(probabilities.astype(np.float64), 1e-6, 1)
    top = np.log(np.clip(np.partition(probabilities, -2, axis=1)[:, -2:].astype(float), 1e-4, 1))
    own_odds = log_odds(probabilities)
    entropy = -(clipped * np.log(clipped)).sum(axis=1)
    same = zero_shot.argmax(axis=1) == best
    first_odds = zero_shot_log_odds(zero_shot) * np.where(same, 1.0, -1.0)
    features = [
        np.column_stack([zero_shot_log_odds(probabilities), own_odds, top[:, 1] - top[:, 0]]),
        np.column_stack([entropy, same, first_odds]),
    ]
    for source in sources:
        own = source.argmax(axis=1)
        highest, chosen = source[index, own], source[index, best]
        speaks = highest > source.mean(axis=1) + 1e-6
        agrees = np.where(speaks, np.where(own == best, 1.0, -1.0), 0.0)
        second = np.partition(source, -2, axis=1)[:, -2]
        features.append(np.column_stack([agrees, chosen, highest - chosen, highest - second]))
    indicator = np.zeros(probabilities.shape)
    indicator[index, best] = 1.0
    return np.hstack([*features, indicator])


def fit_calibration(features: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Logistic regression on out-of-sample outcomes.

    Args:
        features: `[m, F]`; the first column is a log-odds that is right already if nothing is
            learnt: weights are drawn towards 1 for it and 0 for the others, the harder the fewer
            rows there are, since the first rows that people decide are unlike the rest.
        right: whether each of those proposals was right, `[m]`.

    Returns:
        Weights `[F]`; confidence is the logistic function of `features @ weights`.
    """
    prior = np.zeros(features.shape[1])
    prior[0] = 1.0
    sign = np.where(right, 1.0, -1.0)
    pull = 1.0 + FEW / len(right)

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        score = sign * (features @ weights)
        gap = weights - prior
        gradient = -(sign * expit(-score)) @ features + pull * gap
        return float(np.logaddexp(0, -score).sum() + 0.5 * pull * gap @ gap), gradient

    return minimize(objective, prior, jac=True, method="L-BFGS-B").x


def acceptance_threshold(
    confidence: np.ndarray,
    target: float,
    known_confidence: np.ndarray | None = None,
    known_right: np.ndarray | None = None,
    known_answer: np.ndarray | None = None,
    margin: float = 0.006,
) -> float:
    """Lowest confidence at which proposals are accepted without review.

    The accepted set is the largest one that two estimates call good enough: the mean calibrated
    confidence of the open proposals is at least `target + margin`, and, where labels are known, the
    share of known rows that were right out of sample is at least `target`, by its lower bound
    (Wilson 1927, one-sided 90 %). For it, rows of one answer are one trial: they look alike.

    Args:
        confidence: calibrated confidences of the open proposals, `[n]`.
        target: accuracy asked of the accepted set.
        known_confidence: calibrated out-of-sample confidences of the known rows, `[m]`.
        known_right: whether those were right, `[m]`.
        known_answer: the answer each is known by, `[m]`, -1: one of its own; None: all their own.
        margin: safety margin.

    Returns:
        A threshold; above 1 where no set is good enough.
    """
    order = np.argsort(-confidence, kind="stable")
    sure = np.cumsum(confidence[order]) / np.arange(1, len(order) + 1)
    thresholds = [_lowest(confidence[order], sure >= target + margin)]
    if known_confidence is not None and known_right is not None and len(known_right):
        order = np.argsort(-known_confidence, kind="stable")
        right = np.cumsum(known_right[order]) / np.arange(1, len(order) + 1)
        bound = _wilson(right, _trials(known_answer, order))
        thresholds.append(_lowest(known_confidence[order], bound >= target))
    return max(thresholds)


def _lowest(ranked: np.ndarray, good: np.ndarray) -> float:
    """The last value of a falling row up to which all is good enough."""
    # Rows of equal confidence are accepted together or not at all.
    ends = np.append(ranked[1:] != ranked[:-1], True) if len(ranked) else np.zeros(0, bool)
    found = np.flatnonzero(good & ends)
    return float(ranked[found[-1]]) if len(found) else 2.0


def _trials(answer: np.ndarray | None, order: np.ndarray) -> np.ndarray:
    """How many answers the first, first two, ... rows of an order are known by."""
    if answer is None:
        return np.arange(1, len(order) + 1)
    given = answer[order]
    new = given < 0
    new[np.unique(given, return_index=True)[1]] = True
    return np.cumsum(new)


def _wilson(share: np.ndarray, trials: np.ndarray, z: float = 1.2816) -> np.ndarray:
    """Lower bound of a share seen in so many trials."""
    centre = share + z * z / (2 * trials)
    spread = z * np.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    return (centre - spread) / (1 + z * z / trials)
