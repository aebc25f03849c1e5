"""`strata build`: from metadata to tree, exports and review sheet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from strata_labels.cli.completion import complete_trees
from strata_labels.cli.options import OwnWorkspace, ResultFile
from strata_labels.cli.result import finish
from strata_labels.errors import InputError, Problem
from strata_labels.settings import BuildOptions


def build(
    tree: Annotated[
        str,
        typer.Argument(
            help="A shipped tree (`strata list trees`), or a folder with hierarchy.toml.",
            autocompletion=complete_trees,
        ),
    ],
    folder: OwnWorkspace,
    options: BuildOptions,
    metadata: Annotated[
        Path | None, typer.Option(help="Folder with the data set's metadata.")
    ] = None,
    items: Annotated[
        Path | None, typer.Option(help="A table of your own: id, name, image, and its labels.")
    ] = None,
    levels: Annotated[
        str | None, typer.Option(help="Which of the tree's levels: full, base or deep.")
    ] = None,
    prefect: Annotated[
        bool,
        typer.Option("--prefect", help="Run as a Prefect flow; so too if PREFECT_API_URL is set."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check the inputs and list what would run; write nothing."),
    ] = False,
    json: ResultFile = None,
) -> None:
    """Build a label tree with its exports and review sheet."""
    from strata_labels.build import Workspace, build_tree, plan_build, settings_of
    from strata_labels.orchestration import build_with_prefect

    given = metadata or items
    if given is None or (metadata and items):
        fix = "Give --metadata FOLDER, or --items TABLE for a table of your own."
        raise InputError(Problem("--metadata, --items", "one of the two is needed", fix))
    workspace = Workspace(folder.resolve())
    settings = settings_of(tree, workspace.folder, given.resolve(), options, levels)
    if dry_run and json:
        fix = "Leave one of them out."
        raise InputError(Problem("--json", "--dry-run has no numbers to write", fix))
    if dry_run:
        print("\n".join([*plan_build(workspace, settings), "Nothing was written."]))
        return
    run = build_with_prefect if prefect or "PREFECT_API_URL" in os.environ else build_tree
    run(workspace, settings)
    finish(workspace, json)
