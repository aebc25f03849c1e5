"""The first stage: reading a data set's items, and the labels that came with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from strata_labels.build.settings import BuildSettings
from strata_labels.build.stage import Counts, Stage
from strata_labels.build.workspace import Workspace
from strata_labels.errors import InputError, Problem
from strata_labels.sources import Metadata
from strata_labels.tables import save


def read_metadata(settings: BuildSettings) -> Metadata:
    """Reads the items with their published labels, and the labels of `--known-labels`.

    Raises:
        InputError: every problem of the files; a level that should be published and is not.
    """
    hierarchy, folder = settings.hierarchy, Path(settings.metadata)
    metadata = settings.source.read(folder, hierarchy.levels)
    if hierarchy.published:
        given = settings.source.levels(folder)
        wanted = hierarchy.levels[2 if hierarchy.found else 1 :]
        fix = f"The labels have {', '.join(given) or 'none'}; correct the levels or add the column."
        problems = [
            Problem("labels", "no published label for level", fix, column=level)
            for level in wanted
            if level not in given
        ]
        if problems:
            raise InputError(problems)
    if not settings.known_labels:
        return metadata
    known = settings.source.read_labels(
        Path(settings.known_labels), metadata.items, hierarchy.levels
    )
    labels = pd.concat([metadata.labels, known.table], ignore_index=True)
    counts = {**metadata.counts, "known_labels": known.counts}
    return replace(metadata, labels=labels, counts=counts)


def _read_items(place: Workspace, settings: BuildSettings) -> Counts:
    metadata = read_metadata(settings)
    save(place.folder, "items", metadata.items)
    save(place.folder, "labels", metadata.labels)
    return metadata.counts


ITEMS = Stage(
    name="items",
    version=2,
    reads=lambda _, settings: [
        *settings.source.files(Path(settings.metadata)),
        *([Path(settings.known_labels)] if settings.known_labels else []),
    ],
    writes=lambda place, _: [place.table("items"), place.table("labels")],
    run=_read_items,
)
