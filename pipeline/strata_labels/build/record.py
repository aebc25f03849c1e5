"""`run.json`: what a build was given, which of its stages are done, and what came out.

Paths below the workspace are stored relative to it, so that the workspace can be moved or copied;
others are stored as they were given. Version 0.1.0 stored all paths absolute and had no `format`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from strata_labels.build.settings import BuildSettings
from strata_labels.errors import InputError, Problem, refuse
from strata_labels.files import write_json
from strata_labels.hierarchy import known_trees
from strata_labels.settings import checked

FORMAT = 2
#: Settings that are paths, with the option that gives each.
PATHS = {
    "metadata": "--metadata (or --items)",
    "entities": "--entities",
    "known_labels": "--known-labels",
    "vocabulary": "--vocabulary",
    "images": "--images",
    "vectors": "--vectors",
    "decisions": "--decisions",
}
_BUILD = "Run `strata build TREE WORKSPACE --metadata DIR`."


def read_record(path: Path) -> dict[str, Any]:
    """The record of a workspace.

    Args:
        path: its `run.json`.

    Returns:
        `format`, `versions`, `parameters` (see `stored`), `stages` (see
        `strata_labels.build.stage`), and once a build is finished `inputs` (file to sha256),
        `title`, `numbers`, `agreement`, `reviewers`.

    Raises:
        InputError: there is none, or it is damaged.
    """
    if not path.is_file():
        raise InputError(Problem(path.parent, "no build in this folder", _BUILD))
    try:
        record = dict(json.loads(path.read_text(encoding="utf-8")))
        record["parameters"] = dict(record["parameters"])
        record["stages"] = [dict(stage) for stage in record.get("stages", [])]
        whole = all({"stage", "key", "outputs"} <= stage.keys() for stage in record["stages"])
        found = int(record.get("format", FORMAT))
    except (ValueError, TypeError, KeyError, RecursionError, OSError) as error:
        raise InputError(Problem(path, f"damaged ({error!r})", _BUILD)) from None
    if found > FORMAT:
        what = f"the workspace is of format {found}; this Strata reads up to {FORMAT}"
        raise InputError(Problem(path, what, "Use the Strata that wrote it, or a later one."))
    if not whole:
        raise InputError(Problem(path, "damaged (a stage lacks what is recorded of it)", _BUILD))
    return record


def add_to_record(
    path: Path,
    settings: BuildSettings,
    stage: dict[str, Any] | None = None,
    changes: dict[str, Any] | None = None,
) -> None:
    """Adds to a record, whole or not at all: the settings, a finished stage, other changed keys."""
    record = read_record(path) if path.is_file() else {"stages": []}
    if stage is not None:
        stages = {done["stage"]: done for done in record["stages"]}  # in the order they first ran
        record["stages"] = list((stages | {stage["stage"]: stage}).values())
    parameters = stored(settings, path.parent)
    write_json(path, {**record, **(changes or {}), "format": FORMAT, "parameters": parameters})


def stored(settings: BuildSettings, workspace: Path) -> dict[str, Any]:
    """Settings as the JSON values of a record.

    The address of the person who asked Wikimedia is left out; that somebody asked is kept.
    """
    asked = settings.asked or settings.contact is not None
    values = settings.model_dump(mode="json") | {"contact": None, "asked": asked}
    for name in PATHS:
        if values[name] is not None:
            values[name] = portable(Path(values[name]), workspace)
    tree = portable(Path(settings.tree), workspace)
    return values | ({} if tree in known_trees() else {"tree": tree})


def portable(path: Path, workspace: Path) -> str:
    """A path relative to the workspace if it is below it, else as it is."""
    return str(path.relative_to(workspace) if path.is_relative_to(workspace) else path)


def last_settings(path: Path) -> BuildSettings:
    """The settings in a record; paths below the workspace as it was are below it as it is.

    Raises:
        InputError: there is no record; a setting has an unknown name or a wrong value.
    """
    record, workspace = read_record(path), path.parent
    values = record["parameters"]
    before = None if "format" in record else _earlier_folder(values)
    for name in (*PATHS, "tree"):
        value = values.get(name)
        if not isinstance(value, str) or (name == "tree" and value in known_trees()):
            continue
        given = Path(value)
        if before is not None and given.is_relative_to(before):
            given = given.relative_to(before)
        values[name] = str(workspace / given)
    return checked(BuildSettings, values, path)


def _earlier_folder(values: dict[str, Any]) -> Path | None:
    """The folder that a workspace of version 0.1.0 was in, if its ledger was the default one.

    A `decisions.csv` in a folder that exists and holds no build is somebody's own ledger.
    """
    ledger = Path(str(values.get("decisions", "")))
    own = ledger.parent.exists() and not (ledger.parent / "run.json").exists()
    return ledger.parent if ledger.name == "decisions.csv" and not own else None


def check_paths(settings: BuildSettings, record: Path) -> None:
    """Checks that everything a build was given is still there; the ledger may not exist yet.

    Raises:
        InputError: every path that is gone, with the option that gives its new place.
    """
    problems = []
    for name, option in PATHS.items():
        path = getattr(settings, name)
        if name != "decisions" and path is not None and not path.exists():
            what = f"the path given by {option} is gone:"
            fix = f"Run `strata build` once with {option} and its new place."
            problems.append(Problem(record, what, fix, value=str(path)))
    refuse(problems)
