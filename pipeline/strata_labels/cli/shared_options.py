"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BuiltWorkspace = Annotated[
    Path, typer.Argument(metavar="WORKSPACE", help="A folder that `strata build` has filled.")
]
OwnWorkspace = Annotated[
    Path, typer.Argument(metavar="WORKSPACE", help="Folder of this build, made if absent.")
]
RunNumbers = Annotated[
    Path | None, typer.Option(dir_okay=False, help="Write the run's numbers here.")
]
CountsQuery = Annotated[
    bool,
    typer.Option(
        "--relevance-counts-query",
        help="Count the query among its positives, as published same-set numbers do.",
    ),
]
