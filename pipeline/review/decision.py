"""One human decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from pipeline.review.ledger import PLACE_COLUMNS
from pipeline.tables import DECISION_COLUMNS


@dataclass(frozen=True)
class Decision:
    """One decision that was read and understood.

    Attributes:
        target: a node id, the new name for `rename`, "" where none is needed.
        said: the target as written, for messages.
        when: `decided_at` as a time.
    """

    subject: str
    level: int
    decision: str
    target: str
    reviewer: str
    note: str
    decided_at: str
    evidence_hash: str
    said: str
    when: datetime
    where: str
    row: int | None

    @property
    def row_id(self) -> str:
        return f"{self.level}:{self.subject}"

    @property
    def aspect(self) -> str:
        """A node's name and its place are decided separately."""
        return "name" if self.decision == "rename" else "place"

    @property
    def outcome(self) -> tuple[str, str]:
        """What it comes to: a `keep` that says what it keeps is a move there."""
        return ("move" if self.decision == "keep" and self.target else self.decision), self.target

    def __str__(self) -> str:
        target = f" {self.said}" if self.said else ""
        return f"{self.reviewer}: {self.decision}{target}"


def decisions_frame(decisions: list[Decision]) -> pd.DataFrame:
    """`DECISION_COLUMNS` and `PLACE_COLUMNS`, a row per decision."""
    records = [
        {**decision.__dict__, "row_id": decision.row_id, "file": decision.where}
        for decision in decisions
    ]
    return pd.DataFrame(records, columns=[*DECISION_COLUMNS, *PLACE_COLUMNS])
