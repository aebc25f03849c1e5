"""Contradictions in the names of given labels, as rows of the review.

Three kinds: one name under two parents, names that are spelled alike, and words for a missing
label. The first two stay two nodes until a person merges them. A word for a missing label counts as
no label until a person keeps it as a class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from urllib.parse import unquote

import numpy as np
import pandas as pd

from strata_labels.errors import InputError
from strata_labels.evidence import Alternative, Evidence, Reason, evidence_hash
from strata_labels.proposal import NUM_ALTERNATIVES, is_new_node, proposal_row, proposal_table
from strata_labels.review import replay, undisputed
from strata_labels.sources import is_placeholder, label_node, spelled_alike
from strata_labels.tables import SCHEMAS
from strata_labels.tree import LabelTree, name_key

_PLACE = ("keep", "move", "merge", "stop", "exclude")


@dataclass(frozen=True)
class GivenLabels:
    """The labels of a data set, as they are read.

    Attributes:
        labels: one for an item and level at most, under `SCHEMAS["labels"]`, origin `published`.
        placeholders: words for a missing label: `node_id, level, name, items, example`.
    """

    labels: pd.DataFrame
    placeholders: pd.DataFrame


def read_given(labels: pd.DataFrame, decisions: pd.DataFrame) -> GivenLabels:
    """Labels without words for a missing one; where `--known-labels` names one too, that counts.

    Such a word is a class if the ledger keeps it, and another class if the ledger merges it there.
    A level without a label takes the one that all other items with the same finer label have.

    Args:
        labels: the table `labels`.
        decisions: `Ledger.decisions`.
    """
    words = {text for text in labels["node"].unique() if is_placeholder(text)}
    marked = labels["node"].isin(words)
    asked = labels[marked].groupby(["level", "node"], sort=True)["item_id"].agg(["count", "min"])
    asked = asked.reset_index().set_axis(["level", "name", "items", "example"], axis=1)
    asked.insert(
        0, "node_id", [label_node(n, m) for n, m in zip(asked.level, asked.name, strict=True)]
    )
    read = dict.fromkeys(asked["node_id"], "")
    name = dict(zip(asked["node_id"], asked["name"], strict=True))
    for decision in undisputed(decisions[decisions["subject"].isin(read)]):
        if decision.decision == "keep":
            read[decision.subject] = name[decision.subject]
        elif decision.decision == "merge":
            read[decision.subject] = _name_of(decision.target)
    node = labels["node"].astype(object)
    node[marked] = [
        read[label_node(n, m)]
        for n, m in zip(labels["level"][marked], labels["node"][marked], strict=True)
    ]
    kept = labels.assign(node=node)[node != ""]
    order = kept.assign(_known=kept["origin"] == "known").sort_values("_known", kind="stable")
    kept = order.drop_duplicates(["item_id", "level"], keep="last").sort_index()
    return GivenLabels(_filled(kept.drop(columns="_known").assign(origin="published")), asked)


def question_names(
    proposals: pd.DataFrame,
    nodes: pd.DataFrame,
    given: GivenLabels,
    decisions: pd.DataFrame,
    homonyms: Container[int] = (),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Opens a row for each contradiction.

    The smaller node has the row; the larger one, of equal ones the first, is the suggestion. Below
    two nodes that contradict each other, nothing is asked before these are decided.

    Args:
        proposals: the edges that the labels make, accepted.
        nodes: their nodes.
        given: the labels.
        decisions: `Ledger.decisions`.
        homonyms: levels at which nodes below different top nodes may have one name.

    Returns:
        Proposals and nodes; a node of the top level has a row only where it is in question, and
        each placeholder has a row and a node without a parent.
    """
    tree = LabelTree.from_nodes(nodes)
    on_nodes = undisputed(decisions[decisions["subject"].isin(tree.level)])
    decided = {decision.subject for decision in on_nodes if decision.decision in _PLACE}
    held = proposals[proposals["level"] == 1]
    held = held[held["parent"].fillna("") != ""]
    size = tree.items_below(Counter(held["parent"].tolist()))
    first = held.sort_values("subject").drop_duplicates("parent")
    example = dict(zip(first["parent"].tolist(), first["subject"].tolist(), strict=True))
    found = _contradictions(tree, given.labels, size, decided, homonyms)
    merged = merged_nodes(decisions, proposals, nodes)
    asked = dict(zip(proposals["row_id"], proposals["reasons"], strict=True))
    opened = {}
    for node, larger in found.items():
        # What a person merged is shown as what it is part of.
        other = merged.get(larger, larger)
        one_now = merged.get(node, node) == other
        other = larger if one_now else other
        own_parent, parent = tree.parent[node], tree.parent[other]
        same = tree.name[node] == tree.name[other]
        reason = Reason("two_parents", parent) if same else Reason("spelled_alike", other)
        evidence = [_count(tree, one, size, example) for one in (node, other)]
        row_id = f"{tree.level[node] + 1}:{node}"
        missing = [one for one in asked.get(row_id, ()) if one.kind == "no_parent"]
        opened[row_id] = proposal_row(
            node, tree.level[node] + 1, own_parent or None, "published",
            fingerprint=evidence_hash(published=tree.path(own_parent)),
            confidence=0.5, margin=0.0, accepted=one_now, evidence=evidence,
            reasons=[reason, *missing],
            alternatives=[Alternative(other)], suggestion=other,
        )  # fmt: skip
    columns = (given.placeholders[name] for name in ("node_id", "level", "items", "example"))
    for node, level, items, one in zip(*columns, strict=True):
        evidence = [Evidence("label_count", node, float(items), one, ids=(node,))]
        opened[f"{level + 1}:{node}"] = proposal_row(
            node, level + 1, None, "published", fingerprint=evidence_hash(label=node),
            confidence=0.5, margin=0.0, accepted=False, evidence=evidence,
            reasons=[Reason("placeholder")],
        )  # fmt: skip
    if not opened:
        return proposals, nodes
    rows = proposal_table(list(opened.values()))
    table = pd.concat([proposals[~proposals["row_id"].isin(opened)], rows], ignore_index=True)
    table = table.sort_values(["level", "subject"], ignore_index=True)
    words = given.placeholders[~given.placeholders["node_id"].isin(tree.level)]
    words = words.assign(parent_id=None, qid=None)[SCHEMAS["vocabulary"].names]
    nodes = pd.concat([nodes.astype(object), words.astype(object)])
    nodes = nodes.sort_values(["level", "node_id"], ignore_index=True).astype({"level": "int8"})
    return table.astype(proposals.dtypes.to_dict()), nodes


