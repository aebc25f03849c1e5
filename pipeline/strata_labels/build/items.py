"""The first stage: reading a data set's items, and the labels that came with them."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pandas as pd

from strata_labels.build.assets import vocabulary_in_force
from strata_labels.build.settings import NO_LABELS, BuildSettings
from strata_labels.build.stage import Counts, Stage, stage_key
from strata_labels.build.workspace import Workspace
from strata_labels.errors import Problem, refuse
from strata_labels.messages import warn
from strata_labels.people_csv import write_list
from strata_labels.sources import (
    Metadata,
    is_image_folder,
    picture_paths,
    shared_images,
    spelled_alike,
)
from strata_labels.tables import load, save


def read_metadata(settings: BuildSettings) -> Metadata:
    """Reads the items with their published labels, and the labels of `--known-labels`.

    Raises:
        InputError: every problem of the files; a level that should be published and is not.
    """
    hierarchy, folder, levels = settings.hierarchy, settings.metadata, settings.given_levels
    metadata = settings.source.read(folder, levels)
    if hierarchy.published and not settings.clusters:
        given = settings.labelled_levels or [NO_LABELS]
        wanted = hierarchy.levels[2 if hierarchy.found else 1 :]
        fix = f"The labels have {', '.join(given)}; correct the levels or add the column."
        problems = [
            Problem("labels", "no published label for level", fix, column=level)
            for level in wanted
            if level not in given
        ]
        refuse(problems)
    if not settings.known_labels:
        return metadata
    known = settings.source.read_labels(settings.known_labels, metadata.items, levels)
    table, spelled = _as_in_vocabulary(settings, known.table)
    labels = pd.concat([metadata.labels, table], ignore_index=True)
    counts = {**metadata.counts, "known_labels": {**known.counts, **spelled}}
    return replace(metadata, labels=labels, counts=counts)


def _as_in_vocabulary(
    settings: BuildSettings, known: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Known labels as the vocabulary spells them, where it has one node that is spelled alike.

    Returns:
        The table `labels`; and, by name, most frequent first, what was read as another spelling and
        what the vocabulary does not have.
    """
    hierarchy = settings.hierarchy
    if hierarchy.published or settings.clusters:
        return known, {}
    vocabulary, level = vocabulary_in_force(settings), hierarchy.compared_level
    node = known["node"].copy()
    counts: dict[str, str] = {}
    for at, nodes in ((level, set(vocabulary.nodes)), (level + 1, set(vocabulary.tops))):
        strange = known["node"][(known["level"] == at) & ~known["node"].isin(nodes)]
        names = strange.value_counts(sort=False).sort_index()
        names = names.sort_values(ascending=False, kind="stable")
        groups = [set(group) for group in spelled_alike({*nodes, *names.index})]
        one = {name: group & nodes for group in groups for name in group - nodes}
        spelled = {name: min(found) for name, found in one.items() if len(found) == 1}
        node[strange.index] = strange.map(spelled).fillna(strange)
        for name, count in names.items():
            kind, text = "not_in_the_vocabulary", f"{name} ({count})"
            if name in spelled:
                kind, text = "read_as_another_spelling", f"{name} as {spelled[name]} ({count})"
            counts[kind] = f"{counts[kind]}, {text}" if kind in counts else text
    return known.assign(node=node), counts


def saved_metadata(workspace: Workspace) -> Metadata:
    """What the stage has written, as `read_metadata` returned it, without the counts."""
    return Metadata(load(workspace.folder, "items"), load(workspace.folder, "labels"), {})


def _write(workspace: Workspace, settings: BuildSettings, metadata: Metadata) -> Counts:
    if settings.hierarchy.levels[1:] == (NO_LABELS,) and not settings.labelled_levels:
        warn(
            f"No column of labels in {settings.metadata.name}: every item waits for review. Add a "
            "column for each level (one label in a cell, or none), or give --known-labels, or "
            "--clusters."
        )
    save(workspace.folder, "items", metadata.items)
    save(workspace.folder, "labels", metadata.labels)
    shared = shared_images(metadata.items, metadata.labels)
    write_list(workspace.shared_images, shared)
    return {**metadata.counts, "images_of_several_items": int(shared["image"].nunique())}


def _pictures_listed(_: Workspace, settings: BuildSettings) -> str:
    """Fingerprint of the paths in a folder of pictures, which no file lists; else ""."""
    if settings.source.files(settings.metadata) or not is_image_folder(settings.metadata):
        return ""
    return sha256("\n".join(picture_paths(settings.metadata)).encode()).hexdigest()


ITEMS = Stage(
    name="items",
    does="Reading items and labels",
    version=7,
    reads=lambda _, settings: [
        *settings.source.files(settings.metadata),
        *([settings.known_labels, settings.vocabulary_file] if settings.known_labels else []),
    ],
    writes=lambda workspace, _: [
        workspace.table("items"),
        workspace.table("labels"),
        workspace.shared_images,
    ],
    run=lambda workspace, settings: _write(workspace, settings, read_metadata(settings)),
    looks_at=_pictures_listed,
)


def items_stage(metadata: Metadata, key: str) -> Stage:
    """The stage, for metadata that has been read when the stage's key was `key`."""

    def run(workspace: Workspace, settings: BuildSettings) -> Counts:
        # A file may have been changed since.
        same = stage_key(ITEMS, workspace, settings) == key
        return _write(workspace, settings, metadata if same else read_metadata(settings))

    return replace(ITEMS, run=run)
