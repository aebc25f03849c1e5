"""The contract of a stage: what it reads and writes, and the key that decides whether it runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
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
        does: what it does, for people.
        version: raised whenever the same input would give another output.
        reads: the files the step depends on; a missing optional one may be listed.
        writes: the files it leaves.
        settings: names of the settings that change its output, besides the tree and its levels.
        run: does the work, writes whole files, returns counts for people (in = out + set aside).
        looks_at: fingerprint of what it depends on that is not a file of moderate size.
        says: keys of the counts that are shown; all where none are named.
        records: what it adds to `run.json` besides its own entry, once it is done.
    """

    name: str
    does: str
    version: int
    reads: Callable[[Workspace, BuildSettings], list[Path]]
    writes: Callable[[Workspace, BuildSettings], list[Path]]
    run: Callable[[Workspace, BuildSettings], Counts]
    settings: tuple[str, ...] = ()
    looks_at: Callable[[Workspace, BuildSettings], str] = lambda _workspace, _settings: ""
    says: tuple[str, ...] = ()
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
    """Counts as text for people, without zeros.

    Example:
        >>> split = {"in": 5, "out": 4, "set_aside": {"no_label": 1}, "without_images": 2}
        >>> counts_text({"items": {"train": split}, "classes": 7, "columns_not_read": "a"})
        '4 items (4 train), left out: 1 no label, 2 without images; 7 classes; columns not read: a'
        >>> counts_text({"items": 20, "accepted": 3, "origin": {"name": 2}, "nodes": {1: 8}})
        '20 items, 3 accepted; origin: 2 name; nodes: 8 at level 1'
    """
    text = ""
    before = False
    for phrase, grouped in _phrases(counts):
        text += (("; " if grouped or before else ", ") if text else "") + phrase
        before = grouped
    return text


def _phrases(counts: Counts) -> list[tuple[str, bool]]:
    """Each count that is not zero as words, and whether they hold several counts."""
    found: list[tuple[str, bool]] = []
    for key, value in counts.items():
        name = str(key).replace("_", " ")
        if not isinstance(value, dict):
            if isinstance(value, str):
                found.append((f"{name}: {value}", True))
            elif value:
                name = f"at level {name}" if name.isdecimal() else name
                found.append((f"{value:,} {name}", False))
        elif _is_flow(value):
            found.append(_flow(name, value, ""))
        elif value and all(map(_is_flow, value.values())):
            parts = ", ".join(f"{flow['out']:,} {split}" for split, flow in value.items())
            found.append(_flow(name, _sum_of(value.values()), f" ({parts})"))
        elif inner := _phrases(value):
            found.append((f"{name}: {', '.join(phrase for phrase, _ in inner)}", True))
    return found


def _is_flow(value: Any) -> bool:
    """Whether counts say how many came in and went out."""
    return isinstance(value, dict) and {"in", "out"} <= set(value)


def _flow(name: str, flow: Counts, parts: str) -> tuple[str, bool]:
    others = {key: n for key, n in flow.items() if key not in ("in", "out", "set_aside")}
    phrases = [f"{flow['out']:,} {name}{parts}"]
    if left := ", ".join(phrase for phrase, _ in _phrases(flow.get("set_aside", {}))):
        phrases.append(f"left out: {left}")
    phrases += [phrase for phrase, _ in _phrases(others)]
    return ", ".join(phrases), len(phrases) > 1 or bool(parts)


def _sum_of(flows: Iterable[Counts]) -> Counts:
    total: Counts = {"in": 0, "out": 0, "set_aside": {}}
    for flow in flows:
        for key, value in flow.items():
            if key == "set_aside":
                for reason, number in value.items():
                    total[key][reason] = total[key].get(reason, 0) + number
            elif isinstance(value, int):
                total[key] = total.get(key, 0) + value
    return total
