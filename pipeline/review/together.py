"""One decision for several items: a single line of the ledger, which names all of them."""

from __future__ import annotations

import pandas as pd

#: Between the items of a subject, and between the hashes of what was seen of each.
BAR = "|"


def join(decisions: pd.DataFrame) -> pd.DataFrame:
    """Makes one decision of those that say the same of several items.

    Args:
        decisions: `DECISION_COLUMNS`, one row an item, alike but for subject and evidence hash;
            no hash is blank.

    Returns:
        One row whose subject and evidence hash are joined by `|`; `spread` takes it apart again.
    """
    one = decisions.iloc[:1].copy()
    one["subject"] = BAR.join(decisions["subject"])
    one["evidence_hash"] = BAR.join(decisions["evidence_hash"])
    one["row_id"] = one["level"].astype(str) + ":" + one["subject"]
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
    rows = decisions.assign(
        **{
            column: [
                cell.split(BAR) if many else cell
                for cell, many in zip(decisions[column], several, strict=True)
            ]
            for column in ("subject", "evidence_hash")
        },
        _several=several,
    ).explode(["subject", "evidence_hash"], ignore_index=True)
    own = rows["level"].astype(str) + ":" + rows["subject"]
    rows["row_id"] = rows["row_id"].where(~rows["_several"], own)
    return rows.drop(columns="_several").astype({"subject": str, "evidence_hash": str})
