"""The proposals to be reviewed, with the doubts of retrieval and the audited rows opened."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from strata_labels.evidence import Reason
from strata_labels.review.agreement import audit_sample
from strata_labels.review.apply import replay
from strata_labels.review.doubts import with_doubts
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
