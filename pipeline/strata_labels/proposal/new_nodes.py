"""Nodes that are proposed for items outside of all nodes: look-alikes together, and a name.

The id of such a node says its place: `1/fruit/new:dragon_fruit` is below `2/fruit`. So a decision
that names it lasts, whether or not a later build proposes the node again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy

from strata_labels.evidence import Alternative, Evidence, Reason
from strata_labels.proposal.lexicon import FUNCTION_WORDS, words
from strata_labels.proposal.rows import NUM_ALTERNATIVES
from strata_labels.proposal.score import Scorer, Scores
from strata_labels.tables import OUTSIDE

_ID = re.compile(r"([0-9]+)/(?:(.+)/)?new:([^/]+)")
# Items that are grouped at most, labelled items that say how alike the members of a node are, and
# words of a name.
MOST_GROUPED, MOST_LABELLED, NAME_WORDS = 2_000, 2_000, 2


@dataclass(frozen=True)
class NewNode:
    """A proposed node.

    Attributes:
        node_id: see the module.
        name: from the words that its members share, else from the most typical one.
        parent: id of the node above, "" for none.
        members: positions of its items, the most typical first.
    """

    node_id: str
    name: str
    parent: str
    members: list[int]


def propose_new_nodes(
    names: Sequence[str],
    outside: np.ndarray,
    scorer: Scorer,
    scores: Scores,
    level: int,
    parents: Sequence[str],
    is_taken: Callable[[str], bool],
) -> list[NewNode]:
    """Groups of at least two items that are as alike as labelled items of one node are.

    Average linkage, cut where two groups are less alike than the members of the middle node.

    Args:
        names: of all items, `[n]`.
        outside: whether an item is outside of all nodes, `[n]`.
        scorer: knows how alike items are.
        scores: says which items have a known node.
        level: of the new nodes.
        parents: what each item would be under at the next level, "" for nothing, `[n]`.
        is_taken: whether another node of the level has a name; no new node gets it.
    """
    rows = np.flatnonzero(outside)[:MOST_GROUPED]
    if len(rows) < 2:
        return []
    alike = scorer.similarity(rows, rows)
    distances = np.maximum(1.0 - (alike + alike.T) / 2, 0.0)
    np.fill_diagonal(distances, 0.0)
    pairs = scipy.spatial.distance.squareform(distances, checks=False)
    tree = scipy.cluster.hierarchy.linkage(pairs, "average")
    furthest = 1.0 - _alike_within_nodes(scorer, scores)
    group = scipy.cluster.hierarchy.fcluster(tree, furthest, "distance")
    everywhere = Counter(word for name in names for word in set(_words(name)))
    found: dict[str, NewNode] = {}
    for number in np.unique(group):
        inside = np.flatnonzero(group == number)
        if len(inside) < 2:
            continue
        typical = inside[np.argsort(-alike[np.ix_(inside, inside)].sum(axis=1), kind="stable")]
        members = rows[typical].tolist()
        above = Counter(parents[n] for n in members)
        parent = min(above, key=lambda node: (-above[node], node))
        name = _shared([names[n] for n in members], everywhere) or f"like {names[members[0]]}"
        if is_taken(name):
            continue
        node = new_node_id(level, parent, name)
        before = found[node].members if node in found else []
        found[node] = NewNode(node, name, parent, [*before, *members])
    return sorted(found.values(), key=lambda new: new.node_id)


def mark_outside(
    proposals: pd.DataFrame, items: pd.DataFrame, outside: np.ndarray, new_nodes: Sequence[NewNode]
) -> pd.DataFrame:
    """The proposals with the rows of items outside of all nodes marked, and new nodes suggested.

    Args:
        proposals: the table `proposals`.
        items: `item_id, name, image_ids`.
        outside: whether an item is outside, `[n]`.
        new_nodes: for these items; the present proposal becomes the first alternative.
    """
    if not outside.any():
        return proposals
    ids = items["item_id"].tolist()
    new_of = {n: node for node in new_nodes for n in node.members}
    changed = ("status", "accepted", "reasons", "evidence", "alternatives", "suggestion")
    cells: dict[str, list[Any]] = {name: proposals[name].tolist() for name in changed}
    row_of = {row_id: at for at, row_id in enumerate(proposals["row_id"])}
    parent, confidence = proposals["parent"].tolist(), proposals["confidence"].tolist()
    for n in np.flatnonzero(outside).tolist():
        at = row_of[f"1:{ids[n]}"]
        kept = (reason for reason in cells["reasons"][at] if reason.kind != "low_confidence")
        cells["status"][at], cells["accepted"][at] = OUTSIDE, False
        cells["reasons"][at] = (Reason(OUTSIDE), *kept)
        if n not in new_of:
            continue
        node = new_of[n]
        typical = items.iloc[node.members[0]]
        others = (Alternative(parent[at], round(confidence[at], 4)), *cells["alternatives"][at])
        size, image = float(len(node.members)), tuple(typical["image_ids"])[:1]
        similar = Evidence("cluster", node.node_id, size, typical["name"], ids=image)
        cells["suggestion"][at] = node.node_id
        cells["alternatives"][at] = others[:NUM_ALTERNATIVES]
        cells["evidence"][at] = (*cells["evidence"][at], similar)
    series = {
        name: pd.Series(values, proposals.index, dtype=object) for name, values in cells.items()
    }
    return proposals.assign(**series).astype(proposals.dtypes.to_dict())


def new_node_rows(new_nodes: Sequence[NewNode]) -> pd.DataFrame:
    """New nodes as rows of the table `nodes`."""
    rows = [
        (n.node_id, int(n.node_id.split("/")[0]), n.name, n.parent or None, None) for n in new_nodes
    ]
    return _node_table(rows)


def new_node_id(level: int, parent: str, name: str) -> str:
    """The id of a proposed node.

    Example:
        >>> new_node_id(1, "2/fruit", "dragon fruit")
        '1/fruit/new:dragon_fruit'
    """
    above = f"{parent.split('/', 1)[1]}/" if parent else ""
    return f"{level}/{above}new:{name.replace('/', '-').replace(' ', '_')}"


def is_new_node(node_id: str) -> bool:
    """Whether an id is of a node that was proposed, not given."""
    return _ID.fullmatch(node_id) is not None


def decided_new_nodes(targets: Iterable[str], nodes: pd.DataFrame) -> pd.DataFrame:
    """The nodes that decisions name by the id of a proposed one, and that are not there already.

    Args:
        targets: of decisions.
        nodes: `node_id, level, name, parent_id, qid`; a new node's parent is among them.

    Returns:
        The same columns, sorted.
    """
    known = set(nodes["node_id"])
    rows = []
    for target in sorted(set(targets) - known):
        match = _ID.fullmatch(target)
        if match is None:
            continue
        level, above, name = int(match[1]), match[2], match[3].replace("_", " ")
        parent = f"{level + 1}/{above}" if above else None
        if parent is None or parent in known:
            rows.append((target, level, name, parent, None))
    return _node_table(rows)


def _node_table(rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    found = pd.DataFrame(rows, columns=["node_id", "level", "name", "parent_id", "qid"])
    return found.astype({"level": "int8"})


def _alike_within_nodes(scorer: Scorer, scores: Scores) -> float:
    """Mean similarity of the labelled items of a node, the middle one of all nodes."""
    rows = np.flatnonzero(scores.known)
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_LABELLED)).astype(int)]
    alike, node = scorer.similarity(rows, rows), scores.node[rows]
    means = []
    for k in np.unique(node):
        inside = np.flatnonzero(node == k)
        if len(inside) > 1:
            own = alike[np.ix_(inside, inside)]
            means.append((own.sum() - np.trace(own)) / (len(inside) * (len(inside) - 1)))
    return float(np.median(means)) if means else 1.0


def _words(name: str) -> list[str]:
    return [word for word in words(name) if word not in FUNCTION_WORDS and not word.isdecimal()]


def _shared(names: Sequence[str], everywhere: Counter[str]) -> str:
    """Words of at least half of the names, those that are rare elsewhere first."""
    counts = Counter(word for name in names for word in set(_words(name)))
    least = max(2, len(names) / 2)
    found = [word for word, count in counts.items() if count >= least]
    found.sort(key=lambda word: (-(counts[word] ** 2) / everywhere[word], word))
    return " ".join(found[:NAME_WORDS])
