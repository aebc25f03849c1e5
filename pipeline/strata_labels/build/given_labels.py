"""Proposes missing labels and questions given ones, in a tree that the labels made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from strata_labels.build.assets import ledgers
from strata_labels.build.embed import IMAGES, NAMES
from strata_labels.build.label_questions import merged_nodes
from strata_labels.build.settings import BuildSettings
from strata_labels.build.workspace import Workspace
from strata_labels.proposal import (
    LabelIssues,
    Ladder,
    Scorer,
    Scores,
    Signals,
    doubt_given,
    most_harmful_first,
    outside_score,
    proposal_table,
    propose_missing,
    score_labels,
    tolerance_limit,
)
from strata_labels.review import read_ledger, replay
from strata_labels.tables import SCHEMAS, own_ids
from strata_labels.tree import LabelTree


@dataclass(frozen=True)
class Completed:
    """What the engine says of a tree's items.

    Attributes:
        proposals: the table `proposals`.
        path_confidence: the table `path_confidence`.
        issues: the table `label_issues`.
        expected_wrong: how many of the opened labels are estimated to be wrong.
    """

    proposals: pd.DataFrame
    path_confidence: pd.DataFrame
    issues: pd.DataFrame
    expected_wrong: float


def nothing_questioned(proposals: pd.DataFrame) -> Completed:
    """The proposals as they are."""
    empty = {name: pd.DataFrame(columns=SCHEMAS[name].names) for name in SCHEMAS}
    return Completed(proposals, empty["path_confidence"], empty["label_issues"], 0.0)


def complete(
    workspace: Workspace,
    settings: BuildSettings,
    items: pd.DataFrame,
    labels: pd.DataFrame,
    proposals: pd.DataFrame,
    nodes: pd.DataFrame,
) -> Completed:
    """Proposes what is missing and questions what was given.

    Nothing is scored where there is nothing to score: no label is missing and there are no vectors,
    or nothing is known of the items, or no item has a label.

    Args:
        workspace: with vectors, if there are any.
        settings: of the build.
        items: the table `items`.
        labels: one for an item and level at most.
        proposals: the edges that the labels make.
        nodes: their nodes.
    """
    decisions = read_ledger(*ledgers(settings)).decisions
    merged = _merged(decisions, proposals, nodes)
    ladder, known, lone = _ladder(settings, items, labels, *merged)
    missing = (known[:, 0] < 0) & ~lone
    signals = _signals(workspace, items)
    has_vectors = signals.image is not None or signals.text is not None
    if not ladder.ids[0] or len(ladder.ids[0]) < 2 or not (missing.any() or has_vectors):
        return nothing_questioned(proposals)
    scorer = Scorer(
        signals, ladder.ids[0], target=settings.hierarchy.target, above=ladder.above[1:]
    )
    evidence = scorer.has_evidence
    if not evidence.any():
        return nothing_questioned(proposals)
    rows = np.flatnonzero(missing & evidence)
    table, scores = _propose(settings, items, ladder, scorer, known, rows, proposals)
    decided = np.zeros(len(items), dtype=bool)
    if len(decisions):
        both, line = _with_decisions(ladder, items, known, decisions, table, nodes)
        decided = line >= 0
        table, scores = _propose(settings, items, ladder, scorer, both, rows, proposals, line)
    done = question(settings, items, ladder, scorer, scores, evidence & ~decided, table)
    return replace(done, path_confidence=path_table(items, rows, ladder.first, scores))


def question(
    settings: BuildSettings,
    items: pd.DataFrame,
    ladder: Ladder,
    scorer: Scorer,
    scores: Scores,
    asked: np.ndarray,
    proposals: pd.DataFrame,
) -> Completed:
    """Scores the given labels and opens the rows of the doubtful ones.

    Args:
        settings: of the build.
        items: the table `items`.
        ladder: the nodes.
        scorer: holds the evidence.
        scores: its answer.
        asked: items whose labels may be questioned, boolean `[n]`.
        proposals: the table `proposals`.
    """
    issues, given, worst = _issues(settings, ladder, scores, asked, items)
    opened = scores.labelled[worst]
    table = proposals
    if len(opened):
        table = proposals.copy()
        changed = doubt_given(items, opened, worst, ladder, scorer, scores, issues)
        at = table.index[(table["level"] == 1) & table["subject"].isin(changed.index)]
        for column in changed:
            values = changed[column].reindex(table.loc[at, "subject"])
            table[column] = table[column].astype(object)
            table.loc[at, column] = values.set_axis(at)
        table = table.astype(proposals.dtypes.to_dict())
    return Completed(
        table,
        pd.DataFrame(columns=SCHEMAS["path_confidence"].names),
        issue_table(items["item_id"].iloc[scores.labelled], ladder, issues, given, worst),
        float(np.nanmax(issues.wrong[worst], axis=1).sum()) if len(worst) else 0.0,
    )


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
    ids: pd.Series, ladder: Ladder, issues: LabelIssues, given: np.ndarray, opened: np.ndarray
) -> pd.DataFrame:
    """The table `label_issues`, the least clean labels first.

    Args:
        ids: of the labelled items, `[m]`.
        ladder: the nodes.
        issues: of these items, `[m, S]`.
        given: their labels, `[m, S]`.
        opened: positions of those whose rows are opened.
    """
    parts = []
    is_open = np.isin(np.arange(len(ids)), opened)
    for level, names in enumerate(ladder.ids):
        rows = np.flatnonzero(~np.isnan(issues.score[:, level]))
        name = np.array([*names, ""], dtype=object)
        wrong = issues.wrong[rows, level]
        part = {
            "item_id": ids.to_numpy(dtype=object)[rows],
            "level": ladder.first + level,
            "given": name[given[rows, level]],
            "suggestion": name[issues.suggestion[rows, level]],
            "score": issues.score[rows, level],
            "wrong": wrong,
            "opened": is_open[rows] & ((level == 0) | (wrong > 0.5)),
        }
        parts.append(pd.DataFrame(part))
    table = pd.concat(parts, ignore_index=True)
    return table.sort_values(["score", "item_id", "level"], ignore_index=True)


def _merged(
    decisions: pd.DataFrame, proposals: pd.DataFrame, nodes: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Proposals and nodes with the nodes that people merged in place of their parts."""
    merged = merged_nodes(decisions, proposals, nodes)
    if not merged:
        return proposals, nodes
    kept = nodes[~nodes["node_id"].isin(merged)]
    return (
        proposals.assign(parent=proposals["parent"].replace(merged)),
        kept.assign(parent_id=kept["parent_id"].replace(merged)),
    )


