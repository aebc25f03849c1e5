"""Image vectors that a person gives a build, in place of those of an encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from strata_labels.build.stage import Counts
from strata_labels.errors import InputError, Problem
from strata_labels.tables import own_ids


def given_vectors(folder: Path, items: pd.DataFrame) -> tuple[np.ndarray, Counts]:
    """The image vector of each item: the normalised mean over its rows in `--vectors`.

    Args:
        folder: `vectors.npy` and `items.parquet`, as `strata embed --model` writes them; `item_id`
            there is an item's id, or the data set's own (`7` of `table/train/7`).
        items: the table `items`.

    Returns:
        `[len(items), d]` float32, a row of NaN for an item without a vector; and the counts.

    Raises:
        InputError: a missing or damaged file; no vector of any of the items.
    """
    from strata_labels.validation import read_vectors  # imports torch

    vectors, table = read_vectors(folder)
    rows = _rows_of(table["item"], items)
    known = rows >= 0
    if not known.any():
        what = f"none of its {len(table):,} vectors is of an item of this build, whose ids are as"
        fix = (
            f"Write such ids, or the data set's own, into `item_id` of {folder / 'items.parquet'}."
        )
        raise InputError(Problem("--vectors", what, fix, value=items["item_id"].iloc[0]))
    sums = np.zeros((len(items), vectors.shape[1]))
    np.add.at(sums, rows[known], vectors.numpy()[known])
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    means = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), np.nan)
    counts = {
        "items_with_images": int((lengths > 0).sum()),
        "images": int(known.sum()),
        "vectors_of_other_items": int((~known).sum()),
    }
    return means.astype(np.float32), counts


def _rows_of(ids: pd.Series, items: pd.DataFrame) -> np.ndarray:
    """Position of the item that each id names, -1 for none and for an own id of several splits."""
    own = pd.Series(own_ids(items)).drop_duplicates(keep=False)
    named = pd.concat([pd.Series(items["item_id"].to_numpy()), own])
    named = named[~named.duplicated()]
    place = pd.Index(named).get_indexer(pd.Index(ids))
    return np.where(place >= 0, named.index.to_numpy()[place], -1)
