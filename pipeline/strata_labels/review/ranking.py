"""The order of the open rows: those where one answer settles most doubt come first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from strata_labels.evidence import has_reason
from strata_labels.review.apply import Resolution
from strata_labels.review.look_alikes import GROUP_SIZE, look_alikes, row_features
from strata_labels.review.reviewed import AUDIT


def queue(
    resolution: Resolution,
    items: pd.DataFrame,
    vectors: Sequence[np.ndarray] = (),
    group_size: int = GROUP_SIZE,
) -> pd.DataFrame:
    """All open rows in the order to ask them.

    An audited row comes first, since a person asked for it; then what retrieval doubts, the row
    first that H-AP would gain most from. A node comes before what hangs below it, since one answer
    there settles all of that; then the rest by the doubt of the group that is asked together (see
    `look_alikes`): the expected number of wrong rows. At any level of doubt, the group with most of
    it has most corrections per answer. Equal doubts: more images first. Rows that a reviewer was
    unsure of come last. Audited and doubted rows, and those that people disagree about, are asked
    one by one: they are not asked for what they look like.

    Args:
        resolution: from `replay` on `reviewed` proposals.
        items: the table `items` (`item_id, image_ids`).
        vectors: of the items, `[num_items, d]` for each kind; look-alikes are near in them too.
        group_size: rows of a group, at most.

    Returns:
        The open rows of `resolution.rows`, `suggestion` filled in where there is a parent, with
        `group` (look-alikes that can be answered as one, "" for none) and `settles` (the number of
        items that one answer to the row, or to its group, settles; of a lost node, of decisions).
    """
    held = Counter(resolution.rows.loc[resolution.rows.level == 1, "parent"])
    below = resolution.tree.items_below(held)
    below |= {node: lost.decisions for node, lost in resolution.lost.items()}
    rows = resolution.rows[resolution.rows.state == "open"].reset_index(drop=True)
    is_item = (rows.level == 1).to_numpy()
    score = rows.score.fillna(0).to_numpy(dtype=np.float32)
    audit = has_reason(rows.reasons, AUDIT)
    opinions = has_reason(rows.reasons, "disputed", "stale_decision")
    gain = rows.gain.to_numpy(dtype=float) if "gain" in rows else np.zeros(len(rows))
    suggestion = rows.suggestion.where(rows.suggestion != "", rows.parent).astype(object)
    alike = is_item & ~rows.unsure.to_numpy(dtype=bool) & (suggestion != "").to_numpy()
    askable = np.flatnonzero(alike & ~audit & ~opinions & (gain == 0))
    group = pd.Series("", rows.index, dtype=object)
    size = np.zeros(len(rows), dtype=np.int64)
    nodes = suggestion.to_numpy(dtype=object)
    at = pd.Index(items.item_id).get_indexer(rows.subject)[askable]
    place, others = nodes[askable], rows.alternatives.iloc[askable].tolist()
    sure = _likelihood(place, rows.iloc[askable])
    features = row_features(vectors, at, place, sure, others)
    found = look_alikes(place, score[askable], features, group_size)
    for number, alike in enumerate(found):
        if len(alike) > 1:
            group.iloc[askable[alike]] = f"{nodes[askable[alike[0]]]}~{number}"
            size[askable[alike]] = len(alike)
    settles = np.where(
        is_item,
        np.where(group != "", size, 1),
        rows.subject.map(below).fillna(0).to_numpy(dtype=float),
    )
    images = items.set_index("item_id")["image_ids"].map(len)
    doubt = pd.Series(1 - score.astype(float), dtype=float)
    order = pd.DataFrame(
        {
            "unsure": rows.unsure,
            "audit": ~audit,
            "retrieval": -gain,
            "level": -rows.level.astype(int),
            "gain": -_group_sum(doubt.where(is_item, doubt * settles), group),
            "images": -_group_sum(rows.subject.map(images).fillna(0).astype(float), group),
            "group": group,
            "score": score,
            "row_id": rows.row_id,
        }
    )
    rows = rows.assign(suggestion=suggestion, group=group, settles=settles.astype(np.int32))
    return rows.loc[order.sort_values(list(order.columns)).index].reset_index(drop=True)


def _likelihood(place: np.ndarray, rows: pd.DataFrame) -> np.ndarray:
    """Probability of a place of each row, its own or another; 0 if unknown."""
    columns = (place, rows.own, rows.confidence.fillna(0), rows.alternatives)
    return np.array(
        [
            sure if node == own else next((o.confidence or 0 for o in others if o.node == node), 0)
            for node, own, sure, others in zip(*columns, strict=True)
        ],
        dtype=float,
    )


def _group_sum(values: pd.Series, group: pd.Series) -> pd.Series:
    """A group's members share the sum of their values."""
    return values.where(group == "", values.groupby(group).transform("sum"))
