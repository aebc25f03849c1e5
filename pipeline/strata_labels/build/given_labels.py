"""Proposes missing labels and questions given ones, in a tree that the labels made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from strata_labels.build.assets import ledgers
from strata_labels.build.engine_tables import (
    Completed,
    issue_table,
    less_sure,
    nothing_questioned,
    path_table,
)
from strata_labels.build.label_evidence import (
    Classes,
    left_out_by_image,
    name_prompts,
    node_prompts,
    signals_of,
)
from strata_labels.build.label_ladder import (
    GivenNodes,
    label_ladder,
    with_decisions,
    with_merged_nodes,
)
from strata_labels.build.label_questions import names_in_use
from strata_labels.build.settings import BuildSettings
from strata_labels.build.workspace import Workspace
from strata_labels.evidence import Evidence, Reason
from strata_labels.proposal import (
    ClassVotes,
    LabelIssues,
    Ladder,
    Scorer,
    Scores,
    doubt_coarse,
    doubt_given,
    is_shared,
    mark_outside,
    most_harmful_first,
    new_node_rows,
    outside_all_nodes,
    proposal_row,
    proposal_table,
    propose_missing,
    propose_new_nodes,
    score_labels,
)
from strata_labels.review import read_ledger
from strata_labels.tables import SCHEMAS


def complete(
    workspace: Workspace,
    settings: BuildSettings,
    items: pd.DataFrame,
    labels: pd.DataFrame,
    proposals: pd.DataFrame,
    nodes: pd.DataFrame,
    made: set[str],
) -> Completed:
    """Proposes what is missing and questions what was given.

    Nothing is scored where there is nothing to score: no label is missing and there are neither
    vectors nor classes, or nothing is known of the items, or no item has a label.

    Args:
        workspace: with vectors and classes of the items, if there are any.
        settings: of the build.
        items: the table `items`.
        labels: one for an item and level at most.
        proposals: the edges that the labels make.
        nodes: their nodes, and those that people made.
        made: ids of the latter.
    """
    decisions = read_ledger(*ledgers(settings)).decisions
    merged = with_merged_nodes(decisions, proposals, nodes)
    ladder, given = label_ladder(settings, items, labels, made, *merged)
    known = given.node
    if not known.shape[1]:  # a tree of items only
        return nothing_questioned(proposals)
    missing = known[:, 0] < 0
    proposals, stopped = _without_finer(settings, items, missing, ladder.first, given, proposals)
    waiting = replace(nothing_questioned(proposals), path_confidence=stopped)
    classes = Classes.of(workspace)
    prompts = node_prompts(workspace, settings, ladder, nodes)
    signals = signals_of(workspace, items, classes, prompts)
    more_than_names = any(part is not None for part in (signals.image, signals.text, classes))
    if not ladder.ids[0] or len(ladder.ids[0]) < 2 or not (missing.any() or more_than_names):
        return waiting
    scorer = Scorer(
        signals,
        ladder.ids[0],
        prompts=name_prompts(workspace, ladder, nodes),
        target=settings.hierarchy.target,
        above=ladder.above[1:],
    )
    evidence = scorer.has_evidence
    if not evidence.any():
        return waiting
    rows = np.flatnonzero(missing & evidence)
    scores = scorer.fit(known)
    table = _proposed(settings, items, ladder, scorer, scores, rows, proposals, classes)
    decided = np.zeros(len(items), dtype=bool)
    if len(decisions):
        both, line = with_decisions(ladder, items, known, decisions, table, nodes)
        decided = line >= 0
        del scores  # before others take memory
        scores = scorer.fit(both, line, known)
        table = _proposed(settings, items, ladder, scorer, scores, rows, proposals, classes)
    outside = outside_all_nodes(scorer, scores, known[:, 0] >= 0) & missing & evidence
    upper = ladder.ids[1] if len(ladder.ids) > 1 else [""]
    parents = [upper[path[1]] if len(path) > 1 else "" for path in scores.path]
    names = items["name"].tolist()
    taken = names_in_use(nodes, decisions, ladder.first)
    found = propose_new_nodes(names, outside, scorer, scores, ladder.first, parents, taken)
    table = mark_outside(table, items, outside, found)
    asked = evidence & ~decided
    votes = None if classes is None else classes.votes(ladder, scores)
    done = question_labels(
        workspace, settings, items, ladder, scorer, scores, asked, table, votes, given.level
    )
    opened_issues = done.issues["opened"].astype(bool)
    doubted = items["item_id"].isin(done.issues.loc[opened_issues, "item_id"])
    rows = np.flatnonzero((missing & evidence) | doubted)
    path = path_table(items, rows, ladder.first, scores)
    path = less_sure(path, done.issues)
    stopped = stopped[~stopped["item_id"].isin(path["item_id"])]
    path = pd.concat([path, stopped], ignore_index=True)
    return replace(done, path_confidence=path, new_nodes=new_node_rows(found))


def question_labels(
    workspace: Workspace,
    settings: BuildSettings,
    items: pd.DataFrame,
    ladder: Ladder,
    scorer: Scorer,
    scores: Scores,
    asked: np.ndarray,
    proposals: pd.DataFrame,
    votes: ClassVotes | None = None,
    given_level: np.ndarray | None = None,
) -> Completed:
    """Scores the given labels and opens the rows of the doubtful ones.

    Args:
        workspace: with vectors of images, if there are any.
        settings: of the build.
        items: the table `items`.
        ladder: the nodes.
        scorer: holds the evidence.
        scores: its last answer.
        asked: items whose labels may be questioned, boolean `[n]`.
        proposals: the table `proposals`.
        votes: what labels say of the items' classes, if there are any.
        given_level: see `GivenNodes.level`; None: as the scorer knows them.
    """
    lowest = (scores.known_level if given_level is None else given_level)[scores.labelled]
    left_out = left_out_by_image(workspace, settings, items, scorer, scores, asked[scores.labelled])
    issues, given, worst = _issues(settings, ladder, scorer, scores, left_out, asked, items)
    opened = scores.labelled[worst]
    table = proposals
    if len(opened):
        coarse = given[worst, 0] < 0
        fine = doubt_given(
            items, opened[~coarse], worst[~coarse], ladder, scorer, scores, issues, votes
        )
        table = _changed(proposals, fine)
        of_coarse = opened[coarse], worst[coarse], ladder, scorer, scores, issues, left_out
        table = _changed(table, doubt_coarse(items, *of_coarse, table))
    return Completed(
        table,
        pd.DataFrame(columns=SCHEMAS["path_confidence"].names),
        issue_table(items["item_id"].iloc[scores.labelled], ladder, issues, given, lowest, worst),
        float(np.nanmax(issues.wrong[worst], axis=1).sum()) if len(worst) else 0.0,
    )


def _changed(proposals: pd.DataFrame, changed: pd.DataFrame) -> pd.DataFrame:
    """The proposals with other cells of some items, columns of `changed` by item id."""
    table = proposals.copy()
    at = table.index[(table["level"] == 1) & table["subject"].isin(changed.index)]
    for column in changed:
        values = changed[column].reindex(table.loc[at, "subject"])
        table[column] = table[column].astype(object)
        table.loc[at, column] = values.set_axis(at)
    return table.astype(proposals.dtypes.to_dict())


def _without_finer(
    settings: BuildSettings,
    items: pd.DataFrame,
    missing: np.ndarray,
    first: int,
    given: GivenNodes,
    proposals: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Items with a coarse label alone, as far as nothing finer is proposed of them.

    Their label stops where it was given, and they wait for review: that there are finer nodes
    below it says nothing of them.

    Args:
        settings: of the build.
        items: the table `items`.
        missing: items that lack a finest label, boolean `[n]`.
        first: level of the finest nodes.
        given: the labels.
        proposals: the edges that the labels make.

    Returns:
        The proposals; and the table `path_confidence` of these items.
    """
    num_levels = given.node.shape[1]
    rows = np.flatnonzero(missing & (given.level < num_levels))
    if settings.hierarchy.found:
        rows = rows[:0]
    at = pd.Index(proposals["row_id"]).get_indexer("1:" + items["item_id"].iloc[rows])
    before = proposals.iloc[at]
    made = []
    for item, level, pieces, mark in zip(
        items["item_id"].iloc[rows], given.level[rows].tolist(), before["evidence"],
        before["evidence_hash"], strict=True,
    ):  # fmt: skip
        path = pieces[0].ids[level:]
        sure = first + level <= settings.hierarchy.level
        made.append(
            proposal_row(
                item, 1, path[0], "published", fingerprint=mark, confidence=0.0, margin=0.0,
                accepted=sure, evidence=[Evidence("published", path[0], ids=path)],
                reasons=[] if sure else [Reason("only_coarse")],
            )
        )  # fmt: skip
    steps = np.arange(num_levels)
    known = (steps[None] >= given.level[rows, None]).ravel()
    stopped = pd.DataFrame(
        {
            "item_id": np.repeat(items["item_id"].to_numpy(dtype=object)[rows], num_levels),
            "level": np.tile(first + steps, len(rows)).astype("int8"),
            "confidence": known.astype("float32"),
            "accepted": known,
        }
    )
    return _with_rows(proposals, made), stopped


