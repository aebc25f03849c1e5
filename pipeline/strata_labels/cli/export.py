"""`strata export`: the tree in the formats the field's loaders read."""

from __future__ import annotations

from typing import Annotated

import typer

from strata_labels.cli.completion import complete_formats
from strata_labels.cli.options import BuiltWorkspace, ResultFile, write_result
from strata_labels.cli.result import open_workspace
from strata_labels.errors import InputError, Problem


def export(
    folder: BuiltWorkspace,
    format: Annotated[
        list[str] | None,
        typer.Option(
            help="See `strata list formats`; may be repeated. Else the tree's own.",
            autocompletion=complete_formats,
        ),
    ] = None,
    licence: Annotated[
        str, typer.Option(help="Licence of your labels, such as cc-by-4.0. Else the tree's own.")
    ] = "",
    copy_images: Annotated[
        bool, typer.Option("--copy-images", help="Copy images; else `imagefolder` links them.")
    ] = False,
    fold: Annotated[
        int | None,
        typer.Option(help="Write this fold of `strata split --folds` as the test."),
    ] = None,
    json: ResultFile = None,
) -> None:
    """Write the tree in formats that the field's loaders read."""
    from strata_labels.build import current_split, write_formats

    workspace = open_workspace(folder)
    settings = workspace.last_settings()
    split = current_split(workspace)
    if fold is not None and split is None:
        fix = "Make folds: strata split WS --folds 5"
        raise InputError(Problem("--fold", "the workspace has no split:", fix, value=fold))
    if split is not None:
        split = split if fold is None else split.with_fold(fold)
        print(f"Split: {split.text}")
    with workspace.locked("export"):
        formats = list(format or settings.hierarchy.formats)
        written = write_formats(workspace, settings, formats, licence, copy_images, split)
    for name, result in written.items():
        print(f"{name}: {result.summary()}")
        for path in result.files:
            print(path)
    numbers = {
        name: result.counts() | {"missing": result.missing, "files": list(map(str, result.files))}
        for name, result in written.items()
    }
    write_result(json, numbers)
