"""SOP-H: Stanford Online Products as a Prefect flow, from metadata to a validated tree.

`python flows/sop.py --help` says how to run it; `prefect.yaml` deploys it to a server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from prefect import flow
from strata_labels.cli import run_flow
from strata_labels.orchestration import build, fetch, train, validate
from strata_labels.settings import BuildOptions


@flow(name="sop-h", flow_run_name="sop-h in {workspace.name}", log_prints=True)
def sop(
    workspace: Path,
    metadata: Path | None = None,
    levels: Literal["base", "deep"] = "base",
    recipe: str | None = None,
    mode: Literal["head", "full"] = "head",
    options: BuildOptions = BuildOptions(),
) -> None:
    """Builds SOP-H: fetch, items, resolve, embed, propose, settle, export, show; train, validate.

    Args:
        workspace: Folder of this build, made if absent.
        metadata: Folder with Ebay_train.txt, Ebay_test.txt and images; fetched if none is given.
        levels: `deep` finds a level between product and super-class among the images.
        recipe: Train on the tree with this recipe (`strata list recipes`), report, and bring doubts
            back to the review sheet. Without it, the flow ends with the tree.
        mode: Train a head on the encoder's vectors, or the whole network.
        options: Further options of the build.
    """
    metadata = metadata or fetch("sop", workspace)
    build("sop-h", workspace, metadata, options, levels)
    if recipe:
        training = train(workspace, recipe, mode, options.images)
        validate(workspace, training, options.images)


if __name__ == "__main__":
    run_flow(sop)
