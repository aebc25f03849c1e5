"""Gives items of the same category, in one split or several, the same label."""

from __future__ import annotations

import numpy as np
import pandas as pd

from strata_labels.evidence import Alternative, Evidence, Reason
from strata_labels.proposal import NUM_ALTERNATIVES

DIFFERS = "same_category_differs"


def categories(items: pd.DataFrame, titles: pd.DataFrame | None) -> pd.Series:
    """Each item's category, after redirects; "" where it has none."""
    own = items["title"].fillna("")
    if titles is None:
        return own
    target = titles.set_index("title")["redirect_target"].dropna()
    return own.map(target).fillna(own)


def one_label_a_category(
    items: pd.DataFrame, proposals: pd.DataFrame, category: pd.Series, decided: np.ndarray
) -> pd.DataFrame:
    """Gives the items of one category one label; where they differ, each row is open and says so.

    The label is what people decided on one of them, else the published one, else the most
    confident.

    Args:
        items: `item_id, name`.
        proposals: see `strata_labels.proposal.propose`.
        category: of each item.
        decided: whether people placed the item, boolean `[n]`.

    Returns:
        The proposals, without the classes that no item has any more.
    """
    rows = proposals.set_index("subject", drop=False)
    label = rows.loc[rows["level"] == 2, "parent"]
    name = rows.loc[rows["level"] == 1].reindex(items["item_id"])
    mine = pd.DataFrame(
        {
            "category": category.to_numpy(),
            "decided": decided,
            "known": (name["status"] == "known").to_numpy(),
            "confidence": name["confidence"].to_numpy(),
            "parent": name["parent"].to_numpy(),
            "label": name["parent"].map(label).fillna("").to_numpy(),
            "item_id": items["item_id"].to_numpy(),
        }
    )
    shared = mine[(mine["category"] != "") & mine["category"].duplicated(keep=False)]
    changed: dict[str, dict[str, object]] = {}
    for _, group in shared.groupby("category", sort=True):
        placed = group[group["label"] != ""]
        if placed.empty or (placed["parent"].nunique() == 1 and len(placed) == len(group)):
            continue
        order = ["decided", "known", "confidence", "item_id"]
        best = placed.sort_values(order, ascending=[False, False, False, True]).iloc[0]
        labels = list(dict.fromkeys([best["label"], *placed["label"]]))
        # What people decided holds for the others too; two who decided apart are a dispute.
        settled = placed[placed["decided"]]["label"].nunique() == 1
        dispute = len(labels) > 1 and not settled
        for item_id in group["item_id"]:
            row = rows.loc[item_id]
            more = [
                Evidence("category", other["label"], ids=(other["item_id"],))
                for _, other in placed.iterrows()
                if other["item_id"] != item_id
            ]
            changed[item_id] = _met(row, rows.loc[best["item_id"]], more, labels, dispute)
    if not changed:
        return proposals
    new = pd.DataFrame.from_dict(changed, orient="index")
    table = proposals.copy()
    at = table.index[(table["level"] == 1) & table["subject"].isin(changed)]
    for column in new.columns:
        values = new[column].reindex(table.loc[at, "subject"])
        table[column] = table[column].astype(object)
        table.loc[at, column] = values.set_axis(at)
    table = table.astype(proposals.dtypes.to_dict())
    used = set(table.loc[table["level"] == 1, "parent"].dropna())
    return table[(table["level"] != 2) | table["subject"].isin(used)].reset_index(drop=True)


def _met(
    row: pd.Series, best: pd.Series, more: list[Evidence], labels: list[str], dispute: bool
) -> dict[str, object]:
    reasons = [reason for reason in row["reasons"] if reason.kind != "no_evidence"]
    alternatives = list(row["alternatives"])
    if dispute:
        reasons.insert(0, Reason(DIFFERS))
        likely = {other.node: other for other in alternatives}
        first = [
            likely.pop(label, Alternative(label))._replace(
                evidence=tuple(piece for piece in more if piece.node == label)
            )
            for label in labels[1:]
        ]
        alternatives = [*first, *likely.values()][:NUM_ALTERNATIVES]
    elif best["accepted"]:
        reasons = [reason for reason in reasons if reason.kind != "low_confidence"]
    # What lowers a row's score below its confidence still does.
    lowered = row["score"] / row["confidence"] if row["confidence"] else 1.0
    return {
        "status": best["status"] if not dispute else "proposed",
        "parent": best["parent"],
        "suggestion": best["suggestion"],
        "origin": best["origin"],
        "confidence": best["confidence"],
        "margin": best["margin"],
        "accepted": bool(best["accepted"]) and not dispute,
        "score": best["confidence"] * lowered,
        "evidence": (*row["evidence"], *more),
        "reasons": tuple(reasons),
        "alternatives": tuple(alternatives),
    }
