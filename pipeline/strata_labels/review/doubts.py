"""Doubts that retrieval raises, brought into the proposals that are reviewed."""

from __future__ import annotations

import numpy as np
import pandas as pd

REASON = "retrieval"


def with_doubts(proposals: pd.DataFrame, doubts: pd.DataFrame) -> pd.DataFrame:
    """Opens the rows that retrieval doubts; a human decision on a row still settles it.

    Such a row asks about the suggested parent, and its confidence is at most the share of its
    nearest images that the present parent has of the two. A doubt about a place that the subject is
    not proposed for any more, or whose suggestion is not known any more, is passed over.

    Args:
        proposals: the table `proposals`.
        doubts: the table `doubts`.

    Returns:
        The proposals with a column more, `gain`: what moving is expected to raise H-AP by, 0
        without doubt.
    """
    told = proposals.copy()
    found = doubts[doubts.gain > 0].set_index("row_id").reindex(told.row_id).reset_index(drop=True)
    known = set(told.subject[told.level > 1]) | set(told.parent.dropna())
    parent = told.parent.fillna("").reset_index(drop=True)
    at = ((found.current == parent) & found.suggestion.isin(known)).to_numpy()
    told["gain"] = np.where(at, found.expected, 0.0)
    if not at.any():
        return told
    here, there = found.here[at].to_numpy(), found.there[at].to_numpy()
    rows = told.index[at]
    told.loc[rows, "accepted"] = False
    told.loc[rows, "suggestion"] = found.suggestion[at].to_numpy()
    told.loc[rows, "alternatives"] = found.alternatives[at].to_numpy()
    told.loc[rows, "confidence"] = np.minimum(
        told.confidence[at].to_numpy(dtype=np.float32), (here / (here + there)).astype(np.float32)
    )
    for column, more, between in (
        ("reasons", [REASON] * len(rows), "|"),
        ("evidence", found[at].apply(_said, axis=1), "; "),
    ):
        before = told.loc[rows, column].fillna("")
        told.loc[rows, column] = [
            between.join(filter(None, pair)) for pair in zip(more, before, strict=True)
        ]
    return told


def _said(doubt: pd.Series) -> str:
    """What retrieval says of a subject, in plain words, with its pictures."""
    images = "image" if doubt.num_images == 1 else f"{doubt.num_images:.0f} images"
    text = (
        f"{doubt.there:.0%} of its nearest images are under the suggestion, {doubt.here:.0%} under "
        f"its parent; moved, H-AP of its {images} rises by {100 * doubt.gain:.1f}"
    )
    for label, pictures in (("pictures", doubt.images), ("nearest there", doubt.nearest)):
        if len(pictures):
            text += f"; {label}: {', '.join(pictures)}"
    return text
