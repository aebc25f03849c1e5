"""`strata fetch`: a data set's official metadata, verified."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def fetch(
    source: Annotated[str, typer.Argument(help="The data set: gldv2, sop or inat2018.")],
    workspace: Annotated[Path, typer.Argument(help="Its metadata goes to WORKSPACE/metadata.")],
    base_url: Annotated[str | None, typer.Option(help="A mirror of the official address.")] = None,
) -> None:
    """Download a data set's metadata: resumed, checksummed, whole or not at all."""
    from strata_labels.errors import InputError, Problem
    from strata_labels.sources import SOURCES

    if source not in SOURCES:
        fix = f"Take one of {', '.join(sorted(SOURCES))}."
        raise InputError(Problem("SOURCE", "no such data set:", fix, value=source))
    folder = workspace / "metadata"
    address = {"base_url": base_url} if base_url else {}
    SOURCES[source].fetch(folder, **address)
    print(f"Metadata in {folder}. Next: strata build TREE {workspace} --metadata {folder}")