def _ladder(
    settings: BuildSettings,
    items: pd.DataFrame,
    labels: pd.DataFrame,
    proposals: pd.DataFrame,
    nodes: pd.DataFrame,
) -> tuple[Ladder, np.ndarray, np.ndarray]:
    """The nodes that labels name, and each item's label at each level, `[n, S]`, -1 for none.

    The third, `[n]`, is whether an item's finest label has no finer node below it, so that there is
    nothing to propose.
    """
    first = 2 if settings.hierarchy.found else 1
    levels = range(first, len(settings.hierarchy.levels))
    tree = LabelTree.from_nodes(nodes)
    own = proposals[proposals["level"] == 1].set_index("subject")["parent"]
    parent = items["item_id"].map(own).fillna("").tolist()
    lowest = labels[labels["level"] >= first].groupby("item_id")["level"].min()
    level_of = items["item_id"].map(lowest).fillna(-1).astype(int).tolist()
    named = {p for p, level in zip(parent, level_of, strict=True) if level == first and p}
    finest = sorted(named)
    paths = {node: tree.path(node) for node in {*parent} - {""}}
    ids = [sorted({paths[node][step] for node in finest}) for step in range(len(levels))]
    place = [{node: n for n, node in enumerate(of_level)} for of_level in ids]
    above = [
        np.array([place[step][paths[node][step]] for node in finest], dtype=np.int64)
        for step in range(len(levels))
    ]
    by_name: list[dict[str, list[int]]] = [{} for _ in ids]
    for step, of_level in enumerate(ids):
        for n, node in enumerate(of_level):
            by_name[step].setdefault(tree.name[node], []).append(n)
    known = np.full((len(items), len(levels)), -1)
    lone = np.zeros(len(items), dtype=bool)
    for n, (node, level) in enumerate(zip(parent, level_of, strict=True)):
        for step in range(max(level - first, 0), len(levels)) if node and level >= first else ():
            # A coarse label without those above it may be of another lineage by its id alone.
            one = paths[node][step]
            same = by_name[step].get(tree.name[one], [])
            found = place[step].get(one, same[0] if len(same) == 1 else -1)
            if found >= 0:
                known[n, step] = found
                # A label that no finer one is known below stays as it was given.
                lone[n] = step > level - first
                break
            lone[n] = True
    return Ladder(first, ids, above), known, lone


