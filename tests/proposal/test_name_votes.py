"""Votes of words and n-grams: against the formula, without a row's own answer."""

import numpy as np
import pytest
import scipy.sparse as sp
from strata_labels.proposal import Scorer, name_votes
from strata_labels.proposal.learners import PARTS, Targets, answers_of
from strata_labels.proposal.name_votes import ADDED, NameVotes
from strata_labels.proposal.signals import features, node_scores

from tests.proposal.conftest import named


def plain(weights: np.ndarray, labels: np.ndarray, answer: np.ndarray, row: int) -> np.ndarray:
    """Scores of one row by the definition, from the labels of other answers."""
    num_nodes = labels.max() + 1
    share = np.bincount(labels[labels >= 0], minlength=num_nodes) / (labels >= 0).sum()
    others = labels >= 0
    others[row] = False
    if answer[row] >= 0:
        others &= answer != answer[row]
    scores = np.zeros(num_nodes)
    for feature in np.flatnonzero(weights[row]):
        seen = labels[others & (weights[:, feature] > 0)]
        count = np.bincount(seen, minlength=num_nodes)
        scores += weights[row, feature] * np.log1p(count / (ADDED * share))
    scores /= max(weights[row].sum(), 1e-9)
    return scores - scores.mean()


@pytest.mark.parametrize("block", [(), (2, 3, 5), (0, 1)])
@pytest.mark.parametrize("most_dense", [0, 1_000])
def test_votes_are_those_of_other_answers(
    block: tuple[int, ...], most_dense: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_votes, "MOST_DENSE", most_dense)
    rng = np.random.default_rng(4)
    weights = rng.uniform(0.1, 1.0, (12, 7)).astype(np.float32) * (rng.random((12, 7)) < 0.5)
    weights[11] = 0.0  # a row without words
    labels = np.array([0, 1, 2, 2, 0, 1, 2, 0, -1, -1, 1, -1])
    answer = np.full(12, -1)
    answer[list(block)] = 0
    rows = np.flatnonzero(labels >= 0)
    targets = Targets(rows, labels[rows], 3, answers_of(answer[rows]))
    found = NameVotes(sp.csr_matrix(weights), targets).scores(np.arange(12))
    expected = np.stack([plain(weights, labels, answer, row) for row in range(12)])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found).max() > 0.1


def test_resampled_votes_leave_a_part_of_the_labels_out() -> None:
    rng = np.random.default_rng(5)
    weights = rng.uniform(0.1, 1.0, (30, 7)).astype(np.float32) * (rng.random((30, 7)) < 0.5)
    labels = np.where(np.arange(30) < 26, rng.integers(0, 3, 30), -1)
    rows = np.flatnonzero(labels >= 0)
    targets = Targets(rows, labels[rows], 3, answers_of(np.full(len(rows), -1)))
    open_rows = np.flatnonzero(labels < 0)
    share = np.bincount(labels[rows]) / len(rows)
    parts = [np.arange(start, len(rows), PARTS) for start in range(PARTS)]
    resamples = list(NameVotes(sp.csr_matrix(weights), targets).resampled(open_rows, parts))
    assert len(resamples) == PARTS
    for start, found in enumerate(resamples):
        kept = np.delete(rows, np.arange(start, len(rows), PARTS))
        expected = np.zeros((len(open_rows), 3))
        for n, row in enumerate(open_rows):
            for feature in np.flatnonzero(weights[row]):
                seen = labels[kept[weights[kept, feature] > 0]]
                count = np.bincount(seen, minlength=3)
                expected[n] += weights[row, feature] * np.log1p(count / (ADDED * share))
            expected[n] /= max(weights[row].sum(), 1e-9)
        expected -= expected.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_order_of_words_counts() -> None:
    names = ["bridge tower", "tower bridge", "bridge tower", "tower bridge"]
    signals = named(*names)
    ngrams, words = features(signals, node_scores(signals, 2, None, None), 2).of_names
    assert (ngrams @ ngrams.T).toarray() == pytest.approx(1.0)
    values = (words @ words.T).toarray()
    assert values[0, 2] == pytest.approx(1.0)
    assert 0.2 < values[0, 1] < 0.8


def test_names_that_share_no_word_have_no_features() -> None:
    signals = named("bridge", "", "")
    parts = features(signals, node_scores(signals, 2, None, None), 2)
    assert parts.sparse.shape[0] == 3
    assert not parts.of_names and not parts.sparse.nnz


def test_a_place_with_one_item_of_each_kind_does_not_speak_against_a_kind() -> None:
    """Without an item's own label, the others of its place say which kinds are taken."""
    starts, ends = ("ad", "be", "co", "da", "el", "fin", "gar", "hol"), ("orf", "burg", "heim")
    places = [start + end for start in starts for end in ends]
    kinds = ("lake", "river", "church", "tower")
    labels = np.repeat(np.arange(4), len(places))
    labels[[3, 30, 55, 80]] = 2, 0, 3, 1  # wrong
    scorer = Scorer(named(*(f"{kind} of {place}" for kind in kinds for place in places)), kinds)
    scorer.fit(labels)
    assert scorer._model is not None
    assert (scorer._model.blend.weights[-2:] >= 0).all()
