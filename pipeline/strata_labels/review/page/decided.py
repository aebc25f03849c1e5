"""What was decided, by whom, and whether it counts: the ledger's lines, the latest first."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from strata_labels.review.decisions import WITHDRAW, Decision, overridden, read_decisions
from strata_labels.review.ledger import read_ledger
from strata_labels.review.page.naming import name_of
from strata_labels.review.page.review_rows import ReviewRows

#: Answers that are listed at a time, and names that are shown of an answer for several rows.
LISTED, NAMED = 50, 3


def decided_list(
    table: ReviewRows, reviewer: str, only: str = "", text: str = "", start: int = 0
) -> dict[str, Any]:
    """Answers of the ledger as it is now, withdrawals left out.

    Args:
        table: all rows, for names.
        reviewer: who looks at the list; only own answers can be taken back.
        only: of this reviewer; "" for all.
        text: part of the name or id of something that was decided.
        start: how many of the latest to leave out.

    Returns:
        `answers`, at most `LISTED`; `total`; `reviewers` with how many answers each has given.
    """
    ledger = read_ledger(*table.setup.ledgers).decisions
    decisions, _ = read_decisions(ledger)
    by = _what_overrides(decisions)
    answers: dict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    for n, decision in enumerate(decisions):
        if decision.decision != WITHDRAW:
            key = (decision.decided_at, decision.reviewer, decision.decision, decision.target)
            answers[key].append(n)
    counts: dict[str, int] = defaultdict(int)
    for _, name, *_ in answers:
        counts[name] += 1
    wanted, found = text.casefold().strip(), []
    for key in sorted(answers, key=lambda one: (decisions[answers[one][0]].when, one))[::-1]:
        rows = [decisions[n] for n in answers[key]]
        if only and key[1] != only:
            continue
        if wanted and not any(wanted in f"{_name(table, d)} {d.subject}".casefold() for d in rows):
            continue
        found.append((rows, [by[n] for n in answers[key]]))
    return {
        "answers": [
            _answer(table, rows, ends, reviewer) for rows, ends in found[start : start + LISTED]
        ],
        "total": len(found),
        "reviewers": [{"name": name, "count": counts[name]} for name in sorted(counts)],
    }


def _what_overrides(decisions: list[Decision]) -> list[Decision | None]:
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for n, decision in enumerate(decisions):
        groups[decision.subject, decision.reviewer].append(n)
    by: list[Decision | None] = [None] * len(decisions)
    for group in groups.values():
        for n, other in zip(group, overridden([decisions[n] for n in group]), strict=True):
            by[n] = other
    return by


def _answer(
    table: ReviewRows, rows: list[Decision], ends: list[Decision | None], reviewer: str
) -> dict[str, Any]:
    first = rows[0]
    active = [d for d, other in zip(rows, ends, strict=True) if other is None]
    last = next((other for other in ends if other is not None), None)
    fate = ""
    if not active and last is not None:
        fate = "taken back" if last.decision == WITHDRAW else "changed later"
    elif len(active) < len(rows):
        fate = f"{len(active)} of {len(rows)} still count"
    return {
        "row_ids": [decision.row_id for decision in rows],
        "names": [_name(table, decision) for decision in rows[:NAMED]],
        "size": len(rows),
        "decision": first.decision,
        "target": table.known.name.get(first.target, first.target),
        "target_id": first.target,
        "reviewer": first.reviewer,
        "note": first.note,
        "time": first.decided_at,
        "fate": fate,
        "mine": first.reviewer == reviewer and bool(active),
        "known": first.row_id in table.at,
    }


def _name(table: ReviewRows, decision: Decision) -> str:
    n = table.at.get(decision.row_id)
    return decision.subject if n is None else name_of(table, n)