def _signals(workspace: Workspace, items: pd.DataFrame) -> Signals:
    """Names that are not mere ids, and the vectors that there are."""
    named = items["name"].to_numpy(dtype=object) != np.array(own_ids(items), dtype=object)
    vectors: dict[str, Any] = {}
    for key, file in (("text", NAMES), ("image", IMAGES)):
        if (workspace.vectors / file).is_file():
            vectors[key] = np.nan_to_num(np.load(workspace.vectors / file)).astype(np.float32)
    vectors = {key: found for key, found in vectors.items() if found.any()}
    names = np.where(named, items["name"].to_numpy(dtype=object), "")
    return Signals(names.tolist(), [""] * len(items), **vectors)


def _propose(
    settings: BuildSettings,
    items: pd.DataFrame,
    ladder: Ladder,
    scorer: Scorer,
    known: np.ndarray,
    rows: np.ndarray,
    proposals: pd.DataFrame,
    line: np.ndarray | None = None,
) -> tuple[pd.DataFrame, Scores]:
    """The proposals with those of the items `rows`, which lack a label, and the scores."""
    scores = scorer.fit(known, line)
    outside = np.zeros(len(items), dtype=bool)
    if scores.known.any() and len(rows):
        share = scorer.labelled_share(scores.known)
        far = outside_score(scores.top_probability[:, 0], scores.known, share)
        # An item with a coarse label belongs there, and what is sure is not set aside.
        outside = far > tolerance_limit(far[scores.known])
        outside &= (known < 0).all(axis=1) & ~scores.accepted
    made = proposal_table(
        propose_missing(items, rows, ladder, scorer, scores, settings.hierarchy.level, outside)
    )
    kept = proposals[~proposals["row_id"].isin(made["row_id"])]
    table = pd.concat([kept, made], ignore_index=True) if len(made) else proposals.copy()
    table = table.sort_values(["level", "subject"], ascending=[False, True], ignore_index=True)
    return table.astype(proposals.dtypes.to_dict()), scores


def _with_decisions(
    ladder: Ladder,
    items: pd.DataFrame,
    known: np.ndarray,
    decisions: pd.DataFrame,
    proposals: pd.DataFrame,
    nodes: pd.DataFrame,
) -> tuple[np.ndarray, np.ndarray]:
    """Given labels with those that people decided in their place, and the ledger's line of each."""
    resolution = replay(decisions, proposals, nodes)
    rows = resolution.rows
    rows = rows[(rows["level"] == 1) & (rows["state"] == "settled")].set_index("subject")
    parent = items["item_id"].map(rows["parent"]).fillna("").tolist()
    lines = resolution.effective.drop_duplicates("subject").set_index("subject")
    line = lines.groupby(["file", "row"], sort=False).ngroup().reindex(items["item_id"])
    place = [{node: n for n, node in enumerate(of_level)} for of_level in ladder.ids]
    both = known.copy()
    for n, node in enumerate(parent):
        if not node:
            continue
        path = resolution.tree.path(node)
        both[n] = -1
        for step, of_level in enumerate(place):
            at = next((of_level[one] for one in path if one in of_level), -1)
            if at >= 0:
                both[n, step] = at
                break
    return both, line.fillna(-1).to_numpy(dtype=np.int64)


def _issues(
    settings: BuildSettings,
    ladder: Ladder,
    scores: Scores,
    asked: np.ndarray,
    items: pd.DataFrame,
) -> tuple[LabelIssues, np.ndarray, np.ndarray]:
    """Scores of the given labels of the labelled items, these labels, and the opened items.

    An item is opened only if its finest label is given; of another one the missing label is asked.
    """
    rows = scores.labelled
    steps = np.arange(scores.path.shape[1])[None]
    given = np.where(steps >= scores.known_level[rows, None], scores.path[rows], -1)
    given[~asked[rows]] = -1
    issues = score_labels(scores.left_out, given, np.column_stack(ladder.above))
    whole = given[:, 0] >= 0
    if settings.label_issues is None:
        images = items["image_ids"].map(len).to_numpy()[rows]
        worst = most_harmful_first(issues, np.maximum(images, 1))
        worst = worst[whole[worst]]
    else:
        order = np.argsort(issues.score[:, 0], kind="stable")
        worst = order[whole[order]][: settings.label_issues]
    return issues, given, worst
