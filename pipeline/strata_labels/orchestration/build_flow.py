"""`strata build --prefect`: the build of any tree as a Prefect flow."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from strata_labels.build import BuildSettings, Workspace, build_tree
from strata_labels.orchestration.artifacts import publish_build
from strata_labels.orchestration.tasks import as_task


@flow(flow_run_name="{folder.name}", log_prints=True)
def build_flow(folder: Path, settings: BuildSettings) -> None:
    """Builds a tree in the workspace `folder`."""
    workspace = Workspace(folder)
    build_tree(workspace, settings, as_task)
    publish_build(workspace)
