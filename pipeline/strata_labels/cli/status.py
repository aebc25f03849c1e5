"""`strata status`: what the last build of a workspace left, and what is open."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from strata_labels.cli.result import finish, open_workspace


def status(
    folder: Annotated[
        Path, typer.Argument(metavar="WORKSPACE", help="A folder that `strata build` has filled.")
    ],
    json: Annotated[Path | None, typer.Option(help="Write the run's numbers here.")] = None,
) -> None:
    """Say what the last build of a workspace left and what is open."""
    finish(open_workspace(folder), json)
