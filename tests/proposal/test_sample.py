"""Names of the real sample, without vectors: quick floors under what the benchmark measures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from strata_labels.proposal import Scorer

from benchmarks.proposal import figures, read_sample, sample_scorer, truth_of

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def sample(shared: Path) -> tuple[pd.DataFrame, Scorer, np.ndarray]:
    table = read_sample(shared)
    scorer = sample_scorer(table, Path(), "name")
    return table, scorer, truth_of(table, scorer.nodes)


def test_words_alone_agree_with_the_published_labels(sample):
    _, scorer, truth = sample
    assert figures(scorer.fit(), truth, np.flatnonzero(truth >= 0))["agreement"] >= 0.52


def test_known_labels_raise_agreement_and_accepted_rows_are_right(sample):
    table, scorer, truth = sample
    labelled = np.random.default_rng(0).permutation(np.flatnonzero(truth >= 0))
    test, train = labelled[: len(labelled) // 5], labelled[len(labelled) // 5 :]
    known = np.full(len(table), -1)
    known[train] = truth[train]
    result = figures(scorer.fit(known), truth, test)
    assert result["agreement"] >= 0.68
    assert result["accepted"] >= 0.3
    assert result["accepted_right"] >= 0.94
    assert result["ece"] <= 0.05
