"""Image vectors that a person gives a build, in place of those of an encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import scipy

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
        fix = f"Name the items of {folder} by such ids, or by the data set's own."
        raise InputError(Problem("--vectors", what, fix, value=items["item_id"].iloc[0]))
    ones = np.ones(int(known.sum()), dtype=np.float32)
    of_item = scipy.sparse.csr_matrix(
        (ones, (rows[known], np.flatnonzero(known))), shape=(len(items), len(rows))
    )
    means = of_item @ vectors.numpy()
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    means /= np.where(lengths > 0, lengths, np.nan)
    counts = {
        "items_with_images": int((lengths > 0).sum()),
        "images": int(known.sum()),
        "vectors_of_other_items": int((~known).sum()),
    }
    return means, counts


def _rows_of(ids: pd.Series, items: pd.DataFrame) -> np.ndarray:
    """Position of the item that each id names, -1 for none and for an own id of several splits."""
    own = pd.Series(own_ids(items)).drop_duplicates(keep=False)
    named = pd.concat([pd.Series(items["item_id"].to_numpy()), own])
    named = named[~named.duplicated()]
    place = pd.Index(named).get_indexer(pd.Index(ids))
    return np.where(place >= 0, named.index.to_numpy()[place], -1)
