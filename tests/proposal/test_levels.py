"""Nodes at several levels: sums, restriction to what is given, and the best path."""

from __future__ import annotations

import numpy as np
from strata_labels.proposal.levels import NodeLevels

# Five finest nodes below three, below two.
LEVELS = NodeLevels(5, [np.array([0, 0, 1, 1, 2]), np.array([0, 0, 0, 0, 1])])


def test_sums_and_highest_of_a_level() -> None:
    values = np.array([[0.1, 0.2, 0.3, 0.25, 0.15]], dtype=np.float32)
    np.testing.assert_allclose(LEVELS.sums(values, 1), [[0.3, 0.55, 0.15]], rtol=1e-6)
    np.testing.assert_allclose(LEVELS.sums(values, 2), [[0.85, 0.15]], rtol=1e-6)
    np.testing.assert_allclose(LEVELS.highest(values, 1), [[0.2, 0.3, 0.15]], rtol=1e-6)
    assert LEVELS.step(1, 2).toarray().tolist() == [[1, 0], [1, 0], [0, 1]]


def test_the_path_goes_down_from_the_likeliest_coarse_node() -> None:
    # The likeliest finest node is 4, but the likeliest top node is 0.
    path = LEVELS.best_path(np.array([[0.1, 0.25, 0.12, 0.12, 0.41]]))
    assert path.tolist() == [[1, 0, 0]]


def test_a_given_node_leaves_only_what_is_below_it() -> None:
    values = np.array([[0.1, 0.2, 0.3, 0.3, 0.1], [0.0, 0.0, 0.0, 0.0, 1.0]])
    found = LEVELS.within(values, 1, np.array([0, 1]))
    np.testing.assert_allclose(found, [[1 / 3, 2 / 3, 0, 0, 0], [0, 0, 0.5, 0.5, 0]], rtol=1e-6)


def test_a_finer_label_says_the_coarser_ones() -> None:
    assert LEVELS.filled(np.array([3, -1]), 2).tolist() == [[3, 1, 0], [-1, -1, -1]]
    coarse = np.array([[-1, 2, -1], [-1, -1, 1]])
    assert LEVELS.filled(coarse, 2).tolist() == [[-1, 2, 1], [-1, -1, 1]]
