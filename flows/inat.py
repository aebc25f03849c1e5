"""iNat-H: iNaturalist 2018 as a Prefect flow, from metadata to a validated tree.

`python flows/inat.py --help` says how to run it; `prefect.yaml` deploys it to a server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from prefect import flow
from strata_labels.cli import run_flow
from strata_labels.orchestration import build, fetch, train, validate
from strata_labels.settings import BuildOptions


@flow(name="inat-h", flow_run_name="inat-h in {workspace.name}", log_prints=True)
def inat(
    workspace: Path,
    metadata: Path | None = None,
    levels: Literal["full", "base"] = "full",
    recipe: str | None = None,
    mode: Literal["head", "full"] = "head",
    options: BuildOptions = BuildOptions(),
) -> None:
    """Builds iNat-H: fetch, items, resolve, embed, propose, settle, export, show; train, validate.

    Args:
        workspace: Folder of this build, made if absent.
        metadata: Folder with the categories and set lists; fetched if none is given.
        levels: `full`: species to kingdom; `base`: species and super-category.
        recipe: Train on the tree with this recipe (`strata list recipes`), report, and bring doubts
            back to the review sheet. Without it, the flow ends with the tree.
        mode: Train a head on the encoder's vectors, or the whole network.
        options: Further options of the build.
    """
    metadata = metadata or fetch("inat2018", workspace)
    build("inat-h", workspace, metadata, options, levels)
    if recipe:
        training = train(workspace, recipe, mode, options.images)
        validate(workspace, training, options.images)


if __name__ == "__main__":
    run_flow(inat)
