"""Newick, for tree viewers: `tree.nwk`, one root over all top nodes, and `names.csv`.

Packages differ in what a label may hold: some read a quoted `(` as a bracket, some know no quote in
a quoted label, and most refuse two leaves of one name. So every label of `tree.nwk` is unique and
free of such marks: an item's is its id, a node's resembles its name. `names.csv` has the names.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from strata_labels.export.export_input import ExportInput
from strata_labels.export.export_result import (
    ExportResult,
    compare_people_csv,
    set_aside,
)
from strata_labels.files import write_text
from strata_labels.people_csv import write_people_csv
from strata_labels.tables import LABELLED

#: How to open it, in Markdown.
USAGE = (
    'Newick: `dendropy.Tree.get(path="tree.nwk", schema="newick")`, '
    '`Bio.Phylo.read("tree.nwk", "newick")`, `ete4.Tree(open("tree.nwk"), parser=1)`. '
    "`names.csv` says what a label of the tree stands for."
)

NAME, NAMES = "tree.nwk", "names.csv"

Node = tuple[str, tuple["Node", ...]]

# What packages take for Newick's own, and what a spreadsheet takes for a formula.
_MARKS = re.compile(r"[\"()\[\]{},:;=\\\x00-\x1f\x7f-\x9f\u2028\u2029]|^[+\-@]")
_TOKEN = re.compile(r"'([^']*)'|([(),;])")


def _labels(given: ExportInput) -> dict[str, str]:
    """A label for every node, `""` (the root) included: free of Newick's marks, and unique.

    Case does not make two labels different: some packages look labels up without it.
    """
    tree = given.tree
    found: dict[str, str] = {}
    taken: set[str] = set()
    names = {"": given.about.title}
    for node in sorted(tree.name, key=lambda node: (tree.level[node], node)):
        names[node] = tree.name[node] if tree.level[node] else node
    for node, name in names.items():
        label = text = _MARKS.sub("_", name.replace("'", "\u2019")) or "_"
        number = 1
        while label.casefold() in taken:
            number += 1
            label = f"{text} #{number}"
        taken.add(label.casefold())
        found[node] = label
    return found


def _names(given: ExportInput, labels: dict[str, str]) -> pd.DataFrame:
    """`label, node_id, level, name, parent`: what stands for what, `parent` being a label."""
    nodes = given.tree.nodes()
    parent = nodes.parent_id.fillna("").map(labels)
    nodes = nodes.assign(label=nodes.node_id.map(labels), parent=parent)
    return nodes[["label", "node_id", "level", "name", "parent"]]


def write(folder: Path, given: ExportInput) -> ExportResult:
    """All nodes and labelled items in one line, and what their labels stand for."""
    tree, labels = given.tree, _labels(given)

    def text(node: str) -> str:
        below = tree.children(node)
        inside = "(" + ",".join(text(child) for child in below) + ")" if below else ""
        return f"{inside}'{labels[node]}'"

    write_text(folder / NAME, text("") + ";\n")
    names = _names(given, labels)
    write_people_csv(folder / NAMES, names)
    rows, left = set_aside(given.assignments, no_label=given.assignments.status != LABELLED)
    counts = {NAME: len(tree.name), NAMES: len(names)}
    return ExportResult([folder / NAME, folder / NAMES], counts, len(rows), left)


def read_newick(text: str) -> Node:
    """Reads a tree whose labels are all quoted, as `(label, children)`.

    Raises:
        ValueError: it is not one.

    Example:
        >>> read_newick("('its','b')'root';")
        ('root', (('its', ()), ('b', ())))
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
            stack[-1].append((token[1], tuple(closed or ())))
            closed = None
    if len(stack) != 1 or len(stack[0]) != 1:
        raise ValueError("not one tree")
    return stack[0][0]


def check(folder: Path, given: ExportInput) -> None:
    """Reads tree and names back, and compares names and shape."""
    tree, labels = given.tree, _labels(given)

    def expected(node: str) -> Node:
        return labels[node], tuple(map(expected, tree.children(node)))

    if read_newick((folder / NAME).read_text(encoding="utf-8")) != expected(""):
        raise ValueError(f"{folder / NAME}: another tree than was written")
    compare_people_csv(folder / NAMES, _names(given, labels))
