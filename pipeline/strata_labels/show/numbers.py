"""Every figure that card, page and summary show, computed once from a run's tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from strata_labels.tables import LABELLED, labels_at

#: `origin` of an item that people placed, and of one whose published label was taken over.
HUMAN, PUBLISHED = "human", "published"


def finest_level(assignments: pd.DataFrame, num_levels: int) -> pd.Series:
    """The level that each item's label goes down to: 1, or more where it stops early.

    Args:
        assignments: the table `assignments`.
        num_levels: number of levels, the item's own included.

    Returns:
        Levels as integers; 0 for items without a label.
    """
    finest = pd.Series(0, assignments.index)
    for level in range(num_levels - 1, 0, -1):
        finest = finest.mask(assignments[f"level{level}_id"].notna(), level)
    return finest.where(assignments["status"] == LABELLED, 0)


def numbers_of(
    items: pd.DataFrame,
    nodes: pd.DataFrame,
    assignments: pd.DataFrame,
    levels: tuple[str, ...],
    open_rows: int,
) -> dict[str, Any]:
    """Composition and coverage of a tree.

    Args:
        items: table `items`.
        nodes: table `nodes`.
        assignments: table `assignments`, one row an item.
        levels: names of the levels, the item's first.
        open_rows: rows of the review sheet.

    Returns:
        Plain numbers, sorted: `items` by split; `labelled` items; of these `accepted` (no review
        is asked), which is `accepted_automatically` plus `decided_by_people`; `stopped`, labelled
        items by the level that their label stops at, where that is above 1; `set_aside`, items
        without a label by status; `origin` of the labels; `levels` (nodes, items with a label,
        largest and smallest nodes); `open_rows`; `mean_confidence`.
    """
    labelled = assignments["status"] == LABELLED
    accepted = labelled & assignments["accepted"]
    decided = accepted & (assignments["origin"] == HUMAN)
    finest = finest_level(assignments, len(levels))
    per_level = []
    for level, name in enumerate(levels):
        here = nodes[nodes["level"] == level]
        row: dict[str, Any] = {"level": level, "name": name, "nodes": len(here)}
        if level > 0:
            # By id: two nodes may have one name.
            node = [f"level{level}_name", f"level{level}_id"]
            sizes = assignments.groupby(node, sort=True).size()
            sizes = sizes.sort_values(ascending=False, kind="stable")
            names = sizes.index.get_level_values(0)
            named = [[name, int(count)] for name, count in zip(names, sizes, strict=True)]
            row["items"] = int(sizes.sum())
            row["largest"], row["smallest"] = named[:3], named[-3:]
        per_level.append(row)
    return {
        "items": _counts(items["split"]),
        "labelled": int(labelled.sum()),
        "accepted": int(accepted.sum()),
        "accepted_automatically": int((accepted & ~decided).sum()),
        "decided_by_people": int(decided.sum()),
        "stopped": _counts(finest[finest > 1]),
        "set_aside": _counts(assignments.loc[~labelled, "status"]),
        "origin": _counts(assignments.loc[labelled, "origin"]),
        "levels": per_level,
        "open_rows": open_rows,
        "mean_confidence": round(float(assignments.loc[labelled, "confidence"].mean()), 4)
        if labelled.any()
        else None,
    }


def doubted_labels(issues: pd.DataFrame) -> dict[str, int]:
    """Items that were opened for review because of their given label, by its node.

    Args:
        issues: table `label_issues`; the finest given label of an item counts.

    Returns:
        Numbers by node id, the largest first.
    """
    opened = issues[issues["item_id"].isin(issues.loc[issues["opened"].astype(bool), "item_id"])]
    lowest = opened.sort_values(["item_id", "level"]).drop_duplicates("item_id")
    sizes = lowest.groupby("given", sort=True).size().sort_values(ascending=False, kind="stable")
    return {str(node): int(count) for node, count in sizes.items()}


def label_issue_numbers(issues: pd.DataFrame, names: Mapping[str, str]) -> dict[str, Any]:
    """How many given labels were opened for review.

    Returns:
        `opened` items; `expected_wrong`, how many of their labels are estimated to be wrong;
        `largest`, the ten given nodes of level 1 (or the lowest that is given) with most of them.
    """
    opened = issues[issues["item_id"].isin(issues.loc[issues["opened"].astype(bool), "item_id"])]
    sizes = doubted_labels(issues)
    wrong = opened.groupby("item_id")["wrong"].max()
    return {
        "opened": sum(sizes.values()),
        "expected_wrong": round(float(wrong.sum()), 1),
        "largest": [[names.get(node, node), count] for node, count in list(sizes.items())[:10]],
    }


def image_issue_numbers(issues: pd.DataFrame) -> dict[str, int]:
    """How many images do not look like their item.

    Returns:
        `images` and `items` of the table; `like_other_node`, images that look like another node.
    """
    return {
        "images": len(issues),
        "items": int(issues["item_id"].nunique()),
        "like_other_node": int((issues["problem"] == "like_other_node").sum()),
    }


def published_agreement(
    assignments: pd.DataFrame, labels: pd.DataFrame, level: int
) -> dict[str, int]:
    """How often a tree says what a published label says; no answer counts as wrong.

    Items whose answer was taken from a published label are left out.

    Args:
        assignments: table `assignments`.
        labels: table `labels`; those of origin `published` are compared.
        level: the level that is compared.

    Returns:
        `compared`, `agreed`, `accepted` (automatically, not by people) and `accepted_agreed`
        counts.
    """
    asked = assignments[assignments["origin"].ne(PUBLISHED)]
    truth = labels_at(labels, asked["item_id"], level, "published")
    asked, truth = asked[truth != ""], truth[truth != ""]
    name = asked[f"level{level}_name"]
    same = name.eq(truth)
    accepted = asked["accepted"] & name.notna() & asked["origin"].ne(HUMAN)
    return {
        "compared": len(asked),
        "agreed": int(same.sum()),
        "accepted": int(accepted.sum()),
        "accepted_agreed": int((same & accepted).sum()),
    }


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(key): int(count) for key, count in values.value_counts().sort_index().items()}
