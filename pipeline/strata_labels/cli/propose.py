"""`strata propose`: all evidence to proposals, on a workspace that was built before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from strata_labels.cli.result import warn_of_cut_decisions


def propose(
    folder: Annotated[
        Path, typer.Argument(metavar="WORKSPACE", help="A folder that `strata build` has filled.")
    ],
) -> None:
    """Propose a parent for every item, class and cluster."""
    from strata_labels.build import PROPOSE, Workspace, rebuild

    workspace = Workspace(folder.resolve())
    rebuild(workspace, [PROPOSE])
    warn_of_cut_decisions(workspace)
