"""The contract of a stage: what it reads and writes, and the key that decides whether it runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strata_labels.build.record import stored
from strata_labels.build.settings import BuildSettings
from strata_labels.build.workspace import Workspace
from strata_labels.files import sha256_of

Counts = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """One step of a build.

    Attributes:
        name: short verb.
        version: raised whenever the same input would give another output.
        reads: the files the step depends on; a missing optional one may be listed.
        writes: the files it leaves.
        settings: names of the settings that change its output, besides the tree and its levels.
        run: does the work, writes whole files, returns counts for people (in = out + set aside).
        looks_at: fingerprint of what it depends on that is not a file of moderate size.
        records: what it adds to `run.json` besides its own entry, once it is done.
    """

    name: str
    version: int
    reads: Callable[[Workspace, BuildSettings], list[Path]]
    writes: Callable[[Workspace, BuildSettings], list[Path]]
    run: Callable[[Workspace, BuildSettings], Counts]
    settings: tuple[str, ...] = ()
    looks_at: Callable[[Workspace, BuildSettings], str] = lambda _workspace, _settings: ""
    records: Callable[[Workspace, BuildSettings], dict[str, Any]] = lambda _workspace, _settings: {}


#: Name and sha256 of each file that a stage reads; None for one that is not there.
Inputs = list[tuple[str, str | None]]


def input_hashes(stage: Stage, workspace: Workspace, settings: BuildSettings) -> Inputs:
    """The files a stage reads, in their order."""
    return [
        (path.name, sha256_of(path) if path.is_file() else None)
        for path in stage.reads(workspace, settings)
    ]


def stage_key(
    stage: Stage,
    workspace: Workspace,
    settings: BuildSettings,
    read: Inputs | None = None,
) -> str:
    """Fingerprint of all a stage's output depends on: its version, settings and input bytes.

    Args:
        stage: the stage.
        workspace: where it works.
        settings: what the build was asked for.
        read: its `input_hashes`, where they are known.
    """
    values = stored(settings, workspace.folder)
    read = input_hashes(stage, workspace, settings) if read is None else read
    parts = {
        "stage": [stage.name, stage.version],
        "tree": [sha256_of(settings.hierarchy.file), settings.levels],
        "settings": {name: values[name] for name in stage.settings},
        "inputs": read,
        "looked_at": stage.looks_at(workspace, settings),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def output_hashes(stage: Stage, workspace: Workspace, settings: BuildSettings) -> dict[str, str]:
    """The files a stage has left: path below the workspace to sha256."""
    return {
        str(path.relative_to(workspace.folder)): sha256_of(path)
        for path in stage.writes(workspace, settings)
        if path.is_file()
    }


def is_intact(done: dict[str, Any], workspace: Workspace) -> bool:
    """Whether every file that a finished stage has left is still there, byte for byte.

    The review sheet is people's to write in: it only has to be there, and is not to be one whose
    decisions are in the ledger.
    """
    for name, digest in done["outputs"].items():
        path = workspace.folder / name
        found = sha256_of(path) if path.is_file() else ""
        edited = path == workspace.sheet and found and found not in workspace.applied
        if found != digest and not edited:
            return False
    return True


def counts_text(counts: Counts) -> str:
    """Counts as text: `train in 203,094, train out 203,094`; zeros are left out."""
    return ", ".join(_flat(counts))


def _flat(counts: Counts, before: str = "") -> list[str]:
    texts: list[str] = []
    for key, value in counts.items():
        name = f"{before} {key}".strip().replace("_", " ")
        if isinstance(value, dict):
            texts += _flat(value, name)
        elif value != 0:
            texts.append(f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}")
    return texts
