"""The proposals to be reviewed, with the doubts of retrieval and the audited rows opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from strata_labels.evidence import Alternative, Evidence, Reason
from strata_labels.review.agreement import audit_sample
from strata_labels.review.apply import replay
from strata_labels.review.ledger import read_ledger
from strata_labels.tables import load, save, table_path

AUDIT = "audit"


def reviewed(folder: Path) -> pd.DataFrame:
    """A workspace's proposals; doubted and audited rows among them wait for a decision.

    Args:
        folder: the workspace; tables `proposals`, and `doubts` and `audit` where they are.

    Returns:
        Rows of `proposals`; with doubts also their `gain` (see `with_doubts`).
    """
    proposals = load(folder, "proposals")
    if table_path(folder, "doubts").is_file():  # a validation has left its doubts
        proposals = with_doubts(proposals, load(folder, "doubts"))
    drawn = audited(folder)
    return with_audit(proposals, drawn) if drawn else proposals


def audited(folder: Path) -> dict[str, str]:
    """The parent that each audited row had been accepted with, by row id."""
    if not table_path(folder, AUDIT).is_file():
        return {}
    drawn = load(folder, AUDIT)
    return dict(zip(drawn.row_id, drawn.parent, strict=True))


def draw_audit(folder: Path, size: int, ledgers: list[Path]) -> int:
    """Draws item rows that were accepted without review, and notes what they were accepted as.

    Rows drawn before stay drawn, also those decided since; a larger size adds to them.

    Args:
        folder: the workspace; writes its table `audit`.
        size: rows that are drawn in all; fewer if no more were accepted.
        ledgers: all ledgers in force.

    Returns:
        How many were added.
    """
    drawn = audited(folder)
    decisions = read_ledger(*ledgers).decisions
    rows = replay(decisions, reviewed(folder), load(folder, "vocabulary")).rows
    rows = rows[(rows.level == 1) & (rows.own != "")]
    new = audit_sample(rows, max(0, size - len(drawn)))
    parents = rows.set_index("row_id").own
    drawn |= {row_id: parents[row_id] for row_id in new}
    save(folder, AUDIT, pd.DataFrame(sorted(drawn.items()), columns=["row_id", "parent"]))
    return len(new)


def with_audit(proposals: pd.DataFrame, drawn: dict[str, str]) -> pd.DataFrame:
    """Opens the audited rows that are still accepted as what they were drawn with."""
    table = proposals.copy()
    parent = table.row_id.map(drawn)
    at = table.accepted.astype(bool) & parent.notna() & (parent == table.parent)
    table.loc[at, "accepted"] = False
    table["reasons"] = [
        (Reason(AUDIT), *reasons) if opened else reasons
        for reasons, opened in zip(table.reasons, at, strict=True)
    ]
    return table


def with_doubts(proposals: pd.DataFrame, doubts: pd.DataFrame) -> pd.DataFrame:
    """Opens the rows that retrieval doubts; a human decision on a row still settles it.

    Such a row asks about the suggested parent, and its confidence is at most the share of its
    nearest images that the present parent has of the two. A doubt about a place that the subject is
    not proposed for any more, or whose suggestion is not known any more, is passed over.

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
        reasons[n] = (Reason("retrieval", str(doubt.suggestion)), *reasons[n])
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
