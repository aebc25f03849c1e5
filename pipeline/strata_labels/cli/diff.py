"""`strata diff`: what changed between two trees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

    from strata_labels.tree import LabelTree

Tree = Annotated[
    Path,
    typer.Argument(help="A workspace, or a table of nodes (.parquet, or .csv by a person)."),
]


def diff(
    tree_a: Tree,
    tree_b: Tree,
    csv: Annotated[Path | None, typer.Option(help="Write every change here, one a row.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write counts and changes here.")] = None,
    page: Annotated[
        Path | None, typer.Option(help="Write TREE_B's page here, changes marked.")
    ] = None,
) -> None:
    """List what changed between two trees.

    From TREE_A to TREE_B: nodes and items added, removed, renamed, moved.
    """
    from strata_labels.files import whole, write_json
    from strata_labels.people_csv import neutralise
    from strata_labels.tree import diff as compare

    found = compare(_read(tree_a), _read(tree_b))
    changes = found.changes
    if page:
        _write_page(page, tree_b, changes)
    if csv:
        texts = changes.map(lambda cell: neutralise(cell) if isinstance(cell, str) else cell)
        with whole(csv) as beside:
            texts.to_csv(beside, index=False, encoding="utf-8", lineterminator="\n")
    if json:
        write_json(json, {"counts": found.counts, "changes": changes.to_dict("records")})
    print(found)


def _read(path: Path) -> LabelTree:
    import pandas as pd

    from strata_labels.errors import InputError, Problem
    from strata_labels.people_csv import read_people_csv
    from strata_labels.tables import load, load_file
    from strata_labels.tree import LabelTree

    if path.is_dir():
        return LabelTree.checked(load(path, "nodes"), path)
    if path.suffix == ".parquet":
        return LabelTree.checked(load_file(path), path)
    columns = ["node_id", "level", "name", "parent_id"]
    nodes = read_people_csv(path, columns, ["qid"])
    wrong = [
        Problem(path, "not a level:", "Write a whole number.", line, "level", level)
        for line, level in zip(nodes.index, nodes["level"], strict=True)
        if not level.isdecimal() or len(level) > 3
    ]
    if wrong:
        raise InputError(wrong)
    return LabelTree.checked(nodes.assign(level=pd.to_numeric(nodes["level"])), path)


def _write_page(page: Path, tree: Path, changes: pd.DataFrame) -> None:
    from strata_labels.build import Workspace
    from strata_labels.show import render_page
    from strata_labels.tables import load

    hierarchy = Workspace(tree.resolve()).last_settings().hierarchy
    items, nodes, assignments = (load(tree, name) for name in ("items", "nodes", "assignments"))
    render_page(page, items, nodes, assignments, hierarchy.levels, hierarchy.title, changes)
