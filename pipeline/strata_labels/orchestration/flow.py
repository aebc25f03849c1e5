"""The build of any tree as a Prefect flow. Import it only to run it: it starts Prefect."""

from __future__ import annotations

from pathlib import Path

from prefect import flow, task

from strata_labels.build import STAGES, BuildSettings, Counts, Stage, Workspace, build_tree


@task(retries=2, retry_delay_seconds=[1, 5], log_prints=True)
def run_stage(name: str, folder: Path, settings: BuildSettings) -> Counts:
    """Runs one stage."""
    stage = next(stage for stage in STAGES if stage.name == name)
    return stage.run(Workspace(folder), settings)


def as_task(stage: Stage, workspace: Workspace, settings: BuildSettings) -> Counts:
    """Runs a stage as a Prefect task (see `strata_labels.build.Execute`)."""
    return run_stage.with_options(name=stage.name)(stage.name, workspace.folder, settings)


@flow(name="build", validate_parameters=False, log_prints=True)
def build(folder: Path, settings: BuildSettings) -> None:
    """Builds a tree in a workspace."""
    build_tree(Workspace(folder), settings, as_task)
