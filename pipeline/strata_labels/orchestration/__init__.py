"""Prefect over the stages of a build. Importing this room does not import Prefect."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from strata_labels.build import BuildSettings, Workspace


def build_with_prefect(workspace: Workspace, settings: BuildSettings) -> None:
    """Builds a tree as a Prefect flow, on the server of PREFECT_API_URL or a temporary one."""
    from strata_labels.orchestration.local import prepare

    prepare(workspace.folder)
    from strata_labels.orchestration.flow import build

    build(workspace.folder, settings)
