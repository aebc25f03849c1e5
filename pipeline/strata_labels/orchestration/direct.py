"""The stages of a build without Prefect, for builds that are done before it would have started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from strata_labels.build import (
    STAGES,
    BuildSettings,
    Workspace,
    in_words,
    intact,
    run_stage,
    stage_key,
    write_record,
)


def is_quick(settings: BuildSettings) -> bool:
    """Whether nothing has to be encoded or scored, and nobody watches by a Prefect server."""
    watched = "PREFECT_API_URL" in os.environ
    return settings.hierarchy.published and settings.image_root is None and not watched


def build_directly(place: Workspace, settings: BuildSettings) -> Iterator[str]:
    """Runs the stages in order, yields a line before and after each.

    A stage whose inputs are those of the last build, and whose files are as it left them, is not
    run again.
    """
    last: dict[str, Any] = {}
    if place.record.is_file():
        last = {done["stage"]: done for done in place.last_run()["stages"]}
    manifests = []
    for stage in STAGES:
        key = stage_key(stage, place, settings)
        done = last.get(stage.name, {})
        if done.get("key") != key or not intact(done, place):
            yield f"{stage.name} ..."
            done = run_stage(stage, place, settings, key)
            yield f"{stage.name}: {in_words(done)} ({done['seconds']:.1f} s)"
        manifests.append(done)
    write_record(place, settings, manifests)
