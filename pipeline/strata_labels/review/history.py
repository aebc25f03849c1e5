"""Who decided what on a subject, when, on which evidence, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from itertools import takewhile
from typing import Any

import numpy as np
import pandas as pd

from strata_labels.review.decision import aspect_of
from strata_labels.review.ledger import WITHDRAW, parse_time
from strata_labels.review.replay import Resolution

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


def history(
    subjects: Iterable[str], decisions: pd.DataFrame, resolution: Resolution
) -> pd.DataFrame:
    """Every decision of a ledger on some subjects, and splits that name one of them as a member.

    Args:
        subjects: ids of items or nodes.
        decisions: the ledger, as given to `replay`.
        resolution: what `replay` made of it.

    Returns:
        `HISTORY_COLUMNS`, oldest first; `fate` is one of `in force`, `disputed`, `stale: ...` (what
        has changed since), `gone` (not in the data any more), `takes back` (a withdrawal), `taken
        back on ...`, `replaced on ...` (by a later one of the same reviewer), `gave way` (unsure,
        where others knew) and `agrees` (with another's, which is in force).
    """
    wanted = set(subjects)
    by_row = decisions.row_id.str.split(":", n=1).str[-1]
    subject = decisions.subject.where(decisions.subject != "", by_row)
    words = decisions.decision.str.casefold()
    members = decisions.target.str.split("|").str[1:]
    named = [not wanted.isdisjoint(some) for some in members]
    about = subject.isin(wanted) | (words.eq("split") & np.array(named, dtype=bool))
    rows = decisions[about].assign(subject=subject[about], word=words[about])
    aspects = [aspect_of(*pair) for pair in zip(rows.word, rows.target, strict=True)]
    rows = rows.assign(aspect=aspects, when=rows.decided_at.map(parse_time))
    rows = rows.sort_values(["when", "file", "row"], kind="stable")
    fates = _fates(resolution)
    records = rows.to_dict("records")
    told = [fates.get((row["file"], row["row"])) or _passed(row, records) for row in records]
    return rows.assign(fate=told).reindex(columns=HISTORY_COLUMNS).reset_index(drop=True)


def _fates(resolution: Resolution) -> dict[tuple[str, int], str]:
    found: dict[tuple[str, int], str] = {}
    for table, fate in (
        (resolution.effective, "in force"),
        (resolution.disputed, "disputed"),
        (resolution.gone, "gone"),
    ):
        found |= dict.fromkeys(zip(table.file, table.row, strict=True), fate)
    stale = resolution.stale
    for file, row, changed in zip(stale.file, stale.row, stale.changed, strict=True):
        found[file, row] = f"stale: {changed}"
    return found


def _passed(row: dict[Any, Any], rows: list[dict[Any, Any]]) -> str:
    """What became of a decision that is not among those that count."""
    if row["word"] == WITHDRAW:
        return "takes back"
    who = (row["subject"], row["reviewer"])
    mine = [other for other in rows if (other["subject"], other["reviewer"]) == who]
    for other in mine:
        target = parse_time(other["target"])
        if other["word"] == WITHDRAW and (
            row["when"] == target or (target is None and row["when"] < other["when"])
        ):
            return f"taken back on {other['decided_at']}"
    for other in mine:
        if other["aspect"] == row["aspect"] and other["when"] > row["when"]:
            return f"replaced on {other['decided_at']}"
    return "gave way" if row["word"] == "unsure" else "agrees"


def near(text: str, ids: Iterable[str], names: Iterable[str], number: int = 5) -> list[str]:
    """The ids most like a text, or of things with that name; the most alike first."""
    wanted = text.casefold()
    ids, names = list(ids), list(names)
    named = [one for one, name in zip(ids, names, strict=True) if str(name).casefold() == wanted]

    def shared(one: str) -> int:
        """Characters that both begin and both end with: quick to tell for many ids."""
        start = sum(1 for _ in takewhile(_equal, zip(one, text, strict=False)))
        end = sum(1 for _ in takewhile(_equal, zip(reversed(one), reversed(text), strict=False)))
        return start + end - abs(len(one) - len(text))

    likely = sorted(ids, key=shared, reverse=True)[:100]
    likely.sort(key=lambda one: (-SequenceMatcher(None, one, text).ratio(), one))
    return list(dict.fromkeys([*named, *likely]))[:number]


def _equal(pair: tuple[str, str]) -> bool:
    return pair[0] == pair[1]
