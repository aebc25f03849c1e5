"""Vectors of one's own for a build."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from strata_labels.build.given_vectors import given_vectors
from strata_labels.errors import InputError

ITEMS = pd.DataFrame(
    {
        "item_id": ["table/train/7", "table/train/8", "table/test/8", "table/test/9"],
        "dataset": "table",
        "split": ["train", "train", "test", "test"],
    }
)


def _folder(folder: Path, ids: list[str]) -> Path:
    np.save(folder / "vectors.npy", np.eye(len(ids), dtype=np.float32))
    pd.DataFrame({"item_id": ids}).to_parquet(folder / "items.parquet")
    return folder


def test_items_are_named_by_their_ids_or_the_data_sets_own(tmp_path: Path) -> None:
    """8 is an id in both splits: it names neither."""
    ids = ["9", "8", "table/train/8", "7", "elsewhere"]
    vectors, counts = given_vectors(_folder(tmp_path, ids), ITEMS)
    expected = np.eye(5)[[3, 2, 0, 0]]
    expected[2] = np.nan
    np.testing.assert_array_equal(vectors, expected)
    assert counts == {"items_with_images": 3, "images": 3, "vectors_of_other_items": 2}


def test_foreign_vectors_are_refused_with_an_id_of_the_build(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of its 2 vectors .* 'table/train/7'"):
        given_vectors(_folder(tmp_path, ["8", "x"]), ITEMS)