def ask_for_parents(
    proposals: pd.DataFrame, nodes: pd.DataFrame, labels: pd.DataFrame
) -> pd.DataFrame:
    """Opens the row of each node that came without a label above it.

    Only where labels name nodes that could be its parent: at the level above, and below the nearest
    node above that was given.

    Args:
        proposals: the edges that the labels make, accepted.
        nodes: their nodes.
        labels: `GivenLabels.labels`; other nodes stand for blanks.

    Returns:
        The proposals; the reason of an opened row names the nearest node above that was given.
    """
    tree = LabelTree.from_nodes(nodes)
    named = set(zip(labels["level"].tolist(), labels["node"].tolist(), strict=True))
    given = {node for node, level in tree.level.items() if (level, tree.name[node]) in named}
    # The largest first.
    size = Counter(zip(labels["level"].tolist(), labels["node"].tolist(), strict=True))
    offered: dict[tuple[int, str], list[str]] = {}
    for node in sorted(given, key=lambda one: (-size[tree.level[one], tree.name[one]], one)):
        for higher in (*tree.path(node)[1:], ""):
            offered.setdefault((tree.level[node], higher), []).append(node)
    nearest: dict[str, str] = {}
    places: dict[str, tuple[Alternative, ...]] = {}
    for node in given:
        above = tree.path(node)[1:]
        if above and above[0] not in given:
            known = next((one for one in above if one in given), "")
            if found := offered.get((tree.level[node] + 1, known)):
                row_id = f"{tree.level[node] + 1}:{node}"
                nearest[row_id] = known
                places[row_id] = tuple(map(Alternative, found[:NUM_ALTERNATIVES]))
    if not nearest:
        return proposals
    at = proposals["row_id"].isin(nearest)
    of_rows = [(Reason("no_parent", nearest[row_id]),) for row_id in proposals["row_id"][at]]
    reasons = pd.Series(of_rows, proposals.index[at], dtype=object)
    others = [places[row_id] for row_id in proposals["row_id"][at]]
    changed = proposals.copy()
    changed.loc[at, "alternatives"] = pd.Series(others, proposals.index[at], dtype=object)
    changed.loc[at, ["confidence", "margin", "score"]] = 0.0
    changed.loc[at, "accepted"] = False
    changed.loc[at, "reasons"] = reasons
    return changed.astype(proposals.dtypes.to_dict())


def nodes_people_made(
    decisions: pd.DataFrame, proposals: pd.DataFrame, nodes: pd.DataFrame
) -> pd.DataFrame:
    """Nodes that people have created or split off, as they were made; columns of `vocabulary`.

    Also those that were taken back since, where people's decisions keep items.
    """
    if not decisions["decision"].isin(["create", "split"]).any():
        return nodes[:0]
    found = replay(decisions, proposals, nodes)
    known = found.known.nodes()
    known = known[~known["node_id"].isin(nodes["node_id"])]
    return known[known["node_id"].isin(found.tree.level)]


