"""The order of the open rows: those where one answer settles most doubt come first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd

from strata_labels.evidence import has_reason
from strata_labels.review.apply import Resolution
from strata_labels.review.reviewed import AUDIT

#: Rows that are asked together, at most: as many as a person takes in at a glance.
PAGE = 10


def pages(parent: np.ndarray, score: np.ndarray, most: int = PAGE) -> Iterator[np.ndarray]:
    """Cuts open rows into pages of look-alikes and orders these.

    A page has rows with the same proposal, about equally sure: one answer for most of them is
    likely. The page with most doubt on it (the expected number of wrong rows) is asked first; at
    any level of doubt that is the page with most corrections per answer.

    Args:
        parent: what each row is proposed as, `[n]` of str.
        score: 0 to 1, 1 is clean, `[n]`.
        most: rows on a page, at most.

    Yields:
        Positions of a page's rows, the most doubtful first. Every row is on one page.
    """
    if not len(parent):
        return
    codes = np.unique(parent.astype(str), return_inverse=True)[1]
    order = np.lexsort((np.arange(len(codes)), score, codes))
    starts = np.searchsorted(codes[order], codes[order])  # where its parent's rows begin
    place = np.arange(len(order)) - starts
    cuts = np.flatnonzero(place % most == 0)
    doubt = np.add.reduceat(1.0 - score[order].astype(float), cuts)
    ends = np.append(cuts[1:], len(order))
    for page in np.argsort(-doubt, kind="stable"):
        yield order[cuts[page] : ends[page]]


def queue(resolution: Resolution, items: pd.DataFrame) -> pd.DataFrame:
    """All open rows in the order to ask them.

    An audited row comes first, since a person asked for it; then what retrieval doubts, the row
    first that H-AP would gain most from. A node comes before what hangs below it, since one answer
    there settles all of that; then the rest by the doubt of the group that is asked together (see
    `pages`). Equal doubts: more images first. Rows that a reviewer was unsure of come last.
    Audited and doubted rows are asked one by one: they are not asked for what they look like.

    Args:
        resolution: from `replay` on `reviewed` proposals.
        items: the table `items` (`item_id, image_ids`).

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
    gain = rows.gain.to_numpy(dtype=float) if "gain" in rows else np.zeros(len(rows))
    suggestion = rows.suggestion.where(rows.suggestion != "", rows.parent)
    alike = is_item & ~rows.unsure.to_numpy(dtype=bool) & (suggestion != "").to_numpy()
    askable = np.flatnonzero(alike & ~audit & (gain == 0))
    group = pd.Series("", rows.index, dtype=object)
    size = np.zeros(len(rows), dtype=np.int64)
    nodes = suggestion.to_numpy(dtype=object)
    for number, page in enumerate(pages(nodes[askable], score[askable])):
        if len(page) > 1:
            group.iloc[askable[page]] = f"{nodes[askable[page[0]]]}~{number}"
            size[askable[page]] = len(page)
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


def _group_sum(values: pd.Series, group: pd.Series) -> pd.Series:
    """A group's members share the sum of their values."""
    return values.where(group == "", values.groupby(group).transform("sum"))
