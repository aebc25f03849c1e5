"""Trees whose labels are published: their edges as proposals, and the levels found between them."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd

from strata_labels.build.assets import found_names, ledgers
from strata_labels.build.embed import ABOUT, IMAGES, NODES, image_name_vectors
from strata_labels.build.engine_tables import Completed
from strata_labels.build.given_labels import complete
from strata_labels.build.label_questions import (
    ask_for_parents,
    nodes_people_made,
    question_names,
    read_given,
)
from strata_labels.build.settings import BuildSettings
from strata_labels.build.workspace import Workspace
from strata_labels.evidence import Alternative, Evidence, Reason, evidence_hash
from strata_labels.proposal import (
    NUM_ALTERNATIVES,
    Candidates,
    decided_new_nodes,
    propose_within,
)
from strata_labels.review import read_ledger
from strata_labels.sources import published_tree
from strata_labels.tables import SCHEMAS, load

_SHOWN = 3


def published_part(
    settings: BuildSettings, items: pd.DataFrame, labels: pd.DataFrame, decisions: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Proposals and nodes of the published levels, and the labels that they were made of.

    A level found above the items is left out.
    """
    hierarchy = settings.hierarchy
    first = 2 if hierarchy.found else 1
    given = read_given(labels[labels["level"] >= first], decisions)
    proposals, nodes = published_tree(
        items, given.labels, len(hierarchy.levels), hierarchy.blank, first
    )
    if not hierarchy.ranks_may_be_blank:
        proposals = ask_for_parents(proposals, nodes, given.labels)
    homonyms = [n for n, name in enumerate(hierarchy.levels) if name in hierarchy.homonyms]
    proposals, nodes = question_names(proposals, nodes, given, decisions, homonyms)
    decided = decided_new_nodes(decisions["target"], nodes)
    return proposals, _all_nodes(nodes, decided), given.labels


