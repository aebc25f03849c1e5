"""Votes of the nearest labelled items: against the formula, and for more nodes than landmarks."""

import numpy as np
import pytest
import scipy.sparse as sp
from strata_labels.proposal import CentredVectors, Scorer, Signals, learning, neighbour_votes
from strata_labels.proposal.learners import Targets, answers_of, kernel
from strata_labels.proposal.neighbour_votes import NeighbourVotes
from strata_labels.proposal.signals import Features

LABELS = np.array([0, 1, 2, 2, 0, 1, 2, 0, -1, -1, 1, -1])
NEAREST = 4


def _votes(answer: np.ndarray) -> tuple[NeighbourVotes, Features]:
    vectors = np.random.default_rng(3).standard_normal((len(LABELS), 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    features = Features(sp.csr_matrix((len(LABELS), 0)), [(vectors, 1.0, 0.5)], [])
    rows = np.flatnonzero(LABELS >= 0)
    targets = Targets(rows, LABELS[rows], 3, answers_of(answer[rows]))
    return NeighbourVotes(features, targets), features


def _plain(values: np.ndarray, speaks: np.ndarray) -> np.ndarray:
    """A row's scores by the definition, from its kernel values and the rows that may speak."""
    nearest = np.argsort(-np.where(speaks, values, 0.0))[:NEAREST]
    scores = np.zeros(3)
    for one in nearest[speaks[nearest]]:
        scores[LABELS[one]] = max(scores[LABELS[one]], values[one])
    return scores


@pytest.mark.parametrize("block", [(), (2, 3, 5)])
@pytest.mark.parametrize("most_values", [1, 1_000])
def test_votes_are_those_of_other_answers(
    block: tuple[int, ...], most_values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbour_votes, "NUM_NEAREST", NEAREST)
    monkeypatch.setattr(neighbour_votes, "MOST_VALUES", most_values)
    answer = np.full(len(LABELS), -1)
    answer[list(block)] = 0
    votes, features = _votes(answer)
    every = np.arange(len(LABELS))
    for images in (None, np.flip(features.dense[0][0], axis=0)):
        values = kernel(features, every, every, images)
        expected = []
        for row in every:
            others = (LABELS >= 0) & (every != row)
            if row in block:
                others &= answer < 0
            expected.append(_plain(values[row], others))
        np.testing.assert_allclose(votes.scores(every, images), expected, atol=1e-6)


def test_resampled_votes_leave_a_part_of_the_labels_out() -> None:
    votes, features = _votes(np.full(len(LABELS), -1))
    every, open_rows = np.arange(len(LABELS)), np.flatnonzero(LABELS < 0)
    values = kernel(features, open_rows, every)
    labelled = np.flatnonzero(LABELS >= 0)
    parts = [np.array([0, 1, 2]), np.array([3, 8]), np.array([4, 5, 6, 7])]
    resamples = list(votes.resampled(open_rows, parts))
    assert len(resamples) == len(parts)
    for part, found in zip(parts, resamples, strict=True):
        speaks = LABELS >= 0
        speaks[labelled[part]] = False
        own = np.stack([np.where(speaks & (node == LABELS), values, 0.0) for node in range(3)])
        np.testing.assert_allclose(found, own.max(axis=2).T, atol=1e-6)


def test_nodes_without_a_landmark_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "MOST_EXACT", 100)
    monkeypatch.setattr(learning, "RANK", 30)
    rng = np.random.default_rng(0)
    truth = np.arange(900) % 150
    image = rng.standard_normal((900, 64)) + 2.0 * rng.standard_normal((150, 64))[truth]
    image = (image / np.linalg.norm(image, axis=1, keepdims=True)).astype(np.float32)
    known = np.where(np.arange(900) < 600, truth, -1)
    blank = [""] * 900
    scorer = Scorer(
        Signals(blank, blank, image=CentredVectors(image)), [str(node) for node in range(150)]
    )
    scores = scorer.fit(known)
    still_open = np.arange(600, 900)
    assert (scores.node == truth)[still_open].mean() > 0.95
    of_ridge = scorer._model.ridges[0].scores(still_open).argmax(axis=1)
    assert (of_ridge == truth[still_open]).mean() < 0.7
    # Without their own labels, labelled rows are found too.
    assert (scores.left_out.argmax(axis=1) == truth[:600]).mean() > 0.95
