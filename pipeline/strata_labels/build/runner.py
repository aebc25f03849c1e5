"""The one runner: decides which stages of a build have to run, runs and records them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from strata_labels.build.check import check_inputs
from strata_labels.build.items import ITEMS, items_stage, saved_metadata
from strata_labels.build.record import add_to_record, check_paths, read_record
from strata_labels.build.settings import BuildSettings
from strata_labels.build.show import versions
from strata_labels.build.stage import (
    Counts,
    Inputs,
    Stage,
    counts_text,
    input_hashes,
    is_intact,
    output_hashes,
    stage_key,
)
from strata_labels.build.stages import STAGES
from strata_labels.build.workspace import Workspace
from strata_labels.embedding import UnreachableWeightsError
from strata_labels.errors import InputError
from strata_labels.messages import say, say_more, warn
from strata_labels.progress import activity

#: Runs one stage, in this process or elsewhere, and returns its counts.
Execute = Callable[[Stage, Workspace, BuildSettings], Counts]

_WITHOUT_VECTORS = (
    "The build goes on without vectors of this encoder. Run the same `strata build` again when the "
    'weights can be fetched; `--encoder ""` builds without them and without this warning.'
)


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
        reason = _reason_to_run(stage, key, read, workspace)
        say_more(f"{stage.name}: {reason or 'nothing changed'}")
        if not reason:
            continue
        idle = False
        say(f"{stage.does} ...")
        start = time.perf_counter()
        with activity(stage.does):
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
        shown = {key: counts[key] for key in stage.says or counts if key in counts}
        say(f"  {counts_text(shown) or 'done'} ({seconds:.1f} s)")
        say_more(f"{stage.name}: {counts_text(counts)}")
    if idle:
        say("Nothing changed since the last build.")
        add_to_record(workspace.record, settings)  # a file may have another place


def _reason_to_run(stage: Stage, key: str, read: Inputs, workspace: Workspace) -> str:
    """Why a stage has to run, "" if it has not."""
    recorded = read_record(workspace.record)["stages"] if workspace.record.is_file() else []
    done = next((one for one in recorded if one["stage"] == stage.name), None)
    if done is None:
        return "has not run yet"
    if done["key"] == key:
        return "" if is_intact(done, workspace) else "one of its files is gone or was changed"
    before = done.get("inputs")  # version 0.1.0 recorded none
    changed = [name for name, digest in read if before and [name, digest] not in before]
    return (
        f"changed: {', '.join(changed)}" if changed else "a setting, or Strata itself, has changed"
    )


def build_tree(workspace: Workspace, settings: BuildSettings, execute: Execute = run_here) -> None:
    """Builds a tree: checks every input, then runs the stages that have to run.

    The metadata's files are read once: what the check has read is handed to the stage `items`, and
    where that stage has nothing to do, its tables are checked instead. If the weights of the tree's
    own encoder cannot be fetched, the tree is built without vectors.

    Raises:
        InputError: what is wrong with the inputs, and a first build then leaves no table behind; or
            an export cannot be written, and the tree is there.
        RetryError: another command is writing to the workspace; the weights of an encoder that was
            asked for cannot be fetched.
    """
    with workspace.locked("build"):
        _build_tree(workspace, settings, execute)


def _build_tree(workspace: Workspace, settings: BuildSettings, execute: Execute) -> None:
    workspace.check_version()
    key = stage_key(ITEMS, workspace, settings)
    known = None if _reason_to_run(ITEMS, key, [], workspace) else saved_metadata(workspace)
    with activity("Checking the inputs"):
        metadata = check_inputs(settings, known)
    stages = [items_stage(metadata, key) if stage is ITEMS else stage for stage in STAGES]
    first = not workspace.record.exists()
    try:
        try:
            run_stages(stages, workspace, settings, execute)
        except UnreachableWeightsError as error:
            if not _goes_on_without(error.encoder, settings):
                raise
            warn(f"warning: {error}\n{_WITHOUT_VECTORS}")
            without = settings.model_copy(update={"encoder": ""})
            run_stages(stages, workspace, without, execute)
    except InputError:
        # Only a stage could find out. A tree that is there stays: one of its exports was refused.
        if first and not _has_run("settle", workspace):
            shutil.rmtree(workspace.tables, ignore_errors=True)
            workspace.record.unlink(missing_ok=True)
        raise


def _goes_on_without(encoder: str, settings: BuildSettings) -> bool:
    """Whether a build can do without an encoder that nobody asked for and that finds no node.

    The encoder is tried again by the next `strata build`: its settings name the encoder again.
    """
    default = encoder == settings.encoder and not settings.encoder_given
    return default and not settings.hierarchy.found and not settings.clusters


def plan_build(workspace: Workspace, settings: BuildSettings) -> list[str]:
    """Checks every input and says which stages `build_tree` would run, and why; writes nothing.

    Raises:
        InputError: everything wrong with the inputs.
    """
    workspace.check_version()
    with activity("Checking the inputs"):
        metadata = check_inputs(settings)
    lines = [counts_text(metadata.counts)]
    changed: set[Path] = set()
    for stage in STAGES:
        read, key = Inputs(), ""
        if _has_run(stage.name, workspace):  # else its inputs need not be there
            if made := sorted(path.name for path in changed & {*stage.reads(workspace, settings)}):
                more = f" or {len(made) - 2} more" if len(made) > 2 else ""
                lines.append(f"{stage.does}: would run if {', '.join(made[:2])}{more} change")
                changed |= {*stage.writes(workspace, settings)}
                continue
            read = input_hashes(stage, workspace, settings)
            key = stage_key(stage, workspace, settings, read)
        if reason := _reason_to_run(stage, key, read, workspace):
            changed |= {*stage.writes(workspace, settings)}
        lines.append(f"{stage.does}: {f'would run; {reason}' if reason else 'nothing changed'}")
    if settings.contact:
        categories = metadata.items["title"].nunique()
        lines.append(f"Wikimedia would be asked for what is not known of {categories:,} categories")
    return lines


def _has_run(stage: str, workspace: Workspace) -> bool:
    recorded = read_record(workspace.record)["stages"] if workspace.record.is_file() else []
    return any(done["stage"] == stage for done in recorded)


def rebuild(
    workspace: Workspace, stages: Sequence[Stage] = STAGES, execute: Execute = run_here
) -> None:
    """Runs the stages again with the settings of the last build, where something has changed.

    Raises:
        InputError: the folder holds no build; a path that the build was given is gone.
        RetryError: another command is writing to the workspace.
    """
    workspace.check_version()
    settings = workspace.last_settings()
    check_paths(settings, workspace.record)
    with workspace.locked("rebuild"):
        run_stages(stages, workspace, settings, execute)
