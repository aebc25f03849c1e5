"""`strata embed`: names and images to vectors, on a workspace that was built before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def embed(
    folder: Annotated[
        Path, typer.Argument(metavar="WORKSPACE", help="A folder that `strata build` has filled.")
    ],
) -> None:
    """Encode names and images; what is in the store is not encoded again."""
    from strata_labels.build import EMBED, Workspace, rebuild

    rebuild(Workspace(folder.resolve()), [EMBED])
