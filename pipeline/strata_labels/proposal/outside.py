"""Open set: how far an item lies outside all nodes, and from where on it is set aside.

Two statistics, both of known rows without their own label:

- the log-odds of the largest probability: no node claims the item (Hendrycks and Gimpel, "A
  baseline for detecting misclassified and out-of-distribution examples", ICLR 2017);
- the labelled share (`Scorer.labelled_share`): the share of labelled items among everything alike,
  learnt on "labelled or not" over *all* items (learning from positive and unlabelled data, Elkan
  and Noto, "Learning classifiers from only positive and unlabeled data", KDD 2008). Items of a
  missing node resemble each other, and none of them is labelled.

The second assumes that labels are missing at random within a node, so it counts the labels that
came with the data: which rows people decide is no chance.
"""

from __future__ import annotations

import numpy as np
import scipy

from strata_labels.proposal.score import Scorer, Scores

# Share of the items that belong which may be set aside. The promise is 5 %; unlabelled items vary
# beside the known ones on which the threshold is set. Chosen on draws 100 to 109 of grocery and
# 100 to 102 of names (benchmarks/outside.py).
MOST_SET_ASIDE = 0.04
CERTAINTY = 0.9


def outside_all_nodes(scorer: Scorer, scores: Scores, given: np.ndarray) -> np.ndarray:
    """Which items are unlike every node, boolean `[n]`.

    An item with a label at any level belongs there, and what is sure is not set aside.

    Args:
        scorer: holds the evidence.
        scores: its answer.
        given: whether the item came with a finest label, `[n]`.
    """
    if not given.any():
        return np.zeros(len(given), dtype=bool)
    far = outside_score(scores.top_probability[:, 0], given, scorer.labelled_share(given))
    unlabelled = scores.known_level == scores.path.shape[1]
    return (far > tolerance_limit(far[given])) & unlabelled & ~scores.accepted & ~scores.trusted


def outside_score(
    best: np.ndarray, known: np.ndarray, labelled: np.ndarray | None = None
) -> np.ndarray:
    """How far each item lies outside all nodes, `[n]`; 0 is the mean of known rows.

    Args:
        best: largest probability of a node, `[n]`; a known row's without its own label.
        known: whether the node is known, boolean `[n]`.
        labelled: the labelled share, or None.
    """
    statistics = [-scipy.special.logit(np.clip(best.astype(np.float64), 1e-4, 1 - 1e-4))]
    if labelled is not None:
        statistics.append(-labelled.astype(np.float64))
    score = np.zeros(len(known))
    if known.any():
        for values in statistics:
            spread = float(values[known].std()) or 1.0
            score += (values - values[known].mean()) / spread
    return np.round(score, 6)


def tolerance_limit(values: np.ndarray) -> float:
    """Value above which at most `MOST_SET_ASIDE` of a population lies (Wilks 1941).

    `CERTAINTY` is the probability over samples that the share above is no larger.

    The threshold of `outside_score` is that of the known rows: each scored without its own label,
    they stand for the open items that belong.

    Args:
        values: a sample of the population, `[m]`.

    Returns:
        An order statistic; infinity where the sample is too small (57 rows are enough).

    Example:
        >>> tolerance_limit(np.arange(100.0))
        98.0
        >>> tolerance_limit(np.arange(20.0))
        inf
    """
    ranks = np.arange(1, len(values) + 1)
    enough = np.flatnonzero(
        scipy.special.betainc(ranks, len(values) + 1 - ranks, MOST_SET_ASIDE) >= CERTAINTY
    )
    return float(np.sort(values)[::-1][enough[-1]]) if len(enough) else float("inf")
