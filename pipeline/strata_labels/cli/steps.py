"""The build's steps one by one, on a workspace that was built before; none starts Prefect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from strata_labels.cli.result import finish

Place = Annotated[Path, typer.Argument(help="A folder that `strata build` has filled.")]
Json = Annotated[Path | None, typer.Option(help="Write the run's numbers here.")]


def embed(workspace: Place) -> None:
    """Encode names and images; what is in the store is not encoded again."""
    _rerun(workspace, "embed")


def propose(workspace: Place) -> None:
    """Propose a parent for every item, class and cluster."""
    _rerun(workspace, "propose")


def apply(
    workspace: Place,
    sheet: Annotated[
        Path | None, typer.Argument(help="The filled-in sheet [default: WORKSPACE/review.csv].")
    ] = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Your name, where the sheet's column is blank.")
    ] = None,
    json: Json = None,
) -> None:
    """Check a filled-in review sheet, append its decisions to the ledger, rebuild."""
    from strata_labels.build import REBUILT, Workspace, apply_sheet

    place = Workspace(workspace.resolve())
    added, refused = apply_sheet(place, sheet or place.sheet, reviewer)
    print(f"{added} decision{'' if added == 1 else 's'} added to {place.last_settings().decisions}")
    for line in refused:
        print(f"not taken: {line}")
    _rerun(workspace, *REBUILT)
    _finish(workspace, json)


def export(
    workspace: Place,
    format: Annotated[
        list[str] | None, typer.Option(help="Format, may be given again [default: the tree's].")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write counts and files here.")] = None,
) -> None:
    """Write the tree in the formats the field's loaders read."""
    from strata_labels.build import Workspace, export_formats
    from strata_labels.files import write_json

    place = Workspace(workspace.resolve())
    written = export_formats(place, place.last_settings(), format)
    for name, result in written.items():
        print(f"{name}: {result.summary()}")
        for path in result.files:
            print(path)
    if json:
        numbers = {
            name: {
                **result.counts(),
                "missing": result.missing,
                "files": list(map(str, result.files)),
            }
            for name, result in written.items()
        }
        write_json(json, numbers)


def status(workspace: Place, json: Json = None) -> None:
    """Say what the last build of a workspace left and what is open."""
    _finish(workspace, json)


def _rerun(workspace: Path, *names: str) -> None:
    from strata_labels.build import Workspace, rerun

    for line in rerun(Workspace(workspace.resolve()), names):
        print(line, flush=True)


def _finish(workspace: Path, json: Path | None) -> None:
    from strata_labels.build import Workspace

    finish(Workspace(workspace.resolve()), json)
