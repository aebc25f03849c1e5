"""Validation as a Prefect flow: train on a built tree, report, and bring its doubts to review.

`python flows/validate.py --help` says how to run it; `prefect.yaml` deploys it to a server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from prefect import flow
from strata_labels.cli import run_flow
from strata_labels.orchestration import train
from strata_labels.orchestration import validate as report


@flow(name="validate", flow_run_name="validate {workspace.name}", log_prints=True)
def validate(
    workspace: Path,
    images: Path | None = None,
    out: Path | None = None,
    recipe: str = "happier",
    mode: Literal["head", "full"] = "head",
    encoder: str | None = None,
    seed: int = 0,
    synthetic: bool = False,
) -> None:
    """Trains on a built workspace, reports, and brings the doubts back to its review sheet.

    Args:
        workspace: A folder that a build has filled.
        images: Root of the images; the build's if none is given.
        out: Folder of the training; WORKSPACE/training if none is given.
        recipe: A shipped recipe (`strata list recipes`), or a file .toml.
        mode: Train a head on the encoder's vectors, or the whole network.
        encoder: registry, MODEL/TAG, MODEL/CHECKPOINT or local-dir:DIR; else the build's.
        seed: Of every random choice.
        synthetic: The images are drawn, which the report then says.
    """
    training = train(workspace, recipe, mode, images, out, encoder, seed)
    report(workspace, training, images, synthetic)


if __name__ == "__main__":
    run_flow(validate)
