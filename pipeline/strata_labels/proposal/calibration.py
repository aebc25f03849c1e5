"""Confidence that means what it says, and the set of proposals that needs no review."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

NUM_BINS = 15
# What the mean confidence of an accepted set lies above the target, at least.
ACCEPTANCE_MARGIN = 0.006
# Normal quantile of a one-sided bound that holds with 90 %.
ONE_SIDED_90 = 1.2816


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error over equal-width bins (Guo et al. 2017).

    Args:
        confidence: `[n]`, 0 to 1.
        right: whether each proposal was right, `[n]`.

    Example:
        >>> round(calibration_error(np.array([0.8, 0.8]), np.array([True, False])), 3)
        0.3
    """
    if len(confidence) == 0:
        return 0.0
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=NUM_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


# Log-odds of a zero-shot proposal being right, at five log-odds its softmax gives, linear between.
# Fitted once on two thirds of the published labels of a sample of 7,287 GLDv2 landmarks (names
# alone, MiniLM text vectors): `python benchmarks/proposal.py map` fits and prints it again.
MAP_KNOTS = np.array([-3.0, -1.0, 1.0, 3.0, 5.0])
MAP_VALUES = np.array([-2.28, 0.93, 1.11, 1.68, 2.88])


# Rows below which the prior of the calibration counts more than twice. Set by hand, on simulated
# reviews: 0, 1,000, 2,000 and 4,000 were tried.
FEW = 2_000
# Decided rows that count in full. Those that people decide first are unlike the rest: n of them
# count for `n (n / REVIEWED)^2`. Chosen on simulated reviews of parts of the real sample.
REVIEWED = 3_000


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Log-odds of probabilities, kept finite."""
    return scipy.special.logit(np.clip(probability.astype(np.float64), 1e-4, 1 - 1e-4))


def zero_shot_log_odds(probability: np.ndarray) -> np.ndarray:
    """Calibrated log-odds of proposals that were made without any label, from their softmax."""
    return np.interp(log_odds(probability), MAP_KNOTS, MAP_VALUES)


def doubt_features(
    best: np.ndarray,
    probabilities: np.ndarray,
    zero_shot: np.ndarray | None,
    silent: np.ndarray,
    sources: list[np.ndarray],
) -> np.ndarray:
    """What tells a right proposal from a wrong one, `[n, 6 + 4 S]`.

    Columns: the calibrated log-odds of the proposed node by the zero-shot evidence (by everything
    where that is silent, and the softmax's own where no source says anything without labels), those
    by everything, the softmax's own, the log-ratio of best to second, the entropy; whether the
    zero-shot answer is the same; for each source whether its own best node is the proposed one (1),
    another (-1) or it is silent (0), its score of the proposed node, how far that is below its own
    best, and its best less its second.

    Args:
        best: the proposed node, `[n]`.
        probabilities: what labels and evidence say together, `[n, K]`.
        zero_shot: what the evidence says without any label, `[n, K]`; None where no source says
            anything without. It keeps its meaning where no label has been seen, as among rows too
            sure to be asked about.
        silent: where it tells no node from another, boolean `[n]`.
        sources: scores of each source, `[n, K]` each.
    """
    index = np.arange(len(probabilities))
    own = log_odds(probabilities[index, best])
    clipped = np.clip(probabilities.astype(np.float64), 1e-6, 1)
    entropy = -(clipped * np.log(clipped)).sum(axis=1)
    second = np.log(np.clip(_without(probabilities, best), 1e-4, 1))
    first = np.log(np.clip(probabilities[index, best].astype(np.float64), 1e-4, 1))
    if zero_shot is None:
        untaught, calibrated, same = own, np.zeros(len(best)), np.zeros(len(best))
    else:
        calibrated = zero_shot_log_odds(probabilities[index, best])
        highest = zero_shot.max(axis=1)
        same = zero_shot[index, best] >= highest
        likeliest = zero_shot_log_odds(highest)
        # The map is of likeliest nodes. Another is right at most where that one is wrong.
        other = np.minimum(zero_shot_log_odds(zero_shot[index, best]), -likeliest)
        untaught = np.where(silent, calibrated, np.where(same, likeliest, other))
    features = [np.column_stack([untaught, calibrated, own, first - second, entropy, same])]
    for source in sources:
        highest, chosen = source.max(axis=1), source[index, best]
        speaks = highest > source.mean(axis=1) + 1e-6
        agrees = np.where(speaks, np.where(chosen >= highest, 1.0, -1.0), 0.0)
        gap = highest - _without(source, source.argmax(axis=1))
        features.append(np.column_stack([agrees, chosen, highest - chosen, gap]))
    return np.hstack(features)


def _without(values: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Each row's highest value but that of one column, `[n]`; 0 where there is no other."""
    if values.shape[1] < 2:
        return np.zeros(len(values))
    others = values.astype(np.float64, copy=True)
    others[np.arange(len(values)), best] = -np.inf
    return others.max(axis=1)


@dataclass(frozen=True)
class Calibration:
    """A logistic model of whether a proposal is right.

    Attributes:
        weights: one a doubt feature, `[F]`.
        bias: one a node, `[K]`, since some nodes are easier than others.
    """

    weights: np.ndarray
    bias: np.ndarray

    def confidence(self, features: np.ndarray, node: np.ndarray) -> np.ndarray:
        """Probability that each proposal is right, `[n]`.

        Args:
            features: see `doubt_features`, `[n, F]`.
            node: the proposed node, `[n]`.
        """
        return scipy.special.expit(features @ self.weights + self.bias[node])


def worth_of(decided: np.ndarray) -> np.ndarray:
    """How many rows each labelled row counts for against the prior of a calibration, `[n]`.

    Args:
        decided: whether people decided each of n items, boolean `[n]`. See `REVIEWED`.
    """
    return np.where(decided, min(1.0, (decided.sum() / REVIEWED) ** 2), 1.0)


def fit_calibration(
    features: np.ndarray,
    node: np.ndarray,
    num_nodes: int,
    right: np.ndarray,
    worth: np.ndarray,
) -> Calibration:
    """Logistic regression on out-of-sample outcomes.

    Args:
        features: `[m, F]`; the first column is a log-odds that is right already if nothing is
            learnt: weights are drawn towards 1 for it and 0 for the others, the harder the fewer
            rows there are.
        node: the proposed node, `[m]`.
        num_nodes: K.
        right: whether each of those proposals was right, `[m]`.
        worth: rows that each counts for against that prior, see `worth_of`, `[m]`.
    """
    num_features = features.shape[1]
    prior = np.zeros(num_features + num_nodes)
    prior[0] = 1.0
    sign = np.where(right, 1.0, -1.0)
    pull = 1.0 + FEW / max(worth.sum(), 0.1)

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        score = sign * (features @ theta[:num_features] + theta[num_features:][node])
        gap = theta - prior
        slope = -(sign * scipy.special.expit(-score))
        by_node = np.bincount(node, weights=slope, minlength=num_nodes)
        gradient = np.concatenate([slope @ features, by_node]) + pull * gap
        return float(np.logaddexp(0, -score).sum() + 0.5 * pull * gap @ gap), gradient

    theta = scipy.optimize.minimize(objective, prior, jac=True, method="L-BFGS-B").x
    return Calibration(theta[:num_features], theta[num_features:])


def acceptance_threshold(
    confidence: np.ndarray,
    target: float,
    known_confidence: np.ndarray | None = None,
    known_right: np.ndarray | None = None,
    known_answer: np.ndarray | None = None,
) -> float:
    """Lowest confidence at which proposals are accepted without review.

    The accepted set is the largest one that two estimates call good enough: the mean calibrated
    confidence of the open proposals is at least `target + ACCEPTANCE_MARGIN`, and, where labels are
    known, the share of known rows that were right out of sample is at least `target`, by its lower
    bound (Wilson 1927, one-sided 90 %). For it, rows of one answer are one trial: they look
    alike.

    Args:
        confidence: calibrated confidences of the open proposals, `[n]`.
        target: accuracy asked of the accepted set.
        known_confidence: calibrated out-of-sample confidences of the known rows, `[m]`.
        known_right: whether those were right, `[m]`.
        known_answer: the answer each is known by, `[m]`, -1: one of its own; None: all their own.

    Returns:
        A threshold; above 1 where no set is good enough.
    """
    order = np.argsort(-confidence, kind="stable")
    sure = np.cumsum(confidence[order]) / np.arange(1, len(order) + 1)
    thresholds = [_lowest(confidence[order], sure >= target + ACCEPTANCE_MARGIN)]
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


def _wilson(share: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """Lower bound of a share seen in so many trials."""
    z = ONE_SIDED_90
    centre = share + z * z / (2 * trials)
    spread = z * np.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    return (centre - spread) / (1 + z * z / trials)
