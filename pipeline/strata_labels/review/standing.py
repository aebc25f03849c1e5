"""Which rows of a ledger can be read, and which of these nobody has taken back or gone beyond."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import pandas as pd

from strata_labels.errors import Problem
from strata_labels.review.conflicts import order
from strata_labels.review.decision import Decision
from strata_labels.review.ledger import DECISIONS, WITHDRAW, parse_time, parse_times


class _Row(NamedTuple):
    """A row of a ledger as text; a missing cell is ""."""

    row_id: str
    subject: str
    level: str
    decision: str
    target: str
    reviewer: str
    note: str
    decided_at: str
    evidence_hash: str
    seen: str
    file: str
    row: str


def read_decisions(decisions: pd.DataFrame) -> tuple[list[Decision], list[Problem]]:
    """The rows whose reviewer, time, decision and row id can be read, and what is wrong elsewhere.

    Args:
        decisions: from `read_ledger`; all but `subject, level, decision, target, reviewer,
            decided_at` may be absent.
    """
    if decisions.empty:
        return [], []
    blank = [""] * len(decisions)
    columns = {
        name: _texts(decisions[name]) if name in decisions else blank for name in _Row._fields
    }
    words = {text: text.casefold() for text in set(columns["decision"])}
    times = parse_times(columns["decided_at"])
    read: list[Decision] = []
    problems: list[Problem] = []
    rows = map(_Row._make, zip(*columns.values(), strict=True))
    for row, when in zip(rows, times, strict=True):
        word, subject, level = words[row.decision], row.subject, row.level
        if not subject and ":" in row.row_id:
            level, subject = row.row_id.split(":", 1)
        wrong = _wrong(row, word, subject, level, when is None)
        if wrong or when is None:
            problems += wrong
            continue
        decision = Decision(
            subject=subject,
            level=int(level),
            decision=word,
            target=row.target,
            reviewer=row.reviewer,
            note=row.note,
            decided_at=row.decided_at,
            evidence_hash=row.evidence_hash,
            seen=row.seen,
            said=row.target,
            when=when,
            where=row.file or "decisions",
            row=int(row.row) if row.row else None,
        )
        read.append(decision)
    return read, problems


def _texts(column: pd.Series) -> list[str]:
    cells = column.tolist()
    if all(type(cell) is str for cell in cells):
        return cells
    return ["" if pd.isna(cell) else str(cell) for cell in cells]


def _wrong(row: _Row, word: str, subject: str, level: str, timeless: bool) -> list[Problem]:
    """What is wrong with a row, mostly nothing."""
    found: list[tuple[str, str, str]] = []
    if word not in DECISIONS:
        found.append(("unknown decision:", f"Write one of {', '.join(DECISIONS)}.", "decision"))
    if not row.reviewer:
        found.append(("no reviewer", "Write who decided.", "reviewer"))
    if timeless:
        found.append(("not a time:", "Write a time such as 2026-01-31T12:00:00Z.", "decided_at"))
    if word == WITHDRAW and row.target and parse_time(row.target) is None:
        fix = "Write the decided_at of the decision to take back, or leave it blank."
        found.append(("not a time:", fix, "target"))
    if not subject:
        found.append(("no subject", "Name an item or a node.", "subject"))
    elif not level.isdecimal():
        found.append(("not a level:", "Write a whole number.", "level"))
    elif row.row_id and row.row_id != f"{int(level)}:{subject}":
        fix = f"Write {int(level)}:{subject}, or mend subject and level."
        found.append(("another row than subject and level say:", fix, "row_id"))
    if not found:
        return []
    where, line = row.file or "decisions", int(row.row) if row.row else None
    return [
        Problem(where, what, fix, line, column, getattr(row, column)) for what, fix, column in found
    ]


def not_withdrawn(read: list[Decision]) -> tuple[list[Decision], list[Problem]]:
    """The decisions that nobody has taken back, and the withdrawals that took nothing back."""
    withdrawals = [decision for decision in read if decision.decision == WITHDRAW]
    if not withdrawals:
        return read, []
    about = {withdrawal.subject for withdrawal in withdrawals}
    mine: dict[tuple[str, str], list[Decision]] = defaultdict(list)
    for decision in read:
        if decision.subject in about and decision.decision != WITHDRAW:
            mine[decision.subject, decision.reviewer].append(decision)
    taken, problems = set[int](), []
    for withdrawal in withdrawals:
        target = parse_time(withdrawal.target)
        found = [
            id(decision)
            for decision in mine[withdrawal.subject, withdrawal.reviewer]
            if (decision.when == target if target else decision.when < withdrawal.when)
        ]
        taken.update(found)
        if not found:
            what = f"nothing of {withdrawal.reviewer}'s to take back on {withdrawal.row_id}"
            fix = "Name the decided_at of that reviewer's decision, or remove this row."
            where, value = withdrawal.where, withdrawal.target or None
            problems.append(Problem(where, what, fix, withdrawal.row, "target", value))
    kept = [d for d in read if d.decision != WITHDRAW and id(d) not in taken]
    return kept, problems


def latest(standing: list[Decision]) -> list[Decision]:
    """Each reviewer's latest on each aspect of a subject; several if they are of one moment."""
    made: dict[tuple[str, str, str], list[Decision]] = defaultdict(list)
    for decision in standing:
        made[decision.subject, decision.aspect, decision.reviewer].append(decision)
    found: list[Decision] = []
    for key in sorted(made):
        last = max(decision.when for decision in made[key])
        kept: dict[tuple[str, str], Decision] = {}
        for decision in sorted(made[key], key=order):
            # A line that a merge has doubled is one decision.
            if decision.when == last:
                kept.setdefault((decision.decision, decision.said), decision)
        found += kept.values()
    return found
