"""A tree of labels over networkx: an item at level 0, broader nodes above."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import networkx as nx
import pandas as pd

from strata_labels.errors import InputError, Problem


def node_problems(nodes: pd.DataFrame, where: str | Path) -> list[Problem]:
    """Everything that keeps `nodes` from being a tree (or several: one for each top node).

    A node's parent is one level up; only an item (level 0) may hang higher, where its label stops
    early. Top nodes, and only they, have no parent.

    Args:
        nodes: `node_id, level, name, parent_id`. An index named `line` says where rows stand.
        where: the file or table, for the messages.
    """
    if nodes.empty:
        return []
    table = nodes[["node_id", "level", "name", "parent_id"]].copy()
    for column in ("node_id", "name", "parent_id"):
        table[column] = table[column].fillna("")
    lines = pd.Series(nodes.index if nodes.index.name == "line" else None, index=table.index)
    problems = []

    def wrong(rows: pd.Series, column: str, what: str, fix: str) -> None:
        for line, value in zip(lines[rows], table.loc[rows, column], strict=True):
            row = None if pd.isna(line) else int(line)
            problems.append(Problem(where, what, fix, row, column, value))

    wrong(table.node_id == "", "node_id", "blank id:", "Give the node an id.")
    wrong(table.name.str.strip() == "", "name", "blank name:", "Give the node a name.")
    first = table[table.node_id != ""].drop_duplicates("node_id").set_index("node_id")
    again = table.node_id.duplicated() & (table.node_id != "")
    own_parent = table.node_id.map(first.parent_id)
    two = again & (table.parent_id != own_parent)
    wrong(two, "node_id", "a node with two parents:", "Keep one of its rows.")
    wrong(again & ~two, "node_id", "id stands twice:", "Keep one of its rows.")

    has = table.parent_id != ""
    level, above = table.level.astype(int), table.parent_id.map(first.level)
    wrong(has & above.isna(), "parent_id", "unknown parent:", "Add the parent as a node.")
    circles = _circles(first)
    inside = table.node_id.isin({node for circle in circles for node in circle})
    for circle in circles:
        at = table.node_id.isin(circle)
        shown = " under ".join([*circle, circle[0]])
        what = f"a node under itself ({shown}):"
        wrong(at & ~again, "parent_id", what, "Break the circle.")
    misplaced = (above != level + 1) & ~((level == 0) & (above > 0))
    wrong(
        has & above.notna() & misplaced & ~inside,
        "parent_id",
        "a parent at the wrong level:",
        "Name a parent one level up.",
    )
    top = level.max() if len(level) else 0
    wrong(~has & (level < top), "parent_id", "no parent below the top level", "Name its parent.")
    return problems


def _circles(first: pd.DataFrame) -> list[list[str]]:
    """Circles of parents, each from its smallest id on. Each node has at most one parent."""
    # A circle cannot climb at every step, so only rows on circles of steps remain after this.
    above = first.parent_id.map(first.level)
    if (above.isna() | (above > first.level)).all():
        return []
    graph = nx.DiGraph((a, b) for a, b in first.parent_id.items() if b in first.index)
    found = []
    for part in nx.strongly_connected_components(graph):
        start = min(part)
        if len(part) > 1 or graph.has_edge(start, start):
            circle = [start]
            while (step := first.parent_id[circle[-1]]) != start:
                circle.append(step)
            found.append(circle)
    return sorted(found)


class LabelTree:
    """A checked label tree.

    Args:
        nodes: `node_id, level, name, parent_id, qid`, items among them as level 0.
        where: what to call the input in messages.

    Raises:
        InputError: everything wrong with the nodes, see `node_problems`.

    Attributes:
        nodes: the given rows, by level and id.
        graph: edges from parent to child; nodes carry `level`, `name`, `qid`.

    Example:
        >>> tree = LabelTree(pd.DataFrame({
        ...     "node_id": ["a", "1/x", "2/y"], "level": [0, 1, 2], "name": ["A", "x", "y"],
        ...     "parent_id": ["1/x", "2/y", None], "qid": [None, None, None]}))
        >>> tree.path("a"), tree.counts()
        (['a', '1/x', '2/y'], {0: 1, 1: 1, 2: 1})
    """

    def __init__(self, nodes: pd.DataFrame, where: str | Path = "nodes") -> None:
        problems = node_problems(nodes, where)
        if problems:
            raise InputError(problems)
        columns = ["node_id", "level", "name", "parent_id", "qid"]
        table = nodes.reindex(columns=columns).sort_values(["level", "node_id"], ignore_index=True)
        self.nodes = table.astype({"level": "int8"})
        self.graph = nx.DiGraph()
        cells = (table.node_id, table.level.astype(int), table.name, table.qid)
        self.graph.add_nodes_from(
            (node, {"level": level, "name": name, "qid": None if pd.isna(qid) else qid})
            for node, level, name, qid in zip(*cells, strict=True)
        )
        has = table.parent_id.fillna("") != ""
        self.graph.add_edges_from(zip(table.parent_id[has], table.node_id[has], strict=True))

    @property
    def levels(self) -> list[int]:
        """The levels in use, 0 first."""
        return sorted(int(level) for level in self.nodes.level.unique())

    def parent(self, node: str) -> str | None:
        """The node above, None at the top."""
        return next(self.graph.predecessors(node), None)

    def ancestors(self, node: str) -> list[str]:
        """The nodes above, nearest first."""
        return self.path(node)[1:]

    def path(self, node: str) -> list[str]:
        """The node and its ancestors, up to the top.

        Raises:
            KeyError: no such node.
        """
        if node not in self.graph:
            raise KeyError(node)
        found = [node]
        while (above := self.parent(found[-1])) is not None:
            found.append(above)
        return found

    def children(self, node: str) -> list[str]:
        """The nodes right below, by id."""
        return sorted(self.graph.successors(node))

    def name(self, node: str) -> str:
        """A node's name."""
        return self.graph.nodes[node]["name"]

    def counts(self) -> dict[int, int]:
        """Number of nodes by level."""
        counts = self.nodes.level.value_counts().sort_index()
        return dict(zip(counts.index.tolist(), counts.tolist(), strict=True))

    def items_below(self) -> dict[str, int]:
        """Number of items (level 0) below each node, itself included where it is one."""
        found = {node: int(level == 0) for node, level in self.graph.nodes(data="level")}
        for node, parent in zip(self.nodes.node_id, self.nodes.parent_id, strict=True):
            # Rows come level by level, so a node's own count is complete when it is passed on.
            if isinstance(parent, str) and parent:
                found[parent] += found[node]
        return found

    def cut(self, levels: Iterable[int]) -> LabelTree:
        """The tree of some levels, renumbered 0, 1, ...; each node under its nearest kept ancestor.

        Raises:
            ValueError: a level the tree does not have; no level; or a cut that leaves a node
                below the top without a parent.
        """
        kept = sorted(set(levels))
        if not kept or not set(kept) <= set(self.levels):
            raise ValueError(f"levels {kept} of a tree that has {self.levels}")
        number = {level: n for n, level in enumerate(kept)}
        table = self.nodes[self.nodes.level.isin(kept)].copy()
        level = dict(self.graph.nodes(data="level"))
        above: dict[str, str | None] = {}
        for node, parent in zip(self.nodes.node_id[::-1], self.nodes.parent_id[::-1], strict=True):
            # From the top down: `above` is the nearest kept ancestor.
            own = parent if isinstance(parent, str) and parent else None
            above[node] = own if own is None or level[own] in number else above[own]
        table["parent_id"] = table.node_id.map(above).astype(object)
        table["level"] = table.level.map(number)
        return LabelTree(table, "the cut tree")
