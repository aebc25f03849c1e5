"""Validation as a flow: train, report, and back to review. Import it only to run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from prefect import flow, task
from prefect.artifacts import create_table_artifact

from strata_labels.build import Workspace
from strata_labels.build.back_to_review import back_to_review
from strata_labels.training import load_recipe, read_workspace
from strata_labels.training import train as run_training

#: Doubts shown in the artifact; the table has all.
SHOWN = 20


@task
def train(
    workspace: str,
    images: str,
    out: str,
    recipe: str,
    mode: Literal["head", "full"],
    encoder: str,
    seed: int,
) -> None:
    """Trains on the workspace's tree; a stopped training goes on from its checkpoint."""
    plan = load_recipe(recipe, mode)
    data = read_workspace(Path(workspace), Path(images))
    store = Workspace(Path(workspace)).vector_store
    run_training(data, plan, mode, Path(out), encoder, store, seed)


@task
def report(workspace: str, images: str, out: str, synthetic: bool) -> list[dict[str, Any]]:
    """Writes report and review sheet; returns the first doubts."""
    found = back_to_review(Path(workspace), Path(images), Path(out), synthetic)
    shown = found[found["gain"] > 0].head(SHOWN)
    columns = ["row_id", "current", "suggestion", "gain"]
    return [dict(zip(columns, row, strict=True)) for row in shown[columns].to_numpy().tolist()]


@flow(name="validate", validate_parameters=False)
def validate(
    workspace: str,
    images: str,
    out: str,
    recipe: str = "happier",
    mode: Literal["head", "full"] = "head",
    encoder: str = "registry",
    seed: int = 0,
    synthetic: bool = False,
) -> None:
    """Trains on a built workspace, reports, and brings the doubts back to its review sheet.

    Args:
        workspace: a folder that a build has filled.
        images: root of its images.
        out: folder of the training and its report.
        recipe, mode, encoder, seed: see `strata train`.
        synthetic: the images are drawn, which the report then says.
    """
    train(workspace, images, out, recipe, mode, encoder, seed)
    doubts = report(workspace, images, out, synthetic)
    create_table_artifact(doubts, key="doubts", description="What retrieval doubts most")
