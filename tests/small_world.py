"""A small GLDv2-like world for the tests of review, tree and export."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pandas as pd
from strata_labels.evidence import Alternative, Evidence, Reason

LEVELS = ["landmark", "supercategory", "hierarchical_label", "natural_or_human_made"]
TIME = "2026-01-31T12:00:00Z"

VOCABULARY = pd.DataFrame(
    [
        ("1/Q16970", 1, "church building", "2/church", "Q16970"),
        ("1/Q2977", 1, "cathedral", "2/church", "Q2977"),
        ("1/Q23413", 1, "castle", "2/castle", "Q23413"),
        ("1/Q8502", 1, "mountain", "2/mountain", "Q8502"),
        ("1/Q3624078", 1, "sovereign state", None, "Q3624078"),
        ("2/church", 2, "church", "3/human-made", "Q16970"),
        ("2/castle", 2, "castle / fort", "3/human-made", "Q23413"),
        ("2/mountain", 2, "mountain", "3/natural", "Q8502"),
        ("2/lake", 2, "lake", "3/natural", "Q23397"),
        ("3/human-made", 3, "human-made", None, None),
        ("3/natural", 3, "natural", None, None),
    ],
    columns=["node_id", "level", "name", "parent_id", "qid"],
)

#: Item number, split, its proposed class, confidence, accepted.
ITEMS = [
    (1, "train", "1/Q16970", 0.97, True),
    (2, "train", "1/Q2977", 0.60, False),
    (3, "train", "1/Q2977", 0.55, False),
    (4, "train", "1/Q23413", 0.30, False),
    (5, "train", "1/Q8502", 0.99, True),
    (6, "train", "1/Q3624078", 0.90, True),
    (7, "train", None, 0.10, False),
    (1, "index", "1/Q8502", 0.80, False),
]


def item(number: int, split: str = "train") -> str:
    """The id of an item."""
    return f"gldv2/{split}/{number}"


def evidence_hash(subject: str) -> str:
    """Some hash."""
    return "e2:" + hashlib.sha256(subject.encode()).hexdigest()[:16]


def items() -> pd.DataFrame:
    """The table `items`."""
    return pd.DataFrame(
        {
            "item_id": [item(n, split) for n, split, *_ in ITEMS],
            "dataset": "gldv2",
            "split": [split for _, split, *_ in ITEMS],
            "source_id": [n for n, *_ in ITEMS],
            "title": [f"Landmark {n}" for n, *_ in ITEMS],
            "name": [f"Landmark {n}" for n, *_ in ITEMS],
            "qualifier": None,
            "source_url": [
                f"http://commons.wikimedia.org/wiki/Category:Landmark_{n}" for n, *_ in ITEMS
            ],
            "image_ids": [[] for _ in ITEMS],
        }
    )


def proposals() -> pd.DataFrame:
    """The table `proposals`: all items, classes, and clusters."""
    rows = [
        _proposal(item(n, split), 1, parent, confidence, accepted)
        for n, split, parent, confidence, accepted in ITEMS
    ]
    for node in VOCABULARY.itertuples():
        if node.level < 3:
            sure = node.node_id != "1/Q2977"
            parent = node.parent_id if isinstance(node.parent_id, str) else None
            rows.append(_proposal(node.node_id, node.level + 1, parent, 0.5 + sure / 2, sure))
    return pd.DataFrame(rows)


def _proposal(
    subject: str, level: int, parent: str | None, confidence: float, accepted: bool
) -> dict[str, object]:
    status = "proposed" if parent else "no_place" if level > 1 else "no_evidence"
    return {
        "row_id": f"{level}:{subject}",
        "subject": subject,
        "level": level,
        "status": status,
        "parent": parent,
        "origin": "class" if parent else None,
        "confidence": confidence,
        "margin": 0.1,
        "accepted": accepted,
        "score": confidence,
        "evidence": (Evidence("name_word", "2/church", text=subject, language="en"),),
        "reasons": () if accepted else (Reason("small_margin"),),
        "suggestion": parent,
        "alternatives": () if accepted else (Alternative("2/castle"), Alternative("2/lake", 0.2)),
        "evidence_hash": evidence_hash(subject),
    }


def decisions(*rows: Sequence[object]) -> pd.DataFrame:
    """A ledger: rows of subject, level, decision, target and, if given, reviewer, time, hash."""
    records = []
    for line, row in enumerate(rows, start=2):
        subject, level, decision, target, *more = row
        reviewer, time, seen = [*more, *["ann", TIME, ""][len(more) :]]
        records.append(
            {
                "row_id": f"{level}:{subject}",
                "subject": subject,
                "level": str(level),
                "decision": decision,
                "target": target,
                "reviewer": reviewer,
                "note": "",
                "decided_at": time,
                "evidence_hash": seen,
                "file": "decisions.csv",
                "row": line,
            }
        )
    columns = ["row_id", "subject", "level", "decision", "target", "reviewer", "note"]
    columns += ["decided_at", "evidence_hash", "file", "row"]
    return pd.DataFrame(records, columns=columns)
