"""One decision for several items: a single line of the ledger, which names all of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: Between the items of a subject, and between the hashes of what was seen of each.
BAR = "|"
#: Between what was seen of each item, in words.
SEEN_BAR = " | "


def join(decisions: pd.DataFrame) -> pd.DataFrame:
    """Makes one decision of those that say the same of several items.

    Args:
        decisions: `DECISION_COLUMNS`, one row an item, alike but for row, subject, evidence hash
            and what was seen.

    Returns:
        One row whose subject, evidence hash and `seen` are joined; `spread` takes it apart again.
        Where an id itself holds a bar the decisions are returned as they are.
    """
    if len(decisions) < 2 or decisions["subject"].str.contains(BAR, regex=False).any():
        return decisions
    one = decisions.iloc[:1].copy()
    one["subject"] = BAR.join(decisions["subject"])
    one["evidence_hash"] = BAR.join(decisions["evidence_hash"])
    one["row_id"] = one["level"].astype(str) + ":" + one["subject"]
    if "seen" in decisions and decisions["seen"].nunique() > 1:
        seen = decisions["seen"].str.replace(SEEN_BAR, " / ", regex=False)
        one["seen"] = SEEN_BAR.join(seen.replace("", "nothing"))
    return one


def spread(decisions: pd.DataFrame) -> pd.DataFrame:
    """A row an item for decisions on several; all others as they are, in their order.

    A subject stands for several items where as many evidence hashes stand beside it; an id that
    merely contains a bar has one hash and stays whole.
    """
    bars = decisions["subject"].str.count(r"\|")
    several = (bars > 0) & (bars == decisions["evidence_hash"].str.count(r"\|"))
    if not several.any():
        return decisions
    lines = decisions.reset_index(drop=True)
    parts = {
        n: _parts({str(key): cell for key, cell in lines.iloc[n].items()})
        for n in np.flatnonzero(several)
    }
    counts = np.ones(len(lines), dtype=np.int64)
    counts[list(parts)] = [len(some) for some in parts.values()]
    rows = lines.loc[lines.index.repeat(counts)]
    at = np.repeat(several.to_numpy(), counts)
    rows = rows.reset_index(drop=True)
    for column in ("row_id", "subject", "evidence_hash", *(["seen"] if "seen" in rows else [])):
        rows.loc[at, column] = [part[column] for some in parts.values() for part in some]
    return rows


def spread_cells(cells: dict[str, str]) -> list[dict[str, str]]:
    """As `spread`, for the cells of one line."""
    bars = cells["subject"].count(BAR)
    if not bars or bars != cells["evidence_hash"].count(BAR):
        return [cells]
    return _parts(cells)


def _parts(cells: dict[str, str]) -> list[dict[str, str]]:
    subjects, hashes = cells["subject"].split(BAR), cells["evidence_hash"].split(BAR)
    seen = cells.get("seen", "").split(SEEN_BAR)
    if len(seen) != len(subjects):  # the same was seen of all
        seen = [cells.get("seen", "")] * len(subjects)
    told = zip(subjects, hashes, seen, strict=True)
    return [
        {**cells, "row_id": f"{cells['level']}:{subject}", "subject": subject,
         "evidence_hash": digest, "seen": words}
        for subject, digest, words in told
    ]  # fmt: skip
