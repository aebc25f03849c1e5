"""What the engine says of a tree's items, as tables: proposals, confidences, label issues."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from strata_labels.proposal import LabelIssues, Ladder, Scores, new_node_rows
from strata_labels.tables import SCHEMAS


@dataclass(frozen=True)
class Completed:
    """What the engine says of a tree's items.

    Attributes:
        proposals: the table `proposals`.
        path_confidence: the table `path_confidence`.
        issues: the table `label_issues`.
        expected_wrong: how many of the opened labels are estimated to be wrong.
        new_nodes: proposed for items outside of all nodes; columns of the table `vocabulary`.
    """

    proposals: pd.DataFrame
    path_confidence: pd.DataFrame
    issues: pd.DataFrame
    expected_wrong: float
    new_nodes: pd.DataFrame = field(default_factory=lambda: new_node_rows([]))


def nothing_questioned(proposals: pd.DataFrame) -> Completed:
    """The proposals as they are."""
    confidence = pd.DataFrame(columns=SCHEMAS["path_confidence"].names)
    issues = pd.DataFrame(columns=SCHEMAS["label_issues"].names)
    return Completed(proposals, confidence, issues, 0.0)


def path_table(items: pd.DataFrame, rows: np.ndarray, first: int, scores: Scores) -> pd.DataFrame:
    """The table `path_confidence` of some items, scored from level `first` up."""
    num_levels = scores.path.shape[1]
    return pd.DataFrame(
        {
            "item_id": np.repeat(items["item_id"].to_numpy(dtype=object)[rows], num_levels),
            "level": np.tile(np.arange(first, first + num_levels), len(rows)).astype("int8"),
            "confidence": scores.level_confidence[rows].ravel().astype("float32"),
            "accepted": (np.arange(num_levels)[None] >= scores.accepted_level[rows, None]).ravel(),
        }
    )


def issue_table(
    ids: pd.Series,
    ladder: Ladder,
    issues: LabelIssues,
    given: np.ndarray,
    lowest: np.ndarray,
    opened: np.ndarray,
) -> pd.DataFrame:
    """The table `label_issues`, the least clean labels first.

    Args:
        ids: of the labelled items, `[m]`.
        ladder: the nodes.
        issues: of these items, `[m, S]`.
        given: their labels, `[m, S]`.
        lowest: the finest level of each that was given, `[m]`.
        opened: positions of those whose rows are opened.
    """
    parts = []
    is_open = np.isin(np.arange(len(ids)), opened)
    for level, names in enumerate(ladder.ids):
        rows = np.flatnonzero(~np.isnan(issues.score[:, level]) & (level >= lowest))
        name = np.array([*names, ""], dtype=object)
        wrong = issues.wrong[rows, level]
        part = {
            "item_id": ids.to_numpy(dtype=object)[rows],
            "level": ladder.first + level,
            "given": name[given[rows, level]],
            "suggestion": name[issues.suggestion[rows, level]],
            "score": issues.score[rows, level],
            "wrong": wrong,
            "opened": is_open[rows] & ((level == lowest[rows]) | (wrong > 0.5)),
        }
        parts.append(pd.DataFrame(part))
    table = pd.concat(parts, ignore_index=True)
    return table.sort_values(["score", "item_id", "level"], ignore_index=True)


def less_sure(path: pd.DataFrame, issues: pd.DataFrame) -> pd.DataFrame:
    """The table `path_confidence`, as sure of opened labels as these are, and of no finer one more.

    What is proposed below a doubted label was computed as if that were right.

    Args:
        path: the table `path_confidence`.
        issues: the table `label_issues`.
    """
    wrong = issues[issues["opened"].astype(bool)].set_index(["item_id", "level"])["wrong"]
    if wrong.empty or path.empty:
        return path
    table = path.sort_values(["item_id", "level"], ascending=[True, False], ignore_index=True)
    at = pd.MultiIndex.from_frame(table[["item_id", "level"]])
    right = pd.Series(1 - wrong.reindex(at).to_numpy(dtype=float))
    opened = right.notna()
    above = right.groupby(table["item_id"]).ffill().fillna(1.0)
    sure = right.where(opened, table["confidence"] * above)
    sure = sure.groupby(table["item_id"]).cummin()
    accepted = (table["accepted"] & ~opened).groupby(table["item_id"]).cummin()
    table = table.assign(confidence=sure.astype("float32"), accepted=accepted.astype(bool))
    return table.sort_values(["item_id", "level"], ignore_index=True)
