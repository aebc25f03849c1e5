"""Sheets to fill in, their way into the ledger, and whether the tables have all decisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.build.assets import ledgers
from strata_labels.build.reconcile import (
    is_class_sheet,
    put_filled_in_aside,
    read_class_sheet,
    with_classes,
)
from strata_labels.build.record import check_paths
from strata_labels.build.show import SHOW
from strata_labels.build.stages import EXPORT, SETTLE
from strata_labels.build.workspace import Workspace
from strata_labels.errors import InputError, Problem
from strata_labels.files import sha256_of
from strata_labels.review import (
    Sheet,
    append,
    change_lines,
    read_ledger,
    read_sheet,
    replay,
    reviewed,
    time_after,
    tree_change,
    write_sheet,
)
from strata_labels.tables import load


@dataclass(frozen=True)
class Applied:
    """What became of a sheet.

    Attributes:
        added: number of decisions that the ledger did not have.
        sheet_id: the time of these decisions, by which all of them can be taken back.
        remarks: a sentence for each row that is kept as stale, or that was replaced since.
        change: of a dry run, what would become different in the tree, in lines.
        numbers: of a dry run, the same as numbers: `items`, `moves` and `nodes` of
            `strata_labels.review.TreeChange`.
    """

    added: int
    sheet_id: str
    remarks: list[str]
    change: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)


def apply_sheet(
    workspace: Workspace, sheet: Path, reviewer: str | None, dry_run: bool = False
) -> Applied:
    """Checks a filled-in sheet as a whole and appends its decisions to the ledger.

    The sheet is left as it is. It may be applied again, also after this was stopped anywhere.
    A dry run writes nothing, and says what would change.

    Raises:
        InputError: a path that the build was given is gone; every problem of the sheet, alone or
            together with the ledger. Nothing is appended then.
        RetryError: another command is writing to the workspace.
    """
    settings = workspace.last_settings()
    check_paths(settings, workspace.record)
    with workspace.locked("apply"):
        digest = sha256_of(sheet) if sheet.is_file() else ""
        proposals, nodes = reviewed(workspace.folder), load(workspace.folder, "vocabulary")
        ledger = read_ledger(*ledgers(settings))
        before = ledger.decisions
        when = time_after(ledger, datetime.now(UTC))
        if is_class_sheet(sheet):
            decisions = read_class_sheet(sheet, nodes, reviewer or "", when)
            qids = decisions["subject"].str.removeprefix("1/")
            taken = Sheet(decisions.assign(file=str(sheet), row=0), [], [])
            nodes = with_classes(nodes, dict.fromkeys(qids, ""))
        else:
            taken = read_sheet(sheet, replay(before, proposals, nodes), reviewer or "", when)
        remarks = [str(problem) for problem in taken.stale + taken.replaced]
        new = taken.decisions.astype({"row": "int64"})  # also where there is none
        after = replay(pd.concat([before, new], ignore_index=True), proposals, nodes)
        if dry_run:
            now = replay(before, proposals, nodes)
            change = tree_change(now, after)
            lines = change_lines(change, now.tree, after.tree, settings.hierarchy.levels)
            numbers = {
                "items": change.items,
                "moves": change.moves.to_dict("records"),
                "nodes": change.nodes.to_dict("records"),
            }
            return Applied(len(taken.decisions), when, remarks, lines, numbers)
        added = append(settings.decisions, taken.decisions) if len(taken.decisions) else 0
        if len(taken.decisions) or taken.replaced:
            workspace.note_applied(digest)
    return Applied(added, when, remarks)


def write_review_sheet(workspace: Workspace, path: Path) -> int:
    """Writes the open rows as a sheet to fill in, a CSV or a workbook.

    A file there with decisions that were not applied is kept beside it.

    Returns:
        Number of rows written.

    Raises:
        InputError: the path ends in neither .csv nor .xlsx.
    """
    if path.suffix.casefold() not in (".csv", ".xlsx"):
        fix = "Give a path that ends in .csv or .xlsx."
        raise InputError(Problem("--sheet", "not the name of a sheet:", fix, value=str(path)))
    settings = workspace.last_settings()
    put_filled_in_aside(path, "decision", workspace.applied)
    resolution = replay(
        read_ledger(*ledgers(settings)).decisions,
        reviewed(workspace.folder),
        load(workspace.folder, "vocabulary"),
    )
    items = load(workspace.folder, "items")
    return write_sheet(path, resolution, items, settings.hierarchy.levels)


_AFTER = (EXPORT.name, SHOW.name)  # stages that read what SETTLE leaves


def is_behind(workspace: Workspace) -> bool:
    """Whether decisions of the ledger are not in the tables, as a stopped command leaves them.

    Raises:
        InputError: the folder holds no build.
    """
    done = {stage["stage"]: stage for stage in workspace.last_run()["stages"]}
    settle = done.get(SETTLE.name)
    if settle is None or "inputs" not in settle:  # a stopped build, or one of an earlier version
        return False
    read = [digest for _, digest in settle["inputs"]]
    files = ledgers(workspace.last_settings())
    if any((sha256_of(path) if path.is_file() else None) not in read for path in files):
        return True
    left = {Path(name).name: digest for name, digest in settle["outputs"].items()}
    later = [tuple(pair) for name in _AFTER for pair in done.get(name, {}).get("inputs", [])]
    return any(digest != left.get(name, digest) for name, digest in later)
