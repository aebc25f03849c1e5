"""`strata diff`: what changed between two trees, or from published labels to a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strata_labels.cli.options import ResultFile, write_result
from strata_labels.errors import InputError, Problem, refuse

if TYPE_CHECKING:
    import pandas as pd

    from strata_labels.tree import LabelTree


def diff(
    tree_a: Annotated[
        Path,
        typer.Argument(
            help="A workspace, or a table of nodes (.parquet, or .csv by a person); with --out, "
            "the published file of labels, or the folder of the files."
        ),
    ],
    tree_b: Annotated[
        Path, typer.Argument(help="The same; with --out, the workspace that corrects them.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Write patches for the published files of TREE_A into this folder, with evidence.",
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write every change here, one a row.")] = None,
    json: ResultFile = None,
    page: Annotated[
        Path | None, typer.Option(help="Write TREE_B's page here, changes marked.")
    ] = None,
) -> None:
    """List what changed between two trees.

    From TREE_A to TREE_B: nodes and items added, removed, renamed, moved. With --out, TREE_A is
    published labels, and what the workspace TREE_B corrects in them is written.
    """
    if out is not None:
        _correct(tree_a, tree_b, out, {"--csv": csv, "--page": page}, json)
        return
    from strata_labels.people_csv import write_people_csv
    from strata_labels.tree import diff as compare

    found = compare(_read(tree_a), _read(tree_b))
    changes = found.changes
    if page:
        _write_page(page, tree_b, changes)
    if csv:
        write_people_csv(csv, changes)
    if json:
        write_result(json, {"counts": found.counts, "changes": changes.to_dict("records")})
    print(found)


def _correct(
    published: Path, folder: Path, out: Path, others: dict[str, Path | None], json: Path | None
) -> None:
    from strata_labels.build import correct_published
    from strata_labels.cli.result import open_workspace

    fix = "Leave it out: the folder of --out has all changes."
    problems = [
        Problem(option, "does not go with --out:", fix, value=str(path))
        for option, path in others.items()
        if path is not None
    ]
    refuse(problems)
    workspace = open_workspace(folder)
    if published.resolve() == workspace.folder or (published / "tables").is_dir():
        what, fix = "a workspace, where published labels are wanted", "Leave --out out."
        raise InputError(Problem(published, what, fix))
    found = correct_published(workspace, published, out)
    left_out = found.left_out["reason"].value_counts(sort=False)
    for name, rows in found.rows.items():
        changes = found.table["change"][found.table["file"] == name]
        print(f"{name}: {len(changes):,} of {rows:,} rows corrected")
        for kind, count in changes.value_counts(sort=False).items():
            print(f"  {kind}: {count:,}")
    for reason, count in left_out.items():
        print(f"left out: {count:,} {reason}")
    print(out)
    numbers = {
        "rows": found.rows,
        "corrected": {name: int((found.table["file"] == name).sum()) for name in found.rows},
        "changes": found.table["change"].value_counts().to_dict(),
        "left_out": left_out.to_dict(),
    }
    write_result(json, numbers)


def _read(path: Path) -> LabelTree:
    import pandas as pd

    from strata_labels.people_csv import read_people_csv
    from strata_labels.tables import load, load_file
    from strata_labels.tree import LabelTree

    if path.is_dir() and not (path / "tables").is_dir():
        fix = "Name a workspace or a table of nodes; for published labels, add --out FOLDER."
        raise InputError(Problem(path, "no workspace", fix))
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
    refuse(wrong)
    return LabelTree.checked(nodes.assign(level=pd.to_numeric(nodes["level"])), path)


def _write_page(page: Path, tree: Path, changes: pd.DataFrame) -> None:
    from strata_labels.build import Workspace
    from strata_labels.show import render_page
    from strata_labels.tables import load

    hierarchy = Workspace(tree.resolve()).last_settings().hierarchy
    items, nodes, assignments = (load(tree, name) for name in ("items", "nodes", "assignments"))
    render_page(page, items, nodes, assignments, hierarchy.levels, hierarchy.title, changes)
