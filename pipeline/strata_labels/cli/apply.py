"""`strata apply`: the decisions of a filled-in sheet into the ledger, and the tree rebuilt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from strata_labels.cli.options import BuiltWorkspace, ResultFile, write_result
from strata_labels.cli.result import finish


def apply(
    folder: BuiltWorkspace,
    sheet: Annotated[
        Path | None,
        typer.Argument(help="The filled-in sheet, .csv or .xlsx; else WORKSPACE/review.csv."),
    ] = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Your name, where the sheet's column is blank.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing: say what would change in the tree.")
    ] = False,
    json: ResultFile = None,
) -> None:
    """Apply a filled-in review sheet, then rebuild.

    Its decisions are checked as a whole and appended to the ledger.
    """
    from strata_labels.build import Workspace, apply_sheet, rebuild

    workspace = Workspace(folder.resolve())
    applied = apply_sheet(workspace, sheet or workspace.sheet, reviewer, dry_run)
    if dry_run:
        print(f"{applied.added} decision{'' if applied.added == 1 else 's'} would be applied")
        print("\n".join([*applied.change, *(f"not applied: {line}" for line in applied.remarks)]))
        numbers = {"decisions": applied.added, "not_applied": applied.remarks}
        write_result(json, numbers | applied.numbers)
        return
    ledger = workspace.last_settings().decisions
    print(f"{applied.added} decision{'' if applied.added == 1 else 's'} added to {ledger}")
    if applied.added:
        print(f"strata status {folder} --undo-sheet {applied.sheet_id} takes them back")
    for line in applied.remarks:
        print(f"not applied: {line}")
    rebuild(workspace)
    finish(workspace, json)
