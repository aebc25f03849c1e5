"""Prefect over the stages of a build, and Dask over archives of images.

Importing this room imports neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strata_labels.late_imports import late_imports
from strata_labels.messages import say
from strata_labels.orchestration.server import prefect_server
from strata_labels.progress import activity

if TYPE_CHECKING:
    from strata_labels.build import BuildSettings, Workspace
    from strata_labels.orchestration.archive_flow import embed_images
    from strata_labels.orchestration.tasks import build, fetch, train, validate
    from strata_labels.orchestration.workers import archive_workers

_HOME = {
    "archive_workers": "workers",
    "build": "tasks",
    "embed_images": "archive_flow",
    "fetch": "tasks",
    "train": "tasks",
    "validate": "tasks",
}

__all__ = [
    "archive_workers",
    "build",
    "build_with_prefect",
    "embed_images",
    "fetch",
    "prefect_server",
    "train",
    "validate",
]


__getattr__ = late_imports(__name__, _HOME)


def build_with_prefect(workspace: Workspace, settings: BuildSettings) -> None:
    """Builds a tree as a Prefect flow.

    The server is that of PREFECT_API_URL or of Prefect's active profile, else a temporary one.
    """
    workspace.folder.mkdir(parents=True, exist_ok=True)
    say("Starting Prefect.")
    with prefect_server(workspace.folder):
        say("Loading the flow.")
        with activity("Loading the flow"):
            from strata_labels.orchestration.tasks import build_flow

        flow = build_flow.with_options(name=settings.hierarchy.tree)
        flow(workspace.folder, settings)
