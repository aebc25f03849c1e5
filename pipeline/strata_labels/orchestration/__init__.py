"""Prefect over the stages of a build. Importing this room does not import Prefect."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from strata_labels.orchestration.server import prefect_server

if TYPE_CHECKING:
    from strata_labels.build import BuildSettings, Workspace
    from strata_labels.orchestration.tasks import build, fetch, train, validate

_TASKS = ("build", "fetch", "train", "validate")

__all__ = ["build", "build_with_prefect", "fetch", "prefect_server", "train", "validate"]


def __getattr__(name: str) -> Any:
    if name not in _TASKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.tasks"), name)


def build_with_prefect(workspace: Workspace, settings: BuildSettings) -> None:
    """Builds a tree as a Prefect flow.

    The server is that of PREFECT_API_URL or of Prefect's active profile, else a temporary one.
    """
    workspace.folder.mkdir(parents=True, exist_ok=True)
    with prefect_server(workspace.folder):
        from strata_labels.orchestration.build_flow import build_flow

        flow = build_flow.with_options(name=settings.hierarchy.tree)
        flow(workspace.folder, settings)
