"""Finds the node that a person means by an id, a name or a path of names."""

from __future__ import annotations

from collections.abc import Iterable

from strata_labels.people_csv import clean_cell
from strata_labels.tree.label_tree import ARROW, LabelTree

# What is wrong where no node has the text's id or name.
UNKNOWN_NODE = "unknown node:"


def name_key(text: str) -> str:
    """A name as it is compared: case and spaces do not count."""
    return clean_cell(text).casefold()


class NodeFinder:
    """An index of a tree's names.

    Args:
        tree: the tree.
        other_names: further names of nodes, as pairs of node id and name.
    """

    def __init__(self, tree: LabelTree, other_names: Iterable[tuple[str, str]] = ()) -> None:
        self._tree = tree
        self._by_name: dict[tuple[int, str], list[str]] = {}
        for node, name in (*tree.name.items(), *other_names):
            nodes = self._by_name.setdefault((tree.level[node], name_key(name)), [])
            if node not in nodes:
                nodes.append(node)

    def find(self, text: str, levels: Iterable[int]) -> tuple[str, str, str]:
        """Finds a node by its id, its name, or a path of names.

        A name is looked for at the first of `levels`, then at the next, and so on. Where several
        children of one node have its name, the node is meant.

        Returns:
            `(node id, "", "")`, or `("", what is wrong, how to mend it)`.
        """
        tree, levels = self._tree, list(levels)
        if tree.level.get(text) in levels:
            return text, "", ""
        allowed = " or ".join(str(level) for level in levels)
        if text in tree.level:
            what = f"a node of level {tree.level[text]}, but level {allowed} is needed:"
            return "", what, f"Name a node of level {allowed}."
        first, *above = text.split(ARROW.strip())
        for level in levels:
            found = self._named(first, level)
            if above:
                found = [node for node in found if name_key(tree.path_name(node)) == name_key(text)]
            if len(found) == 1:
                return found[0], "", ""
            parents = {tree.parent[node] for node in found}
            if len(parents) == 1 and self._named(first, level + 1) == list(parents):
                continue  # all are children of a node of that name: it is meant
            if found:
                return "", "several nodes have this name:", f"Write one of {', '.join(found)}."
        others = sorted(
            level
            for level, name in self._by_name
            if name == name_key(first) and level not in levels
        )
        if others:
            what = f"a node of level {others[0]}, but level {allowed} is needed:"
            return "", what, f"Name a node of level {allowed}."
        return "", UNKNOWN_NODE, f"Name a node of level {allowed}, by its id or its name."

    def _named(self, name: str, level: int) -> list[str]:
        return self._by_name.get((level, name_key(name)), [])
