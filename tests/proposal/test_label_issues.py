"""Planted label errors are found, judged without the label itself, and counted honestly."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from strata_labels.proposal import label_issues as module
from strata_labels.proposal.label_issues import (
    LabelIssues,
    is_shared,
    issues_at_level,
    most_harmful_first,
    score_labels,
)

NODES = 8


@pytest.fixture(params=["all nodes", "the likeliest"])
def counted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Confusions between all nodes, and those that many nodes would be counted by."""
    if request.param == "the likeliest":
        monkeypatch.setattr(module, "MOST_COUNTED", NODES - 1)
        monkeypatch.setattr(module, "NUM_COUNTED", 3)


def world(seed: int, number: int = 2_000, share: float = 0.1):
    """Calibrated probabilities, labels drawn from them, and some of these replaced at random."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(number, NODES)) * 4
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (probabilities.cumsum(axis=1) > random.random((number, 1))).argmax(axis=1)
    given = truth.copy()
    bad = random.random(number) < share
    given[bad] = (truth[bad] + random.integers(1, NODES, bad.sum())) % NODES
    return probabilities, truth, given, bad


@pytest.mark.usefixtures("counted")
def test_planted_errors_are_found_and_counted() -> None:
    probabilities, truth, given, bad = world(0)
    issues = issues_at_level(probabilities, given)
    assert roc_auc_score(bad, -issues.score) > 0.9
    opened = issues.opened
    assert opened.sum() > 50
    assert issues.expected_wrong == pytest.approx(bad[opened].sum(), rel=0.2)
    assert (issues.suggestion == truth)[bad & opened].mean() > 0.7
    assert (issues.suggestion != given).all()


def test_without_errors_next_to_nothing_is_opened() -> None:
    probabilities, truth, _, _ = world(1)
    assert issues_at_level(probabilities, truth).opened.mean() < 0.01


def test_a_known_confusion_makes_a_label_less_doubtful() -> None:
    random = np.random.default_rng(2)
    evidence = random.integers(0, 3, 900)
    probabilities = np.full((900, 3), 0.02)
    probabilities[np.arange(900), evidence] = 0.96
    given = evidence.copy()
    # People often say 1 where the evidence says 0; a single row says 2.
    zeros = np.flatnonzero(evidence == 0)
    given[zeros[:60]] = 1
    given[zeros[60]] = 2
    score = issues_at_level(probabilities, given).score
    assert score[zeros[60]] < score[zeros[0]]


@pytest.mark.usefixtures("counted")
def test_the_columns_of_a_row_do_not_see_its_own_label() -> None:
    probabilities, _, given, _ = world(3, 300)
    other = given.copy()
    other[10] = (given[10] + 3) % NODES
    rows = np.arange(300)
    columns = [
        module._Confusions.count(probabilities, labels, rows).columns(np.array([10]))
        for labels in (given, other)
    ]
    np.testing.assert_allclose(columns[0], columns[1], atol=1e-9)


@pytest.mark.usefixtures("counted")
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities, _, given, _ = world(4, 500)
    whole = issues_at_level(probabilities, given)
    monkeypatch.setattr(module, "_CHUNK_CELLS", 33 * NODES)
    parts = issues_at_level(probabilities, given)
    np.testing.assert_allclose(whole.score, parts.score, atol=2e-6)
    np.testing.assert_array_equal(whole.suggestion, parts.suggestion)


def test_levels_are_scored_by_the_sums_of_their_descendants() -> None:
    probabilities, truth, given, _ = world(5)
    ancestors = np.column_stack([np.arange(NODES), np.arange(NODES) // 4])
    labels = np.column_stack([given, truth // 4])
    labels[0] = -1
    issues = score_labels(probabilities, labels, ancestors)
    assert issues.score.shape == (2_000, 2)
    assert np.isnan(issues.score[0]).all() and (issues.suggestion[0] == -1).all()
    sums = np.column_stack([probabilities[:, :4].sum(axis=1), probabilities[:, 4:].sum(axis=1)])
    np.testing.assert_array_equal(issues.score[:, 1], issues_at_level(sums, labels[:, 1]).score)
    assert issues.opened[:, 0].sum() > issues.opened[:, 1].sum()


def test_an_error_at_more_levels_or_of_more_images_comes_first() -> None:
    wrong = np.array([[0.9, 0.1], [0.9, 0.8], [0.2, 0.1], [0.6, np.nan]])
    issues = LabelIssues(1 - wrong, wrong, np.zeros((4, 2), dtype=int))
    assert most_harmful_first(issues).tolist() == [1, 0, 3]
    assert most_harmful_first(issues, np.array([1, 1, 9, 9])).tolist() == [3, 1, 0]
    assert issues.expected_wrong == pytest.approx(0.9 + 0.9 + 0.6)


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (4, 1)])
def test_nothing_to_compare_is_clean(shape: tuple[int, int]) -> None:
    probabilities = np.full(shape, 1 / shape[1])
    issues = issues_at_level(probabilities, np.zeros(shape[0], dtype=int))
    assert not issues.opened.any()
    assert issues.expected_wrong == 0


def test_labels_of_which_nothing_can_be_said_have_the_usual_share_of_errors() -> None:
    given = np.array([[0, 0], [0, 0], [1, 0], [-1, 1], [2, 1]])
    judged = is_shared(given)
    assert judged.tolist() == [[True, True]] * 2 + [[False, True], [False, True], [False, True]]
    probabilities = np.array([[0.8, 0.1, 0.1]] * 2 + [[0.9, 0.01, 0.09]] * 3)
    issues = score_labels(probabilities, given, np.array([[0, 0], [1, 0], [2, 1]]), judged=judged)
    assert issues.score[2, 0] == issues.score[4, 0] == 1 - module.WRONG_SHARE
    assert issues.wrong[2, 0] == module.WRONG_SHARE and not issues.opened[2, 0]
    assert issues.suggestion[[2, 4], 0].tolist() == [0, 0]
    assert np.isnan(issues.score[3, 0]) and issues.suggestion[3, 0] == -1
    rest = issues_at_level(probabilities[:2], given[:2, 0])
    assert np.allclose(issues.score[:2, 0], rest.score)
