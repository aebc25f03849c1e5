"""The nodes and rows a decision can name, and how a person's words find them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import pandas as pd

from strata_labels.errors import InputError, Problem
from strata_labels.people_csv import clean_cell

#: Between the names of a path, finest first: `church › human-made`.
ARROW = " › "


def fold(text: str) -> str:
    """A name as it is compared: case and spaces do not count."""
    return clean_cell(text).casefold()


class KnownNodes:
    """Nodes by id, and by name within a level.

    Args:
        vocabulary: `node_id, level, name, parent_id, qid`, one row a node.

    Attributes:
        level, name, parent, qid: by node id; a blank `parent` or `qid` is "".
        top: the highest level.
    """

    def __init__(self, vocabulary: pd.DataFrame) -> None:
        table = vocabulary.fillna({"parent_id": "", "qid": "", "name": ""})
        ids = table.node_id.tolist()
        self.level: dict[str, int] = dict(zip(ids, table.level.astype(int).tolist(), strict=True))
        self.name: dict[str, str] = dict(zip(ids, table.name.tolist(), strict=True))
        self.parent: dict[str, str] = dict(zip(ids, table.parent_id.tolist(), strict=True))
        self.qid: dict[str, str] = dict(zip(ids, table.qid.tolist(), strict=True))
        self.top = max(self.level.values(), default=0)
        self._by_name: dict[tuple[int, str], list[str]] = defaultdict(list)
        for node in ids:
            self.add_name(node, self.name[node])

    def add_name(self, node: str, name: str) -> None:
        """Makes `node` findable by a further name."""
        found = self._by_name[self.level[node], fold(name)]
        if node not in found:
            found.append(node)

    def add(self, node: str, beside: str, name: str) -> None:
        """Makes a new node known, on the level and below the parent of another."""
        self.level[node], self.name[node] = self.level[beside], name
        self.parent[node], self.qid[node] = self.parent[beside], ""
        self.add_name(node, name)

    def named(self, name: str, level: int) -> list[str]:
        """Ids of the nodes of `level` with that name."""
        return self._by_name.get((level, fold(name)), [])

    def path(self, node: str) -> list[str]:
        """The node and its ancestors, as far as parents are known."""
        found: list[str] = []
        while node and node in self.level and node not in found:
            found.append(node)
            node = self.parent[node]
        return found

    def path_name(self, node: str) -> str:
        """Names along the path: `church › human-made`."""
        return ARROW.join(self.name[step] for step in self.path(node))

    def find(self, text: str, levels: Iterable[int]) -> tuple[str, str, str]:
        """The node a person means by an id, a name, or a path of names.

        A name is looked for at the first of `levels`, then at the next, and so on. Where several
        children of one node have its name, the node is meant.

        Returns:
            `(node id, "", "")`, or `("", what is wrong, how to mend it)`.
        """
        levels = list(levels)
        if self.level.get(text) in levels:
            return text, "", ""
        allowed = " or ".join(str(level) for level in levels)
        if text in self.level:
            what = f"a node of level {self.level[text]} where one of level {allowed} is asked:"
            return "", what, f"Name a node of level {allowed}."
        first, *above = text.split(ARROW.strip())
        for level in levels:
            found = self.named(first, level)
            if above:
                found = [node for node in found if fold(self.path_name(node)) == fold(text)]
            if len(found) == 1:
                return found[0], "", ""
            parents = {self.parent[node] for node in found}
            if len(parents) == 1 and self.named(first, level + 1) == list(parents):
                continue  # all are children of a node of that name: it is meant
            if found:
                return "", "several nodes have this name:", f"Write one of {', '.join(found)}."
        others = [
            node
            for level in sorted(set(self.level.values()) - set(levels))
            for node in self.named(first, level)
        ]
        if others:
            what = f"a node of level {self.level[others[0]]} where one of level {allowed} is asked:"
            return "", what, f"Name a node of level {allowed}."
        return "", "unknown node:", f"Name a node of level {allowed}, by its id or its name."


def check_proposals(proposals: pd.DataFrame, known: KnownNodes) -> None:
    """Every node that a proposal names is known, each row is there once.

    Raises:
        InputError: otherwise.
    """
    nodes = pd.Index(list(known.level))
    above = proposals[proposals.level > 1]
    problems = [
        Problem("table proposals", "unknown node:", "Propose it again.", column=name, value=value)
        for name, values in (("parent", proposals.parent), ("subject", above.subject))
        for value in sorted(set(values.fillna("")) - {""} - set(nodes))
    ]
    twice = proposals.row_id[proposals.row_id.duplicated()]
    problems += [
        Problem("table proposals", "row stands twice:", "Propose it again.", value=value)
        for value in sorted(set(twice))
    ]
    if problems:
        raise InputError(problems)
