"""The steps of a flow as Prefect tasks. Import it only to run a flow: it imports Prefect.

Which stages run is decided by the runner of `strata_labels.build`, as without Prefect; Prefect adds
retries, logs, progress and artifacts. Tasks return counts and exchange files, never tables.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from strata_labels.build import (
    BuildSettings,
    Counts,
    Stage,
    Workspace,
    add_training_results,
    build_tree,
    current_split,
    rebuild,
    settings_of,
)
from strata_labels.errors import InputError
from strata_labels.orchestration.artifacts import (
    publish_build,
    publish_doubts,
    publish_progress,
)
from strata_labels.progress import listen
from strata_labels.settings import BuildOptions
from strata_labels.sources import SOURCES, fetch_metadata
from strata_labels.training import load_recipe


def _may_mend(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a retry may mend a failure: wrong input stays wrong."""
    return not isinstance(state.data, InputError) and "InputError" not in (state.message or "")


@task(
    task_run_name="{stage.name}",
    tags=["strata-stage"],
    cache_policy=NO_CACHE,  # the runner decides what has to run
    retries=2,
    retry_delay_seconds=[5, 60],
    retry_condition_fn=_may_mend,
    log_prints=True,
)
def run_stage(stage: Stage, folder: Path, settings: BuildSettings) -> Counts:
    """Runs one stage of a build."""
    with listen(publish_progress()):
        return stage.run(Workspace(folder), settings)


def as_task(stage: Stage, workspace: Workspace, settings: BuildSettings) -> Counts:
    """Runs a stage as a Prefect task: what the runner calls `execute`."""
    return run_stage(stage, workspace.folder, settings)


@task(
    task_run_name="fetch",
    retries=3,
    retry_delay_seconds=60,
    retry_condition_fn=_may_mend,
    log_prints=True,
)
def fetch(source: str, folder: Path) -> Path:
    """Downloads a data set's metadata, verified; returns its folder."""
    folder = folder / "metadata"
    with listen(publish_progress()):
        fetch_metadata(SOURCES[source], folder)
    return folder


def build(
    tree: str,
    folder: Path,
    metadata: Path,
    options: BuildOptions,
    levels: str | None = None,
) -> None:
    """Builds a tree inside a flow, a task for each stage that has to run; publishes what came out.

    Args:
        tree: a shipped tree, or a folder with `hierarchy.toml`.
        folder: the workspace.
        metadata: folder or table of the data set's metadata.
        options: see `strata_labels.settings`.
        levels: the variant of the tree's levels; None for its first.
    """
    workspace = Workspace(folder.resolve())
    settings = settings_of(tree, workspace.folder, metadata.resolve(), options, levels)
    build_tree(workspace, settings, as_task)
    publish_build(workspace)


@flow(flow_run_name="{folder.name}", log_prints=True)
def build_flow(folder: Path, settings: BuildSettings) -> None:
    """Builds a tree in the workspace `folder`."""
    workspace = Workspace(folder)
    build_tree(workspace, settings, as_task)
    publish_build(workspace)


@task(task_run_name="train", log_prints=True)
def train(
    folder: Path,
    recipe: str,
    mode: Literal["head", "full"],
    images: Path | None = None,
    out: Path | None = None,
    encoder: str | None = None,
    seed: int = 0,
) -> Path:
    """Trains on a workspace's tree, from its checkpoint if it was stopped; returns its folder.

    Args:
        folder: a workspace that a build has filled.
        recipe, mode, seed: see `strata train`.
        images: root of the images; None for the build's.
        out: folder of the training; None for `training` in the workspace.
        encoder: of head mode; None for the build's.
    """
    from strata_labels.training import read_workspace  # imports torch
    from strata_labels.training import train as run_training

    workspace = Workspace(folder.resolve())
    out = out or workspace.training
    split = current_split(workspace)
    if split is not None and (split.class_level or "train" not in split.request.shares):
        print(f"The split is not used, since a flow trains on items: {split.text}")
        split = None
    table = None if split is None else split.table
    data = read_workspace(workspace.folder, images or image_root(workspace), split=table)
    encoder = encoder or workspace.last_settings().encoder_of_images
    run_training(data, load_recipe(recipe, mode), mode, out, encoder, workspace.vector_store, seed)
    return out


@task(task_run_name="report", log_prints=True)
def report(folder: Path, training: Path, images: Path | None, synthetic: bool) -> None:
    """Writes a training's report, and what retrieval doubts into the workspace."""
    workspace = Workspace(folder.resolve())
    doubts = add_training_results(workspace, images or image_root(workspace), training, synthetic)
    publish_doubts(doubts)


def validate(
    folder: Path,
    training: Path,
    images: Path | None = None,
    synthetic: bool = False,
) -> None:
    """Reports a training inside a flow, and brings its doubts back to the review sheet.

    Args:
        folder: a workspace that a build has filled.
        training: folder of a training on it.
        images: root of the images; None for the build's.
        synthetic: the images are drawn, which the report then says.
    """
    report(folder, training, images, synthetic)
    rebuild(Workspace(folder.resolve()), execute=as_task)


def image_root(workspace: Workspace) -> Path:
    """Where the images of a build lie."""
    settings = workspace.last_settings()
    return settings.image_root or settings.source.image_root(settings.metadata)
