"""`strata export`: the tree in the formats the field's loaders read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    workspace: Annotated[Path, typer.Argument(help="A folder that `strata build` has filled.")],
    format: Annotated[
        list[str] | None,
        typer.Option(help="See `strata list formats`; may be repeated [default: the tree's]."),
    ] = None,
) -> None:
    """Write the tree in the formats the field's loaders read."""
    from strata_labels.build import Workspace, write_formats

    place = Workspace(workspace.resolve())
    settings = place.last_settings()
    for path in write_formats(place, settings, list(format or settings.hierarchy.formats)):
        print(path)
