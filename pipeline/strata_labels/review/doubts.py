"""Doubts that retrieval raises, brought into the proposals that are reviewed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from strata_labels.evidence import Alternative, Evidence, Reason

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
    table = proposals.copy()
    found = doubts[doubts.gain > 0].set_index("row_id").reindex(table.row_id)
    found = found.reset_index(drop=True)
    known = set(table.subject[table.level > 1]) | set(table.parent.dropna())
    parent = table.parent.fillna("").reset_index(drop=True)
    at = ((found.current == parent) & found.suggestion.isin(known)).to_numpy()
    table["gain"] = np.where(at, found.expected, 0.0)
    if not at.any():
        return table
    here, there = found.here[at].to_numpy(), found.there[at].to_numpy()
    rows = table.index[at]
    table.loc[rows, "accepted"] = False
    table.loc[rows, "suggestion"] = found.suggestion[at].to_numpy()
    confidence = np.minimum(
        table.confidence[at].to_numpy(dtype=np.float32), (here / (here + there)).astype(np.float32)
    )
    table.loc[rows, "confidence"] = confidence
    table.loc[rows, "score"] = np.minimum(table.score[at].to_numpy(), confidence)
    reasons, evidence = table.reasons.tolist(), table.evidence.tolist()
    alternatives = table.alternatives.tolist()
    for doubt in found[at].itertuples():
        n: Any = doubt.Index
        reasons[n] = (Reason(REASON, str(doubt.suggestion)), *reasons[n])
        evidence[n] = (*_evidence(doubt), *evidence[n])
        others: Any = doubt.alternatives
        alternatives[n] = tuple(map(Alternative, others))
    columns = {"reasons": reasons, "evidence": evidence, "alternatives": alternatives}
    return table.assign(
        **{name: pd.Series(rows, table.index, dtype=object) for name, rows in columns.items()}
    )


def _evidence(doubt: Any) -> list[Evidence]:
    """What retrieval says of a subject, with its images."""
    return [
        Evidence("retrieval", doubt.current, round(doubt.here, 2), ids=tuple(doubt.images)),
        Evidence("retrieval", doubt.suggestion, round(doubt.there, 2), ids=tuple(doubt.nearest)),
        Evidence("hap_gain", doubt.suggestion, round(100 * doubt.gain, 1)),
    ]
