"""Newick, for tree viewers: `tree.nwk`, names quoted, one root over all top nodes."""

from __future__ import annotations

import re
from pathlib import Path

from strata_labels.export.export_input import ExportInput
from strata_labels.export.export_result import ExportResult, set_aside
from strata_labels.files import write_text
from strata_labels.tables import LABELLED

NAME = "tree.nwk"

Node = tuple[str, tuple["Node", ...]]

_TOKEN = re.compile(r"'((?:[^']|'')*)'|([(),;])")


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def write(folder: Path, given: ExportInput) -> ExportResult:
    """All nodes and labelled items in one line; the root is named by the tree's title."""
    tree = given.tree

    def text(node: str) -> str:
        below = tree.children(node)
        inside = "(" + ",".join(text(child) for child in below) + ")" if below else ""
        return inside + _quoted(tree.name[node] if node else given.about.title)

    write_text(folder / NAME, text("") + ";\n")
    rows, left = set_aside(given.assignments, no_label=given.assignments.status != LABELLED)
    return ExportResult([folder / NAME], {NAME: len(tree.name)}, len(rows), left)


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


def check(folder: Path, given: ExportInput) -> None:
    """Reads the tree back and compares names and shape."""
    path = folder / NAME
    tree = given.tree

    def expected(node: str) -> tuple[Node, ...]:
        return tuple((tree.name[child], expected(child)) for child in tree.children(node))

    if read_newick(path.read_text(encoding="utf-8"))[1] != expected(""):
        raise ValueError(f"{path}: another tree than was written")
