"""The one runner: decides which stages of a build have to run, runs and records them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence

from strata_labels.build.check import check_inputs
from strata_labels.build.items import ITEMS, items_stage, saved_metadata
from strata_labels.build.record import add_to_record, check_paths
from strata_labels.build.settings import BuildSettings
from strata_labels.build.show import versions
from strata_labels.build.stage import (
    Counts,
    Stage,
    counts_text,
    input_hashes,
    is_intact,
    output_hashes,
    stage_key,
)
from strata_labels.build.stages import STAGES
from strata_labels.build.workspace import Workspace
from strata_labels.errors import InputError

#: Runs one stage, in this process or elsewhere, and returns its counts.
Execute = Callable[[Stage, Workspace, BuildSettings], Counts]


def run_here(stage: Stage, workspace: Workspace, settings: BuildSettings) -> Counts:
    """Runs a stage in this process."""
    return stage.run(workspace, settings)


def run_stages(
    stages: Sequence[Stage],
    workspace: Workspace,
    settings: BuildSettings,
    execute: Execute = run_here,
) -> None:
    """Runs those of the stages whose inputs or outputs have changed since they last ran.

    Each is recorded in `run.json` as soon as it is done, so that a killed build continues.

    Args:
        stages: some of `STAGES`, in their order.
        workspace: the folder they work in.
        settings: what the build was asked for.
        execute: how a stage is run.
    """
    idle = True
    for stage in stages:
        read = input_hashes(stage, workspace, settings)
        key = stage_key(stage, workspace, settings, read)
        if _is_done(stage, key, workspace):
            continue
        idle = False
        print(f"{stage.name} ...", flush=True)
        start = time.perf_counter()
        counts = execute(stage, workspace, settings)
        seconds = round(time.perf_counter() - start, 3)
        done = {
            "stage": stage.name,
            "key": key,
            "inputs": read,
            "counts": counts,
            "seconds": seconds,
            "outputs": output_hashes(stage, workspace, settings),
        }
        changes = {"versions": versions(), **stage.records(workspace, settings)}
        add_to_record(workspace.record, settings, done, changes)
        print(f"{stage.name}: {counts_text(counts)} ({seconds:.1f} s)", flush=True)
    if idle:
        print("Nothing to do: no input has changed.", flush=True)
        add_to_record(workspace.record, settings)  # a file may have another place


def _is_done(stage: Stage, key: str, workspace: Workspace) -> bool:
    if not workspace.record.is_file():
        return False
    for done in workspace.last_run()["stages"]:
        if done["stage"] == stage.name:
            return done["key"] == key and is_intact(done, workspace)
    return False


def build_tree(workspace: Workspace, settings: BuildSettings, execute: Execute = run_here) -> None:
    """Builds a tree: checks every input, then runs the stages that have to run.

    The metadata's files are read once: what the check has read is handed to the stage `items`, and
    where that stage has nothing to do, its tables are checked instead.

    Raises:
        InputError: what is wrong with the inputs, and a first build then leaves no table behind; or
            an export cannot be written, and the tree is there.
        RetryError: another command is writing to the workspace.
    """
    with workspace.locked("build"):
        _build_tree(workspace, settings, execute)


def _build_tree(workspace: Workspace, settings: BuildSettings, execute: Execute) -> None:
    workspace.check_version()
    key = stage_key(ITEMS, workspace, settings)
    known = saved_metadata(workspace) if _is_done(ITEMS, key, workspace) else None
    metadata = check_inputs(settings, known)
    stages = [items_stage(metadata, key) if stage is ITEMS else stage for stage in STAGES]
    first = not workspace.record.exists()
    try:
        run_stages(stages, workspace, settings, execute)
    except InputError:
        # Only a stage could find out. A tree that is there stays: one of its exports was refused.
        if first and not _has_run("settle", workspace):
            shutil.rmtree(workspace.tables, ignore_errors=True)
            workspace.record.unlink(missing_ok=True)
        raise


def _has_run(stage: str, workspace: Workspace) -> bool:
    recorded = workspace.last_run()["stages"] if workspace.record.is_file() else []
    return any(done["stage"] == stage for done in recorded)


def rebuild(
    workspace: Workspace, stages: Sequence[Stage] = STAGES, execute: Execute = run_here
) -> None:
    """Runs the stages again with the settings of the last build, where something has changed.

    Raises:
        InputError: the folder holds no build; a path that the build was given is gone.
        RetryError: another command is writing to the workspace.
    """
    settings = workspace.last_settings()
    check_paths(settings, workspace.record)
    with workspace.locked("rebuild"):
        run_stages(stages, workspace, settings, execute)
