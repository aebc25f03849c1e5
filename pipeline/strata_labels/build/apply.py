"""Checks a filled-in sheet and appends its decisions to the ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from strata_labels.build.assets import ledgers
from strata_labels.build.reconcile import is_class_sheet, read_class_sheet, with_classes
from strata_labels.build.record import check_paths
from strata_labels.build.workspace import Workspace
from strata_labels.review import (
    Sheet,
    append,
    read_ledger,
    read_sheet,
    replay,
    reviewed,
    time_after,
)
from strata_labels.tables import load


def apply_sheet(workspace: Workspace, sheet: Path, reviewer: str | None) -> tuple[int, list[str]]:
    """Checks a filled-in sheet as a whole and appends its decisions to the ledger.

    Returns:
        Number of decisions added, and a sentence for each row refused because its evidence has
        changed since the sheet was written.

    Raises:
        InputError: a path that the build was given is gone; every problem of the sheet, alone or
            together with the ledger. Nothing is appended then.
    """
    settings = workspace.last_settings()
    check_paths(settings, workspace.record)
    proposals, nodes = reviewed(workspace.folder), load(workspace.folder, "vocabulary")
    ledger = read_ledger(*ledgers(settings))
    before = ledger.decisions
    when = time_after(ledger, datetime.now(UTC))
    if is_class_sheet(sheet):
        decisions = read_class_sheet(sheet, nodes, reviewer or "", when)
        qids = decisions["subject"].str.removeprefix("1/")
        taken = Sheet(decisions, [])
        nodes = with_classes(nodes, dict.fromkeys(qids, ""))
    else:
        taken = read_sheet(sheet, replay(before, proposals, nodes), reviewer or "", when)
    both = pd.concat([before, taken.decisions.assign(file=str(sheet), row=0)], ignore_index=True)
    replay(both, proposals, nodes)
    added = append(settings.decisions, taken.decisions) if len(taken.decisions) else 0
    if sheet.resolve() in (workspace.sheet, workspace.to_map) and not taken.stale:
        sheet.unlink()  # all of it is in the ledger; the rebuild writes the next one
    return added, [str(problem) for problem in taken.stale]
