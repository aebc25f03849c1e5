"""Working on a workspace that was built before: single stages, the filled-in sheet, exports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from strata_labels.build.assets import ledgers
from strata_labels.build.reconcile import is_class_sheet, read_class_sheet, with_classes
from strata_labels.build.record import write_record
from strata_labels.build.settings import BuildSettings, Workspace
from strata_labels.build.stage import in_words, run_stage
from strata_labels.build.stages import STAGES, write_formats
from strata_labels.export import ExportResult
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

#: The stages that decisions change.
REBUILT = ("propose", "settle", "export", "show")


def rerun(place: Workspace, names: Sequence[str]) -> Iterator[str]:
    """Runs the named stages of the last build again, in its order; yields a line for each.

    Raises:
        InputError: the folder holds no build.
    """
    settings = place.last_settings()
    manifests = {done["stage"]: done for done in place.last_run()["stages"]}
    for stage in STAGES:
        if stage.name in names:
            manifests[stage.name] = run_stage(stage, place, settings)
            yield f"{stage.name}: {in_words(manifests[stage.name])}"
    write_record(place, settings, [manifests[stage.name] for stage in STAGES])


def apply_sheet(place: Workspace, sheet: Path, reviewer: str | None) -> tuple[int, list[str]]:
    """Checks a filled-in sheet as a whole and appends its decisions to the ledger.

    Returns:
        Number of decisions added, and a sentence for each row refused because its evidence has
        changed since the sheet was written.

    Raises:
        InputError: every problem of the sheet, alone or together with the ledger; nothing is
            appended then.
    """
    settings = place.last_settings()
    proposals, nodes = reviewed(place.folder), load(place.folder, "vocabulary")
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
    added = append(Path(settings.decisions), taken.decisions) if len(taken.decisions) else 0
    if sheet.resolve() in (place.sheet, place.to_map) and not taken.stale:
        sheet.unlink()  # all of it is in the ledger; the rebuild writes the next one
    return added, [str(problem) for problem in taken.stale]


def export_formats(
    place: Workspace, settings: BuildSettings, formats: Sequence[str] | None
) -> dict[str, ExportResult]:
    """Writes the tree in the given formats, by default the tree's own; returns what was written."""
    return write_formats(place, settings, list(formats or settings.hierarchy.formats))
