"""`strata status`: what the last build of a workspace left, and what is open."""

from __future__ import annotations

from typing import Annotated

import typer

from strata_labels.cli.options import BuiltWorkspace, ResultFile
from strata_labels.cli.result import finish, open_workspace


def status(
    folder: BuiltWorkspace,
    undo_reviewer: Annotated[
        str | None, typer.Option(help="Take back all decisions of this reviewer first.")
    ] = None,
    undo_sheet: Annotated[
        str | None,
        typer.Option(help="Take back one sheet's decisions first; the id that `apply` printed."),
    ] = None,
    json: ResultFile = None,
) -> None:
    """Say what the last build left, and what is open."""
    from strata_labels.review import withdraw_reviewer, withdraw_sheet

    workspace = open_workspace(folder)
    ledger = workspace.last_settings().decisions
    taken = [
        withdraw(ledger, whose)
        for withdraw, whose in ((withdraw_reviewer, undo_reviewer), (withdraw_sheet, undo_sheet))
        if whose is not None
    ]
    if taken:
        print(f"{sum(taken)} decisions taken back in {ledger}", flush=True)
        workspace = open_workspace(folder)
    finish(workspace, json, print)
