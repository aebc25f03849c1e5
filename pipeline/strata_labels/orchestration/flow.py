"""The one build flow: every tree's stages in order, each a cached Prefect task.

The stages and what they depend on are in `strata_labels.build`; this module gives them Prefect's
retries, caching and artifacts. Import it only to run it: it starts Prefect.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.tasks import Task

from strata_labels.build import (
    STAGES,
    BuildSettings,
    Stage,
    Workspace,
    in_words,
    intact,
    run_stage,
    stage_key,
    top_disputes,
    write_record,
)
from strata_labels.errors import InputError


def _key(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
    return str(parameters["key"])


def _worth_retrying(_task: Task, _run: TaskRun, state: State) -> bool:
    return not isinstance(state.data, InputError) and "InputError" not in (state.message or "")


@task(
    cache_key_fn=_key,
    persist_result=True,
    result_serializer="json",
    retries=2,
    retry_delay_seconds=[1, 5],
    retry_condition_fn=_worth_retrying,
)
def run_task(name: str, key: str, folder: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Runs one stage; its small manifest is the cached result, the data stays in files."""
    print(f"{name} ...", flush=True)
    manifest = run_stage(_stage(name), Workspace(Path(folder)), BuildSettings(**parameters), key)
    print(f"{name}: {in_words(manifest)} ({manifest['seconds']:.1f} s)", flush=True)
    return manifest


@flow(name="build", validate_parameters=False)
def build(folder: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """Builds a tree in the workspace `folder`; returns the stages' manifests."""
    workspace, settings = Workspace(Path(folder)), BuildSettings(**parameters)
    manifests = []
    for stage in STAGES:
        key = stage_key(stage, workspace, settings)
        run = run_task.with_options(name=stage.name)
        manifest = run(stage.name, key, folder, parameters)
        if not intact(manifest, workspace):  # cached, but a file was changed or deleted since
            manifest = run.with_options(refresh_cache=True)(stage.name, key, folder, parameters)
        manifests.append(manifest)
    write_record(workspace, settings, manifests)
    _publish(workspace, manifests)
    return manifests


def _publish(workspace: Workspace, manifests: list[dict[str, Any]]) -> None:
    counts = [{"stage": m["stage"], "counts": in_words(m)} for m in manifests]
    create_table_artifact(counts, key="counts", description="What went in and came out")
    create_table_artifact(
        top_disputes(workspace), key="top-disputes", description="The most doubtful rows"
    )
    create_markdown_artifact(workspace.card.read_text(encoding="utf-8"), key="card")


def _stage(name: str) -> Stage:
    return next(stage for stage in STAGES if stage.name == name)