def names_in_use(nodes: pd.DataFrame, decisions: pd.DataFrame, level: int) -> Callable[[str], bool]:
    """Whether a node of a level has a name, or a decision gives it to any; not those proposed."""
    own = nodes[(nodes["level"] == level) & ~nodes["node_id"].map(is_new_node)]
    given = decisions["target"][decisions["decision"].isin(["create", "split", "rename"])]
    taken = {name_key(name) for name in (*own["name"], *given.str.split("|").str[0])}
    return lambda name: name_key(name) in taken


def merged_nodes(
    decisions: pd.DataFrame, proposals: pd.DataFrame, nodes: pd.DataFrame
) -> dict[str, str]:
    """For each node that people merged the one that it is part of.

    Empty where the decisions have faults: the check of the whole ledger lists all of them.
    """
    on_nodes = decisions[decisions["subject"].isin(nodes["node_id"])]
    try:
        return replay(on_nodes, proposals, nodes).merged if len(on_nodes) else {}
    except InputError:
        return {}


def _contradictions(
    tree: LabelTree,
    labels: pd.DataFrame,
    size: dict[str, int],
    decided: Container[str],
    homonyms: Container[int],
) -> dict[str, str]:
    """The smaller node of each contradiction, and the larger one."""
    by_name: dict[tuple[int, str], list[str]] = {}
    for node in tree.level:
        by_name.setdefault((tree.level[node], tree.name[node]), []).append(node)
    found: dict[str, str] = {}
    waiting: set[str] = set()
    group_of: dict[str, str] = {}
    for level in range(tree.top, 0, -1):
        names = labels.loc[labels["level"] == level, "node"].unique()
        alike = spelled_alike(names)
        grouped = {name for group in alike for name in group}
        alike += [[name] for name in sorted(set(names) - grouped)]
        for group in alike:
            nodes = [node for name in group for node in by_name.get((level, name), [])]
            nodes.sort(key=lambda node: (-size.get(node, 0), node))
            group_of |= dict.fromkeys(nodes, f"{level}/{group[0]}")
            for place, node in enumerate(nodes[1:], start=1):
                other = min(nodes[:place], key=lambda one: _unlike(tree, node, one))
                above, parent = tree.parent[node], tree.parent[other]
                far = tree.path(node)[-1] != tree.path(other)[-1]
                if level in homonyms and far and tree.name[node] == tree.name[other]:
                    continue
                linked = above != parent and group_of.get(above) == group_of.get(parent)
                if linked and {above, parent} & waiting:
                    waiting.add(node)
                    continue
                found[node] = other
                if node not in decided:
                    waiting.add(node)
    return found


def _unlike(tree: LabelTree, node: str, other: str) -> tuple[bool, bool]:
    return tree.parent[node] != tree.parent[other], tree.name[node] != tree.name[other]


def _count(tree: LabelTree, node: str, size: dict[str, int], example: dict[str, str]) -> Evidence:
    """How many items are under a node, and one of them."""
    below: Iterable[str] = [node]
    while below and not (there := [one for one in below if one in example]):
        below = [child for one in below for child in tree.children(one)]
    one = example[there[0]] if below else ""
    return Evidence("label_count", node, float(size.get(node, 0)), one, ids=tuple(tree.path(node)))


def _name_of(target: str) -> str:
    """The name in a decision's target, which is the id of a published node or a path of names."""
    if target[:1].isdigit() and "/" in target:
        return unquote(target.rpartition("/")[2].replace("_", " "))
    return target.partition("›")[0].strip()


def _filled(labels: pd.DataFrame) -> pd.DataFrame:
    """The labels, with those above a finer one that all other items with that one agree on."""
    if labels.empty:
        return labels
    wide = labels.pivot(index="item_id", columns="level", values="node")
    levels = sorted(wide.columns)
    codes, names = zip(*(pd.factorize(wide[level]) for level in levels), strict=True)
    given = [of_level >= 0 for of_level in codes]
    for step, of_level in enumerate(codes):
        for finer in reversed(codes[:step]):
            both = (of_level >= 0) & (finer >= 0)
            least = np.full(finer.max(initial=-1) + 1, len(names[step]))
            most = np.full(len(least), -1)
            np.minimum.at(least, finer[both], of_level[both])
            np.maximum.at(most, finer[both], of_level[both])
            single = np.where(least == most, most, -1)
            lacks = (of_level < 0) & (finer >= 0)
            of_level[lacks] = single[finer[lacks]]
    parts = []
    for level, of_level, own, known in zip(levels, codes, names, given, strict=True):
        rows = np.flatnonzero((of_level >= 0) & ~known)
        items = wide.index[rows].to_numpy(dtype=object)
        node = own.to_numpy(dtype=object)[of_level[rows]]
        parts.append(pd.DataFrame({"item_id": items, "level": level, "node": node}))
    added = pd.concat(parts, ignore_index=True).assign(origin="published")
    if added.empty:
        return labels
    added = added[labels.columns].astype(labels.dtypes.to_dict())
    return pd.concat([labels, added], ignore_index=True)
