"""Newick, for tree viewers: `tree.nwk`, names quoted, one root over all top nodes."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from strata_labels.errors import InputError, Problem
from strata_labels.export.material import LABELLED, Material, aside
from strata_labels.export.report import Export
from strata_labels.files import write_text

NAME = "tree.nwk"

Node = tuple[str, tuple["Node", ...]]

_TOKEN = re.compile(r"'((?:[^']|'')*)'|([(),;])")


def _below(material: Material) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Children of each node (of `""`: the top nodes), by id, and names."""
    rows = material.rows()
    rows = rows[rows.status == LABELLED]
    names = dict(zip(rows.item_id, rows["name"], strict=True))
    children: dict[str, list[str]] = defaultdict(list)
    parents = material.hangs_on(rows).fillna("")
    for node in material.nodes().itertuples():
        names[str(node.node_id)] = str(node.name)
        children[str(node.parent_id or "")].append(str(node.node_id))
    for item, parent in sorted(zip(rows.item_id, parents, strict=True)):
        children[parent].append(item)
    return children, names


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def write(folder: Path, material: Material) -> Export:
    """All nodes and labelled items in one line; the root bears the tree's title."""
    children, names = _below(material)

    def text(node: str) -> str:
        below = children.get(node)
        inside = "(" + ",".join(text(child) for child in below) + ")" if below else ""
        return inside + _quoted(names[node] if node else material.about.title)

    write_text(folder / NAME, text("") + ";\n")
    rows = material.rows()
    left = aside(rows, no_label=rows.status != LABELLED)
    return Export([folder / NAME], {NAME: len(names)}, left)


def read_newick(text: str) -> Node:
    """Reads a tree whose labels are all quoted, as `(name, children)`.

    Raises:
        ValueError: it is not one.

    Example:
        >>> read_newick("('it''s','b')'root';")
        ('root', (("it's", ()), ('b', ())))
    """
    stack: list[list[Node]] = [[]]
    closed: list[Node] | None = None
    at = 0
    while at < len(text.rstrip()):
        token = _TOKEN.match(text, at)
        if token is None:
            raise ValueError(f"no Newick at character {at}")
        at = token.end()
        if token[2] == "(":
            stack.append([])
        elif token[2] == ")":
            closed = stack.pop()
        elif token[2] is None:
            stack[-1].append((token[1].replace("''", "'"), tuple(closed or ())))
            closed = None
    if len(stack) != 1 or len(stack[0]) != 1:
        raise ValueError("not one tree")
    return stack[0][0]


def check(folder: Path, material: Material) -> None:
    """Reads the tree back and compares names and shape."""
    path = folder / NAME
    if not path.exists():
        raise InputError(Problem(path, "not in the export", "Export again."))
    children, names = _below(material)

    def expected(node: str) -> tuple[Node, ...]:
        return tuple((names[child], expected(child)) for child in children.get(node, ()))

    if read_newick(path.read_text(encoding="utf-8"))[1] != expected(""):
        raise ValueError(f"{path}: another tree than was written")