def _all_nodes(nodes: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """The table `vocabulary` with more rows; of one id the first counts."""
    if more.empty:
        return nodes
    both = pd.concat([nodes.astype(object), more.astype(object)])[SCHEMAS["vocabulary"].names]
    both = both.drop_duplicates("node_id").sort_values(["level", "node_id"], ignore_index=True)
    return both.astype({"level": "int8"})


def propose_published(
    workspace: Workspace, settings: BuildSettings, items: pd.DataFrame
) -> tuple[Completed, pd.DataFrame]:
    """Proposals and nodes of a tree whose labels are published."""
    decisions = read_ledger(*ledgers(settings)).decisions
    proposals, nodes, labels = published_part(
        settings, items, load(workspace.folder, "labels"), decisions
    )
    made = nodes_people_made(decisions, proposals, nodes)
    nodes = _all_nodes(nodes, made)
    done = complete(workspace, settings, items, labels, proposals, nodes, set(made["node_id"]))
    proposals = done.proposals
    nodes = _all_nodes(nodes, done.new_nodes)
    if settings.hierarchy.found:
        proposals, nodes = _with_found_level(workspace, settings, items, proposals, nodes)
    taxa = load(workspace.folder, "taxa")
    if len(taxa):
        hierarchy = settings.hierarchy
        proposals = question_taxa(proposals, nodes, items, taxa, hierarchy.levels, hierarchy.blank)
    return replace(done, proposals=proposals), nodes


def _with_found_level(
    workspace: Workspace,
    settings: BuildSettings,
    items: pd.DataFrame,
    proposals: pd.DataFrame,
    nodes: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    own = proposals[proposals["level"] == 1].set_index("subject")["parent"]
    parents = items["item_id"].map(own).fillna("")
    placed = (parents != "").to_numpy()
    made, found = propose_within(
        items[placed],
        parents[placed].tolist(),
        dict(zip(nodes["node_id"], nodes["name"], strict=True)),
        np.load(workspace.vectors / IMAGES)[placed],
        settings.hierarchy.target,
        _candidates(workspace, settings, placed),
    )
    made = _after(made, proposals)
    kept = proposals[~proposals["row_id"].isin(made["row_id"])]
    table = pd.concat([kept, made], ignore_index=True)
    table = table.sort_values(["level", "subject"], ascending=[False, True], ignore_index=True)
    return table, _all_nodes(nodes, found)


def _after(made: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """Rows of found places; where the label above was in doubt or a guess, that is asked as before.

    Args:
        made: the rows; they say that the label above is published.
        before: the rows of the same subjects that they replace.
    """
    guess = [all(piece.kind != "published" for piece in own) for own in before["evidence"]]
    before = before.assign(guess=guess)
    earlier = before[~before["accepted"] | before["guess"]].set_index("row_id").to_dict("index")
    rows = made.to_dict("records")
    for row in rows:
        own = earlier.get(row["row_id"])
        if own is None:
            continue
        if own["guess"]:
            row["evidence"] = [piece for piece in row["evidence"] if piece.kind != "published"]
        row["evidence"] = tuple(dict.fromkeys((*own["evidence"], *row["evidence"])))
        if own["accepted"]:
            continue
        elsewhere = own["suggestion"] not in ("", own["parent"])
        row |= {
            "status": own["status"],
            "accepted": False,
            **{name: min(row[name], own[name]) for name in ("confidence", "margin", "score")},
            "reasons": tuple(dict.fromkeys((*own["reasons"], *row["reasons"]))),
            "suggestion": own["suggestion"] if elsewhere else row["suggestion"],
            "alternatives": (*own["alternatives"], *row["alternatives"])[:NUM_ALTERNATIVES],
        }
    return pd.DataFrame(rows, columns=made.columns).astype(made.dtypes.to_dict())


def _candidates(
    workspace: Workspace, settings: BuildSettings, placed: np.ndarray
) -> Candidates | None:
    about = json.loads((workspace.vectors / ABOUT).read_text(encoding="utf-8"))
    if not (workspace.vectors / NODES).is_file() or not about["aligned"]:
        return None
    names = found_names(settings)
    return Candidates(
        names["parent"].tolist(),
        names["name"].tolist(),
        np.load(workspace.vectors / NODES),
        np.load(image_name_vectors(workspace))[placed],
        about["logit_scale"],
    )


def question_taxa(
    proposals: pd.DataFrame,
    nodes: pd.DataFrame,
    items: pd.DataFrame,
    taxa: pd.DataFrame,
    levels: tuple[str, ...],
    blank: str,
) -> pd.DataFrame:
    """Opens the rows of edges that the knowledge base's taxa contradict.

    The row stands where the two lineages part, going up from the species: at the species itself
    if another genus is given, else at the node whose parent is another one; so one decision
    settles all below it. Where matched species of one node disagree on it, the species have rows.
    Ranks that either side leaves blank are not compared.

    Args:
        proposals: the published edges.
        nodes: the published nodes.
        items: the table `items`.
        taxa: `item_id, rank, name, qid` of matched items.
        levels: names of the levels; those that are ranks are compared.
        blank: how names of nodes begin that stand for a blank.

    Returns:
        The proposals; contradicted rows are open, with both lineages as evidence and, where the
        other parent is a node of the tree, that one as suggestion.
    """
    parent = dict(zip(proposals["subject"], proposals["parent"], strict=True))
    name = dict(zip(nodes["node_id"], nodes["name"], strict=True))
    title = dict(zip(items["item_id"], items["name"], strict=True))
    rank_at = {rank: level for level, rank in enumerate(levels) if level}
    votes: dict[str, list[tuple[str, str, tuple[Evidence, ...]]]] = {}
    agreed: dict[str, int] = {}
    for item, found_taxa in taxa.groupby("item_id", sort=True):
        ranked = found_taxa[found_taxa["rank"].isin(rank_at)]
        theirs = sorted(
            {
                Evidence("taxonomy", "", float(rank_at[rank]), taxon, ids=(qid,) if qid else ())
                for rank, taxon, qid in zip(
                    ranked["rank"], ranked["name"], ranked["qid"].fillna(""), strict=True
                )
            },
            key=lambda piece: (piece.value, piece.text),
        )
        path = [str(item)]
        while parent.get(path[-1]):
            path.append(parent[path[-1]])
        for below, above in pairwise(path):
            level = int(above.split("/", 1)[0])
            named = [piece.text for piece in theirs if piece.value == level]
            if not named or name[above].startswith(blank):
                continue
            if name[above] in named:
                agreed[below] = agreed.get(below, 0) + 1
                continue
            votes.setdefault(below, []).append((str(item), named[0], tuple(theirs)))
            break
    opened: dict[str, tuple[tuple[Evidence, ...], str, str]] = {}
    for subject, found in sorted(votes.items()):
        others = {other for _, other, _ in found}
        as_one = len(others) == 1 and not agreed.get(subject)
        groups = {subject: found} if as_one else {vote[0]: [vote] for vote in found}
        for row, members in groups.items():
            item, other, taxonomy = members[0]
            ours, step = [], parent.get(item)
            while step:
                ours.append(step)
                step = parent.get(step)
            lineages = [Evidence("published", ours[0], ids=tuple(ours)), *taxonomy]
            if row != item:
                shown = tuple(member for member, _, _ in members[:_SHOWN])
                lineages.append(
                    Evidence("members", "", float(len(members)), title[item], ids=shown)
                )
            in_doubt = parent.get(row, "") if row == subject else ""
            opened[row] = tuple(lineages), other, in_doubt
    return _opened(proposals, nodes, opened)


def _opened(
    proposals: pd.DataFrame,
    nodes: pd.DataFrame,
    opened: dict[str, tuple[tuple[Evidence, ...], str, str]],
) -> pd.DataFrame:
    """The proposals with these rows open: evidence, name of the other parent, parent in doubt."""
    by_name: dict[tuple[int, str], list[str]] = {}
    for node, level, name in nodes[["node_id", "level", "name"]].itertuples(index=False):
        by_name.setdefault((int(level), name), []).append(node)
    rows = proposals.to_dict("records")
    for row in rows:
        if row["subject"] not in opened:
            continue
        lineages, other, in_doubt = opened[str(row["subject"])]
        known = by_name.get((int(row["level"]), other), []) if in_doubt else []
        missing = [one for one in row["reasons"] if one.kind == "no_parent"]
        row |= {
            "accepted": False,
            "confidence": 0.5,
            "margin": 0.0,
            "score": 0.5,
            "evidence": lineages,
            "reasons": (Reason("taxonomy_differs"), *missing),
            "suggestion": known[0] if len(known) == 1 else row["parent"],
            "alternatives": tuple(map(Alternative, known)),
            "evidence_hash": evidence_hash(evidence=lineages),
        }
    return pd.DataFrame(rows, columns=proposals.columns).astype(proposals.dtypes.to_dict())