def _proposed(
    settings: BuildSettings,
    items: pd.DataFrame,
    ladder: Ladder,
    scorer: Scorer,
    scores: Scores,
    rows: np.ndarray,
    proposals: pd.DataFrame,
    classes: Classes | None,
) -> pd.DataFrame:
    """The proposals with those of the items `rows`, which lack a label."""
    votes = None if classes is None else classes.votes(ladder, scores)
    level = settings.hierarchy.level
    made = propose_missing(items, rows, ladder, scorer, scores, level, votes)
    return _with_rows(proposals, made)


def _with_rows(proposals: pd.DataFrame, rows: list[tuple[object, ...]]) -> pd.DataFrame:
    """The proposals with rows, cells of `proposal_row`, in place of those with the same ids."""
    made = proposal_table(rows)
    kept = proposals[~proposals["row_id"].isin(made["row_id"])]
    table = pd.concat([kept, made], ignore_index=True) if len(made) else proposals.copy()
    table = table.sort_values(["level", "subject"], ascending=[False, True], ignore_index=True)
    return table.astype(proposals.dtypes.to_dict())


def _issues(
    settings: BuildSettings,
    ladder: Ladder,
    scorer: Scorer,
    scores: Scores,
    left_out: np.ndarray,
    asked: np.ndarray,
    items: pd.DataFrame,
) -> tuple[LabelIssues, np.ndarray, np.ndarray]:
    """Scores of the given labels of the labelled items, these labels, and the opened items."""
    rows = scores.labelled
    steps = np.arange(scores.path.shape[1])[None]
    given = np.where(steps >= scores.known_level[rows, None], scores.path[rows], -1)
    # Names, classes and words speak of a node without labels too; vectors hardly do.
    by_labels = {*scorer.node_scores.by_source} <= {"text", "image_to_text"}
    judged = is_shared(given) if by_labels else None
    given[~asked[rows]] = -1
    issues = score_labels(left_out, given, np.column_stack(ladder.above), judged=judged)
    if settings.label_issues is None:
        images = items["image_ids"].map(len).to_numpy()[rows]
        worst = most_harmful_first(issues, np.maximum(images, 1))
    else:
        finest = (~np.isnan(issues.score)).argmax(axis=1)
        own = issues.score[np.arange(len(rows)), finest]
        order = np.argsort(own, kind="stable")
        worst = order[~np.isnan(own[order])][: settings.label_issues]
    return issues, given, worst
