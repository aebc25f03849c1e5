"""`strata split`: train and test, queries and gallery, or folds, without a leak between them."""

from __future__ import annotations

from typing import Annotated

import typer

from strata_labels.cli.options import BuiltWorkspace, ResultFile, write_result
from strata_labels.cli.result import open_workspace


def split(
    folder: BuiltWorkspace,
    test: Annotated[
        float | None,
        typer.Option(help="Share of the classes for the test; else a half.", show_default=False),
    ] = None,
    query: Annotated[
        float | None,
        typer.Option(
            help="Share of each class's images that are queries, the others the gallery: of the "
            "test's classes with --test, else of all.",
            show_default=False,
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(help="Divide the classes into so many folds instead.", show_default=False),
    ] = None,
    class_level: Annotated[
        str | None,
        typer.Option(
            help="Level, by name or number, whose nodes are the classes. Else the items, or the "
            "level above them where no item has two images.",
            show_default=False,
        ),
    ] = None,
    stratify: Annotated[
        str | None,
        typer.Option(
            help="Level whose nodes are divided alike; else the one above the classes.",
            show_default=False,
        ),
    ] = None,
    min_images: Annotated[
        int, typer.Option(help="Leave out classes with fewer images; 0 keeps those without any.")
    ] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of every random choice.")] = 0,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the split away: back to the data's own.")
    ] = False,
    json: ResultFile = None,
) -> None:
    """Split the classes for training and test, without leaks.

    Into train and test, queries and gallery, or folds.
    """
    from strata_labels.build import (
        STAGES,
        SplitRequest,
        make_split,
        rebuild,
        remove_split,
    )

    workspace = open_workspace(folder)
    exports = [stage for stage in STAGES if stage.name == "export"]
    if remove:
        print("The split is gone." if remove_split(workspace) else "There is no split.")
        rebuild(workspace, exports)
        return
    made = make_split(
        workspace, SplitRequest(test, query, folds, class_level, stratify, min_images, seed)
    )
    print("\n".join(made.lines))
    for path in (workspace.table("split"), workspace.split_classes, workspace.split_report):
        if path.is_file():
            print(path)
    write_result(json, made.counts)
    rebuild(workspace, exports)
