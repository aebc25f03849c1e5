"""One human decision."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import pandas as pd

from strata_labels.evidence import Evidence, Seen, evidence_text
from strata_labels.review.ledger import PLACE_COLUMNS
from strata_labels.tables import DECISION_COLUMNS


class Decision(NamedTuple):
    """One decision that was read and understood.

    Attributes:
        target: a node id; the new name for `rename`; the new node's name and its members for
            `split`, `name|member|member`; "" where none is needed.
        seen: what its reviewer saw, as `strata_labels.evidence.write_seen` writes it.
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


def seen_of(proposed: str, evidence: Iterable[Evidence]) -> Seen:
    """What a reviewer sees of a row, for the ledger: other reviewers' decisions are there already.

    Args:
        proposed: the proposed parent, "" for none.
        evidence: of the row.
    """
    own = (piece for piece in evidence if piece.kind not in ("decision", "stale_decision"))
    return Seen(proposed, tuple(own))


def what_changed(seen: Seen | None, now: Seen, names: Mapping[str, str]) -> str:
    """What has changed between the evidence a reviewer saw and that of now, for people.

    Args:
        seen: what was seen; None where the ledger does not say. A ledger of version 0.1.0 says the
            place only.
        now: the row as it is.
        names: of nodes.
    """
    if seen is None:
        return "the ledger does not say what was seen"
    if seen.place != now.place:
        places = (names.get(place, place) or "nothing" for place in (seen.place, now.place))
        return "it was proposed under {} then and under {} now".format(*places)
    parts = [
        f"{word}: {' '.join(evidence_text(pieces, names))}"
        for word, pieces in (
            ("no longer", [piece for piece in seen.evidence if piece not in now.evidence]),
            ("now", [piece for piece in now.evidence if piece not in seen.evidence]),
        )
        if pieces and seen.evidence
    ]
    return " / ".join(parts) or "its name, classes or images; the evidence is the same"


def decisions_frame(decisions: list[Decision]) -> pd.DataFrame:
    """`DECISION_COLUMNS` and `PLACE_COLUMNS`, a row per decision."""
    names = {"file": "where"}
    columns = [*DECISION_COLUMNS, *PLACE_COLUMNS]
    if not decisions:
        return pd.DataFrame(columns=columns)
    return pd.DataFrame(
        {name: [getattr(d, names.get(name, name)) for d in decisions] for name in columns}
    )
