"""One human decision."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

import pandas as pd

from strata_labels.review.ledger import PLACE_COLUMNS
from strata_labels.tables import DECISION_COLUMNS


class Decision(NamedTuple):
    """One decision that was read and understood.

    Attributes:
        target: a node id; the new name for `rename`; the new node's name and its members for
            `split`, `name|member|member`; "" where none is needed.
        seen: the evidence in words when it was decided, see `evidence_seen`.
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
    seen: str
    said: str
    when: datetime
    where: str
    row: int | None

    @property
    def row_id(self) -> str:
        return f"{self.level}:{self.subject}"

    @property
    def aspect(self) -> str:
        """What is decided: see `aspect_of`."""
        return aspect_of(self.decision, self.target)

    @property
    def made(self) -> str:
        """The id of the node that a `split` makes: the subject's, and the new name after a dot."""
        return f"{self.subject}.{_slug(self.target.split('|')[0])}"

    @property
    def members(self) -> list[str]:
        """What a `split` puts below the node it makes."""
        return self.target.split("|")[1:]

    @property
    def outcome(self) -> tuple[str, str]:
        """What it comes to: a `keep` that says what it keeps is a move there."""
        return ("move" if self.decision == "keep" and self.target else self.decision), self.target

    def __str__(self) -> str:
        target = f" {self.said}" if self.said else ""
        return f"{self.reviewer}: {self.decision}{target}"


def aspect_of(decision: str, target: str) -> str:
    """What a decision is about: a node's place, its name, and each node split off, separately."""
    if decision == "split":
        return f"split {_slug(target.split('|')[0])}"
    return "name" if decision == "rename" else "place"


def _slug(name: str) -> str:
    return "-".join(re.findall(r"\w+", name.casefold()))


def evidence_seen(parent: pd.Series, evidence: pd.Series) -> pd.Series:
    """What a reviewer sees of rows, in words: `proposed 2/church; name: dom; ...`."""
    proposed = ("proposed " + parent.fillna("")).where(parent.fillna("") != "", "")
    said = evidence.fillna("")
    return proposed + ("; " + said).where((proposed != "") & (said != ""), said)


def what_changed(seen: str, now: str) -> str:
    """The parts of the evidence that went and came between a decision and now, in words."""
    if not seen:
        return f"what was seen then was not kept; now: {now}"
    old, new = ([part.strip() for part in text.split(";")] for text in (seen, now))
    went = "; ".join(part for part in old if part not in new)
    came = "; ".join(part for part in new if part not in old)
    if not went and not came:
        return "its name, classes or images; the evidence in words is the same"
    return " / ".join(
        f"{word}: {parts}" for word, parts in (("no longer", went), ("now", came)) if parts
    )


def decisions_frame(decisions: list[Decision]) -> pd.DataFrame:
    """`DECISION_COLUMNS` and `PLACE_COLUMNS`, a row per decision."""
    names = {"file": "where"}
    columns = [*DECISION_COLUMNS, *PLACE_COLUMNS]
    if not decisions:
        return pd.DataFrame(columns=columns)
    return pd.DataFrame(
        {name: [getattr(d, names.get(name, name)) for d in decisions] for name in columns}
    )
