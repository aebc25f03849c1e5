"""Nodes of a tree, and two trees, compared."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from strata_labels.tree.label_tree import LabelTree


def lowest_common_ancestor(tree: LabelTree, one: str, other: str) -> str | None:
    """The lowest node that both hang below (or are); None where they share no top node.

    Raises:
        KeyError: no such node.
    """
    above = set(tree.path(one))
    return next((node for node in tree.path(other) if node in above), None)


def distance(tree: LabelTree, one: str, other: str) -> int:
    """Number of edges between two nodes; top nodes are joined by a root that is no level.

    Raises:
        KeyError: no such node.
    """
    path, others = tree.path(one), tree.path(other)
    common = lowest_common_ancestor(tree, one, other)
    if common is None:
        return len(path) + len(others)
    return path.index(common) + others.index(common)


@dataclass(frozen=True)
class Agreement:
    """How far two trees agree.

    Attributes:
        levels: for each level above the items `level`, `items` (in both trees, with a label of this
            level in both), `only_one` (left out for lack of it), `homogeneity` (of the first tree's
            nodes given the second's), `completeness`, `v_measure`; the three are blank where
            there is no item to compare.
        precision, recall, edge_f1: share of the second tree's edges (child and parent by id) that
            the first has, of the first's that the second has, and their harmonic mean.
    """

    levels: pd.DataFrame
    precision: float
    recall: float
    edge_f1: float


def agreement(one: LabelTree, other: LabelTree) -> Agreement:
    """Compares two trees over the same items, level by level and edge by edge.

    The V-measure (Rosenberg and Hirschberg, 2007) does not look at names or ids of nodes; the
    edges do.

    Raises:
        ValueError: trees of different levels; cut one first.
    """
    # Imported here: what needs none of it need not wait for scikit-learn.
    from sklearn.metrics import homogeneity_completeness_v_measure

    if one.levels != other.levels:
        raise ValueError(f"levels {one.levels} and {other.levels}: cut one of the trees first")
    paths = _labels(one).join(_labels(other), how="outer", lsuffix="_a", rsuffix="_b")
    rows = []
    for level in one.levels[1:]:
        pair = paths[[f"{level}_a", f"{level}_b"]]
        both = pair.dropna()
        scores = [float("nan")] * 3
        if len(both):
            found = homogeneity_completeness_v_measure(both.iloc[:, 0], both.iloc[:, 1])
            scores = [float(score) for score in found]
        rows.append((level, len(both), len(pair) - len(both), *scores))
    columns = ["level", "items", "only_one", "homogeneity", "completeness", "v_measure"]
    mine, theirs = set(one.graph.edges), set(other.graph.edges)
    shared = len(mine & theirs)
    precision = shared / len(theirs) if theirs else float(not mine)
    recall = shared / len(mine) if mine else float(not theirs)
    total = len(mine) + len(theirs)
    return Agreement(
        levels=pd.DataFrame(rows, columns=columns),
        precision=precision,
        recall=recall,
        edge_f1=2 * shared / total if total else 1.0,
    )


def _labels(tree: LabelTree) -> pd.DataFrame:
    """The node of each level above each item, None where the label stops below or skips it."""
    level = dict(tree.graph.nodes(data="level"))
    items = [node for node, own in level.items() if own == 0]
    rows = [{str(level[node]): node for node in tree.ancestors(item)} for item in items]
    columns = [str(level) for level in tree.levels[1:]]
    return pd.DataFrame(rows, index=pd.Index(items, dtype=object), columns=columns, dtype=object)
