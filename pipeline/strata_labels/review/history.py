"""The history of a subject: who decided what, when, on which evidence, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from itertools import takewhile

import pandas as pd

from strata_labels.review.apply import Resolution
from strata_labels.review.decisions import (
    WITHDRAW,
    Decision,
    decisions_frame,
    overridden,
)

#: Columns of a history, oldest first.
HISTORY_COLUMNS = [
    "decided_at",
    "reviewer",
    "row_id",
    "decision",
    "target",
    "note",
    "fate",
    "evidence_hash",
    "seen",
    "file",
    "row",
]


_NO_EFFECT = "without effect: decide keep, merge, exclude or unsure on a word for a missing label"


def history(subjects: Iterable[str], resolution: Resolution) -> pd.DataFrame:
    """Every decision of a ledger on some subjects, and splits that name one of them as a member.

    Args:
        subjects: ids of items or nodes.
        resolution: what `replay` made of the ledger.

    Returns:
        `HISTORY_COLUMNS`, oldest first; `fate` is one of `in force`, `disputed`, `stale: ...` (what
        has changed since), `gone` (not in the data any more), `takes back` (a withdrawal), `taken
        back on ...`, `replaced on ...` (by a later one of the same reviewer), `gave way` (unsure,
        where others were sure), `agrees` (with another's, which is in force) and `without effect:
        ...` (on a word for a missing label).
    """
    wanted = set(subjects)
    read = resolution.read
    about = [d for d in read if d.subject in wanted or not wanted.isdisjoint(d.members)]
    about.sort(key=lambda d: (d.when, d.file, d.row or 0))
    groups: dict[tuple[str, str], list[Decision]] = {(d.subject, d.reviewer): [] for d in about}
    for decision in read:
        if (group := groups.get((decision.subject, decision.reviewer))) is not None:
            group.append(decision)
    fates = _fates(resolution)
    for group in groups.values():
        for decision, by in zip(group, overridden(group), strict=True):
            fates.setdefault(_key(decision), _fate(decision, by))
    return decisions_frame(about).assign(fate=[fates[_key(d)] for d in about])[HISTORY_COLUMNS]


def not_applied(resolution: Resolution) -> pd.DataFrame:
    """The active decisions that are not applied, and why.

    Returns:
        `why` (as `fate` of `history`) and what tells a decision, by row id and time.
    """
    tables = (resolution.stale, resolution.gone, resolution.disputed, resolution.without_effect)
    found = pd.concat(tables, ignore_index=True)
    fates = _fates(resolution)
    keys = zip(found.file, found.row, found.subject, strict=True)
    columns = ["why", "row_id", "decision", "target", "reviewer", "note", "decided_at"]
    found = found.assign(why=[fates[key] for key in keys])[columns]
    return found.sort_values(["row_id", "decided_at", "reviewer"], ignore_index=True)


def _key(decision: Decision) -> tuple[str, int | None, str]:
    return decision.file, decision.row, decision.subject


def _fates(resolution: Resolution) -> dict[tuple[str, int | None, str], str]:
    found: dict[tuple[str, int | None, str], str] = {}
    for table, fate in (
        (resolution.effective, "in force"),
        (resolution.disputed, "disputed"),
        (resolution.gone, "gone"),
        (resolution.without_effect, _NO_EFFECT),
    ):
        found |= dict.fromkeys(zip(table.file, table.row, table.subject, strict=True), fate)
    stale = resolution.stale
    keys = zip(stale.file, stale.row, stale.subject, strict=True)
    return found | {key: f"stale: {how}" for key, how in zip(keys, stale.changed, strict=True)}


def _fate(decision: Decision, by: Decision | None) -> str:
    """What became of a decision that is not among those that count."""
    if decision.decision == WITHDRAW:
        return "takes back"
    if by is not None:
        how = "taken back" if by.decision == WITHDRAW else "replaced"
        return f"{how} on {by.decided_at}"
    return "gave way" if decision.decision == "unsure" else "agrees"


def similar_ids(text: str, ids: Iterable[str], names: Iterable[str]) -> list[str]:
    """The five ids most similar to a text, or of things with that name; the most similar first."""
    wanted = text.casefold()
    ids, names = list(ids), list(names)
    named = [one for one, name in zip(ids, names, strict=True) if str(name).casefold() == wanted]

    def shared(one: str) -> int:
        """Length of the common start and end less the difference of the lengths: a quick filter."""
        start = sum(1 for _ in takewhile(_equal, zip(one, text, strict=False)))
        end = sum(1 for _ in takewhile(_equal, zip(reversed(one), reversed(text), strict=False)))
        return start + end - abs(len(one) - len(text))

    likely = sorted(ids, key=shared, reverse=True)[:100]
    likely.sort(key=lambda one: (-SequenceMatcher(None, one, text).ratio(), one))
    return list(dict.fromkeys([*named, *likely]))[:5]


def _equal(pair: tuple[str, str]) -> bool:
    return pair[0] == pair[1]
