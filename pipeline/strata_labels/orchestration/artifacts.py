"""What a flow run shows on its page: counts, open rows, the card, doubts, progress."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

import pandas as pd
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from strata_labels.build import Workspace, counts_text

#: Rows shown of a table; the workspace has all.
SHOWN = 20
_SECONDS_BETWEEN_UPDATES = 5.0


def publish_build(workspace: Workspace) -> None:
    """Publishes each stage's counts, the first open rows, and the data card."""
    stages = workspace.last_run()["stages"]
    counts = [{"stage": done["stage"], "counts": counts_text(done["counts"])} for done in stages]
    create_table_artifact(counts, key="counts", description="What went in and came out")
    columns = ["name", "suggestion", "confidence", "reasons", "evidence"]
    sheet = pd.read_csv(workspace.sheet, dtype=str, keep_default_na=False, nrows=SHOWN)
    create_table_artifact(
        _records(sheet[columns]), key="open-rows", description="The most doubtful open rows"
    )
    create_markdown_artifact(workspace.card.read_text(encoding="utf-8"), key="card")


def publish_doubts(doubts: pd.DataFrame) -> None:
    """Publishes the places that retrieval doubts most."""
    shown = doubts[doubts["gain"] > 0].head(SHOWN)
    columns = ["row_id", "current", "suggestion", "gain"]
    create_table_artifact(
        _records(shown[columns]), key="doubts", description="What retrieval doubts most"
    )


def publish_progress() -> Callable[[str, int, int | None], None]:
    """A listener for `strata_labels.progress.listen`: a progress artifact for each work."""
    known: dict[str, UUID] = {}
    updated: dict[str, float] = {}

    def publish(what: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        finished = done == total
        if not total or (not finished and now - updated.get(what, 0) < _SECONDS_BETWEEN_UPDATES):
            return
        updated[what] = now
        percent = 100 * done / total
        if what in known:
            update_progress_artifact(known[what], percent)
        else:
            key = re.sub("[^a-z0-9]+", "-", what.casefold()).strip("-")
            created = create_progress_artifact(percent, key=key, description=what)
            known[what] = cast(UUID, created)  # a coroutine only in async code

    return publish


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values."""
    columns = [str(name) for name in table.columns]
    return [dict(zip(columns, row, strict=True)) for row in table.to_numpy().tolist()]
