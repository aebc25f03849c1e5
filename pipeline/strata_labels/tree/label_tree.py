"""LabelTree, the one tree type: level, name, parent and Wikidata id of every node, by its id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from strata_labels.errors import Problem, refuse
from strata_labels.tables import SCHEMAS

#: Between the names of a path, finest first: `church › human-made`.
ARROW = " › "


def node_problems(nodes: pd.DataFrame, where: str | Path) -> list[Problem]:
    """Everything that keeps `nodes` from being a tree (or several: one for each top node).

    A node's parent is one level up; only an item (level 0) may have a higher one, where its label
    stops early. Top nodes, and only they, have no parent.

    Args:
        nodes: `node_id, level, name, parent_id`. An index named `line` holds the rows' line
            numbers.
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
    repeated = table.node_id.duplicated() & (table.node_id != "")
    own_parent = table.node_id.map(first.parent_id)
    two = repeated & (table.parent_id != own_parent)
    wrong(two, "node_id", "a node with two parents:", "Keep one of its rows.")
    wrong(repeated & ~two, "node_id", "duplicate id:", "Keep one of its rows.")

    has = table.parent_id != ""
    level, above = table.level.astype(int), table.parent_id.map(first.level)
    wrong(has & above.isna(), "parent_id", "unknown parent:", "Add the parent as a node.")
    cycles = _cycles(first)
    inside = table.node_id.isin({node for cycle in cycles for node in cycle})
    for cycle in cycles:
        at = table.node_id.isin(cycle)
        shown = " under ".join([*cycle, cycle[0]])
        what = f"a node under itself ({shown}):"
        wrong(at & ~repeated, "parent_id", what, "Give one of them another parent.")
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


def _cycles(first: pd.DataFrame) -> list[list[str]]:
    """Cycles of parents, each from its smallest id on. Each node has at most one parent."""
    # Levels cannot rise at every step of a cycle: if they rise everywhere, there is none.
    above = first.parent_id.map(first.level)
    if (above.isna() | (above > first.level)).all():
        return []
    import networkx as nx  # few tables have a cycle

    graph = nx.DiGraph((a, b) for a, b in first.parent_id.items() if b in first.index)
    found = []
    for part in nx.strongly_connected_components(graph):
        start = min(part)
        if len(part) > 1 or graph.has_edge(start, start):
            cycle = [start]
            while (step := first.parent_id[cycle[-1]]) != start:
                cycle.append(step)
            found.append(cycle)
    return sorted(found)


@dataclass(frozen=True, eq=False)
class LabelTree:
    """A label tree: items (if they are part of it) at level 0, broader nodes above.

    A tree is never changed; `dataclasses.replace` makes a changed copy. All four mappings have the
    same keys.

    Attributes:
        level: by node id, 0 for an item.
        name: by node id.
        parent: the node above; "" at the top, and where no parent is known.
        qid: the Wikidata id, "" for none.

    Example:
        >>> tree = LabelTree.checked(pd.DataFrame({
        ...     "node_id": ["a", "1/x", "2/y"], "level": [0, 1, 2], "name": ["A", "x", "y"],
        ...     "parent_id": ["1/x", "2/y", None], "qid": [None, None, "Q1"]}))
        >>> tree.path("a"), tree.path_name("a")
        (['a', '1/x', '2/y'], 'A › x › y')
    """

    level: Mapping[str, int]
    name: Mapping[str, str]
    parent: Mapping[str, str]
    qid: Mapping[str, str]

    @classmethod
    def from_nodes(cls, nodes: pd.DataFrame) -> LabelTree:
        """The tree of rows `node_id, level, name, parent_id` and, if there, `qid`.

        Nothing is checked: a vocabulary may hold nodes without a parent. Cells other than text are
        blank.
        """
        ids = nodes["node_id"].tolist()
        text = {
            column: [text if isinstance(text, str) else "" for text in nodes[column].tolist()]
            if column in nodes
            else [""] * len(ids)
            for column in ("name", "parent_id", "qid")
        }
        return cls(
            level=dict(zip(ids, nodes["level"].astype(int).tolist(), strict=True)),
            name=dict(zip(ids, text["name"], strict=True)),
            parent=dict(zip(ids, text["parent_id"], strict=True)),
            qid=dict(zip(ids, text["qid"], strict=True)),
        )

    @classmethod
    def checked(cls, nodes: pd.DataFrame, where: str | Path = "nodes") -> LabelTree:
        """As `from_nodes`, for rows that have to be a whole tree.

        Raises:
            InputError: every problem of the rows, see `node_problems`.
        """
        problems = node_problems(nodes, where)
        refuse(problems)
        return cls.from_nodes(nodes)

    @cached_property
    def top(self) -> int:
        """The highest level, 0 in an empty tree."""
        return max(self.level.values(), default=0)

    def nodes(self) -> pd.DataFrame:
        """The rows under `SCHEMAS["vocabulary"]`, by level and id; None for a blank cell."""
        rows = [
            (node, level, self.name[node], self.parent[node] or None, self.qid[node] or None)
            for node, level in sorted(self.level.items(), key=lambda pair: (pair[1], pair[0]))
        ]
        found = pd.DataFrame(rows, columns=SCHEMAS["vocabulary"].names, dtype=object)
        return found.assign(level=found["level"].astype("int8"))

    def path(self, node: str) -> list[str]:
        """The node and its ancestors as far as they are known; empty for an unknown node."""
        found: list[str] = []
        while node in self.level and node not in found:
            found.append(node)
            node = self.parent[node]
        return found

    def path_name(self, node: str) -> str:
        """The names along the path: `church › human-made`."""
        return ARROW.join(self.name[step] for step in self.path(node))

    @cached_property
    def distinct_names(self) -> dict[str, str]:
        """Each node's name; the path of names where another node of its level has that name."""
        seen = Counter(zip(self.level.values(), self.name.values(), strict=True))
        return {
            node: name if seen[self.level[node], name] == 1 else self.path_name(node)
            for node, name in self.name.items()
        }

    def children(self, node: str) -> list[str]:
        """The nodes right below, by id; of "" the nodes without a parent."""
        return self._children.get(node, [])

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for node in sorted(self.parent):
            found.setdefault(self.parent[node], []).append(node)
        return found

    def items_below(self, directly: Mapping[str, int]) -> dict[str, int]:
        """Number of items below each node at any depth, of nodes that have any.

        Args:
            directly: number of items right below a node, by node.
        """
        found: dict[str, int] = {}
        for node, count in directly.items():
            for step in self.path(node):
                found[step] = found.get(step, 0) + count
        return found
