"""GLDv2-H: Google Landmarks v2 as a Prefect flow, from metadata to a reviewed and validated tree.

`python flows/gldv2.py --help` says how to run it; `prefect.yaml` deploys it to a server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from prefect import flow
from strata_labels.cli import run_flow
from strata_labels.orchestration import build, fetch, train, validate
from strata_labels.settings import BuildOptions


@flow(name="gldv2-h", flow_run_name="gldv2-h in {workspace.name}", log_prints=True)
def gldv2(
    workspace: Path,
    metadata: Path | None = None,
    recipe: str | None = None,
    mode: Literal["head", "full"] = "head",
    options: BuildOptions = BuildOptions(),
) -> None:
    """Builds GLDv2-H: fetch, items, resolve, embed, propose, settle, export, show; train, validate.

    Args:
        workspace: Folder of this build, made if absent.
        metadata: Folder with the metadata; fetched from the official address if none is given.
        recipe: Train on the tree with this recipe (`strata list recipes`), report, and bring doubts
            back to the review sheet. Without it, the flow ends with the tree.
        mode: Train a head on the encoder's vectors, or the whole network.
        options: Further options of the build.
    """
    metadata = metadata or fetch("gldv2", workspace)
    build("gldv2-h", workspace, metadata, options)
    if recipe:
        training = train(workspace, recipe, mode, options.images)
        validate(workspace, training, options.images)


if __name__ == "__main__":
    run_flow(gldv2)
