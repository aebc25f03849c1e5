"""What the engine says of items, as tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from strata_labels.build.engine_tables import less_sure


def test_a_label_below_an_opened_one_is_no_surer_and_not_accepted() -> None:
    path = pd.DataFrame(
        {
            "item_id": ["a", "a", "a", "b"],
            "level": [1, 2, 3, 1],
            "confidence": np.float32([0.99, 1.0, 1.0, 0.9]),
            "accepted": [True, True, True, True],
        }
    )
    issues = pd.DataFrame({"item_id": ["a"], "level": [2], "wrong": [0.75], "opened": [True]})
    found = less_sure(path, issues)
    assert found["accepted"].tolist() == [False, False, True, True]
    assert found["confidence"].tolist() == pytest.approx([0.2475, 0.25, 1.0, 0.9])
