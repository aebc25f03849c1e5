"""Rows of the `proposals` table, and what all who make them hold to."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from strata_labels.evidence import Alternative, Evidence, Reason
from strata_labels.tables import SCHEMAS

COLUMNS = SCHEMAS["proposals"].names
NUM_ALTERNATIVES = 3
# The second node is an alternative, and the two are hard to tell apart, below this margin.
SMALL_MARGIN = 0.1
# A node less likely than this is no alternative worth reading for an open row.
LEAST_LIKELY = 0.01
# Decimals of the values that are kept as evidence.
DECIMALS = 2


def proposal_table(rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    """Rows of `proposal_row` as a table under its contract."""
    types = dict.fromkeys(("confidence", "margin", "score"), "float32")
    types |= {"level": "int8", "accepted": "bool"}
    return pd.DataFrame(rows, columns=COLUMNS).astype(types)


def proposal_row(
    subject: str,
    level: int,
    parent: str | None,
    origin: str,
    *,
    fingerprint: str,
    confidence: float = 1.0,
    margin: float = 1.0,
    accepted: bool = True,
    score: float | None = None,
    status: str = "proposed",
    evidence: Sequence[Evidence] = (),
    reasons: Sequence[Reason] = (),
    alternatives: Sequence[Alternative] = (),
    suggestion: str = "",
) -> tuple[object, ...]:
    """Cells in the order of `COLUMNS`.

    Args:
        fingerprint: see `evidence_hash`.
        score: the confidence by default.
        suggestion: the parent by default.
    """
    row_id = f"{level}:{subject}"
    if score is None:
        score = confidence
    return (
        row_id, subject, level, status, parent, origin, confidence, margin, accepted, score,
        tuple(evidence), tuple(reasons), suggestion or parent or "", tuple(alternatives),
        fingerprint,
    )  # fmt: skip
