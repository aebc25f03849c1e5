"""Items of a node that is missing are set aside, and few of those that belong."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score
from strata_labels.proposal import CentredVectors, Scorer, Signals
from strata_labels.proposal.learners import kernel
from strata_labels.proposal.outside import MOST_SET_ASIDE, outside_score, tolerance_limit
from strata_labels.proposal.score import SHARE_RIDGE


def world(seed: int):
    """Items of five directions; the last has no labels, half of the others have."""
    random = np.random.default_rng(seed)
    node = random.integers(0, 5, 1_000)
    vectors = np.eye(5, 16)[node] + random.normal(size=(1_000, 16)) * 0.25
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    known = (node < 4) & (random.random(1_000) < 0.5)
    centres = np.stack([vectors[known & (node == n)].mean(axis=0) for n in range(4)])
    odds = np.exp(4 * vectors @ centres.T)
    return vectors, odds / odds.sum(axis=1, keepdims=True), known, node == 4


def scorer_of(vectors: np.ndarray) -> Scorer:
    blank = [""] * len(vectors)
    return Scorer(Signals(blank, blank, image=CentredVectors(vectors)), ["a", "b", "c", "d"])


def test_a_missing_node_is_set_aside() -> None:
    vectors, probabilities, known, missing = world(0)
    share = scorer_of(vectors).labelled_share(known)
    best = probabilities.max(axis=1)
    both, alone = outside_score(best, known, share), outside_score(best, known)
    assert roc_auc_score(missing[~known], both[~known]) > 0.97
    assert roc_auc_score(missing[~known], alone[~known]) > 0.8
    assert (both[missing] > tolerance_limit(both[known])).mean() > 0.8


def test_few_items_that_belong_are_set_aside() -> None:
    shares = []
    for seed in range(10):
        vectors, probabilities, known, missing = world(seed)
        share = scorer_of(vectors).labelled_share(known)
        score = outside_score(probabilities.max(axis=1), known, share)
        shares.append((score > tolerance_limit(score[known]))[~known & ~missing].mean())
    assert np.mean(shares) <= 0.05


def test_the_labelled_share_leaves_each_row_out() -> None:
    vectors, _, known, _ = world(1)
    scorer = scorer_of(vectors[:400])
    known = known[:400]
    share = scorer.labelled_share(known)
    parts = scorer._features
    rows = np.arange(400)
    for row in (0, 200, 399):
        others = np.delete(rows, row)
        gram = kernel(parts, others, others).astype(float) + SHARE_RIDGE * np.eye(399)
        dual = np.linalg.solve(gram, known[others] - known.mean())
        expected = kernel(parts, rows[[row]], others) @ dual + known.mean()
        np.testing.assert_allclose(share[row], expected[0], atol=1e-3)


def test_too_few_known_rows_set_nothing_aside() -> None:
    assert tolerance_limit(np.arange(56.0)) == np.inf
    assert np.isfinite(tolerance_limit(np.arange(57.0)))
    assert (outside_score(np.full(3, 0.5), np.zeros(3, dtype=bool)) == 0).all()


def test_the_limit_holds_over_samples() -> None:
    random = np.random.default_rng(3)
    above = [1 - tolerance_limit(random.random(300)) for _ in range(500)]
    assert 0.87 < np.mean(np.array(above) <= MOST_SET_ASIDE) < 1.0
