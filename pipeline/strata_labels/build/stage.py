"""The contract of a build's step: what it reads, what it writes, when it need not run again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strata_labels.build.settings import BuildSettings, Workspace, as_parameters
from strata_labels.files import sha256_of

Counts = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """One step of a build; any executor (Prefect flow, plain loop) runs it the same way.

    Attributes:
        name: short verb.
        version: raised whenever the same input would give another output.
        reads: the files the step depends on; a missing optional one may be listed.
        writes: the files it leaves.
        parameters: names of the settings that change its output.
        run: does the work, writes whole files, returns counts for people (in = out + set aside).
        looks_at: fingerprint of what it depends on and what is too large to hash, "" for nothing.
    """

    name: str
    version: int
    reads: Callable[[Workspace, BuildSettings], list[Path]]
    writes: Callable[[Workspace, BuildSettings], list[Path]]
    parameters: tuple[str, ...]
    run: Callable[[Workspace, BuildSettings], Counts]
    looks_at: Callable[[Workspace, BuildSettings], str] = lambda _place, _settings: ""


def stage_key(stage: Stage, workspace: Workspace, settings: BuildSettings) -> str:
    """Fingerprint of all a stage's output depends on: its version, settings and input bytes."""
    given = as_parameters(settings)
    inputs = [
        [path.name, sha256_of(path) if path.is_file() else None]
        for path in stage.reads(workspace, settings)
    ]
    chosen = {key: given[key] for key in stage.parameters}
    seen = stage.looks_at(workspace, settings)
    definition = sha256_of(settings.hierarchy.file)
    parts = [stage.name, stage.version, chosen, inputs, seen, definition]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def run_stage(
    stage: Stage, workspace: Workspace, settings: BuildSettings, key: str = ""
) -> dict[str, Any]:
    """Runs a stage; returns its manifest: `stage, key, counts, seconds, outputs` (path to sha256).

    Args:
        stage: the step.
        workspace: where its tables are.
        settings: what the build was asked for.
        key: from `stage_key`, for those who look whether it need run again.
    """
    start = time.perf_counter()
    counts = stage.run(workspace, settings)
    outputs = {
        str(path.relative_to(workspace.folder)): sha256_of(path)
        for path in stage.writes(workspace, settings)
        if path.is_file()
    }
    seconds = round(time.perf_counter() - start, 3)
    return {
        "stage": stage.name,
        "key": key,
        "counts": counts,
        "seconds": seconds,
        "outputs": outputs,
    }


def intact(manifest: dict[str, Any], workspace: Workspace) -> bool:
    """Whether every output of a manifest is still there, byte for byte.

    The review sheet is people's to write in: it only has to be there.
    """
    for name, digest in manifest["outputs"].items():
        path = workspace.folder / name
        if not path.is_file() or (path != workspace.sheet and sha256_of(path) != digest):
            return False
    return True


def in_words(manifest: dict[str, Any]) -> str:
    """A manifest's counts for people: `train in 203094, out 203094; ...`."""
    return ", ".join(_flat(manifest["counts"]))


def _flat(counts: dict[str, Any], before: str = "") -> list[str]:
    words: list[str] = []
    for key, value in counts.items():
        name = f"{before} {key}".strip().replace("_", " ")
        if isinstance(value, dict):
            words += _flat(value, name)
        elif value != 0:
            words.append(f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}")
    return words
