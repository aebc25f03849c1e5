"""The stages of a build, in order; each reads files, calls one room, writes whole files."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.build.assets import class_assets, vocabulary_in_force
from pipeline.build.embed import EMBED
from pipeline.build.propose import PROPOSE, ledgers
from pipeline.build.settings import BuildSettings, Workspace
from pipeline.build.show import SHOW
from pipeline.build.stage import Counts, Stage
from pipeline.errors import InputError
from pipeline.export import About, export
from pipeline.files import write_json
from pipeline.knowledge import (
    ClassGraph,
    Snapshot,
    link,
    read_snapshot,
    snapshot_lexicon,
)
from pipeline.review import read_ledger, replay, with_doubts, write_sheet
from pipeline.sources import SOURCES
from pipeline.tables import assignments_schema, load, read_people_csv, save
from pipeline.tree import build_tree


def _metadata(_place: Workspace, settings: BuildSettings) -> list[Path]:
    return sorted(Path(settings.metadata).glob("*.csv"))


def _read_items(place: Workspace, settings: BuildSettings) -> Counts:
    source = SOURCES[settings.hierarchy.source]
    metadata = source.read(Path(settings.metadata), images_table=place.table("images"))
    save(place.folder, "items", metadata.items)
    return metadata.counts


ITEMS = Stage(
    name="items",
    version=1,
    reads=_metadata,
    writes=lambda place, _: [place.table("items"), place.table("images")],
    parameters=("tree",),
    run=_read_items,
)


def _resolve(place: Workspace, settings: BuildSettings) -> Counts:
    items = load(place.folder, "items")
    assets = class_assets(settings, vocabulary_in_force(settings))
    snapshot = Snapshot()
    if settings.entities:
        snapshot = read_snapshot(Path(settings.entities), items["title"], assets.placed)
    entities, classes = link(items, snapshot)
    save(place.folder, "entities", entities)
    save(place.folder, "classes", classes)
    graph = ClassGraph(classes, assets.placed, assets.stops)
    words = snapshot_lexicon(snapshot, graph)
    save(place.folder, "lexicon", words)
    statuses = entities["status"].value_counts().sort_index()
    return {
        "items": len(items),
        **{str(key): int(count) for key, count in statuses.items()},
        "classes": len(classes),
        "words_of_classes": len(words),
    }


RESOLVE = Stage(
    name="resolve",
    version=2,
    reads=lambda place, settings: [
        place.table("items"),
        *settings.class_files,
        *([Path(settings.entities)] if settings.entities else []),
    ],
    writes=lambda place, _: [place.table(name) for name in ("entities", "classes", "lexicon")],
    parameters=("tree",),
    run=_resolve,
)


def _settle(place: Workspace, settings: BuildSettings) -> Counts:
    items, proposals = load(place.folder, "items"), load(place.folder, "proposals")
    if place.table("doubts").is_file():  # a validation has left its doubts
        proposals = with_doubts(proposals, load(place.folder, "doubts"))
    ledger = read_ledger(*ledgers(settings))
    resolution = replay(ledger.decisions, proposals, load(place.folder, "vocabulary"))
    nodes, assignments, counts = build_tree(items, resolution)
    levels = settings.hierarchy.levels
    save(place.folder, "nodes", nodes)
    save(place.folder, "assignments", assignments, assignments_schema(len(levels)))
    keep_filled_in(place.sheet)
    counts["rows_to_review"] = write_sheet(place.sheet, resolution, items, levels)
    write_json(place.settled, counts)
    return counts


def keep_filled_in(sheet: Path) -> Path | None:
    """Puts a sheet with decisions aside, so that a new one does not overwrite somebody's work.

    Returns:
        Where it went, `review.filled-in-1.csv` beside it or a higher number; None if nobody has
        decided anything in it.
    """
    if not sheet.is_file():
        return None
    try:
        decided = bool((read_people_csv(sheet, ["decision"])["decision"] != "").any())
    except InputError:
        decided = True  # whatever it is now, it is not ours to throw away
    if not decided:
        return None
    number = 1
    while (kept := sheet.with_name(f"{sheet.stem}.filled-in-{number}.csv")).exists():
        number += 1
    sheet.replace(kept)
    print(f"{sheet.name} had decisions that were not applied: kept as {kept}", file=sys.stderr)
    return kept


SETTLE = Stage(
    name="settle",
    version=1,
    reads=lambda place, settings: [
        place.table("items"),
        place.table("proposals"),
        place.table("vocabulary"),
        place.table("doubts"),
        *ledgers(settings),
    ],
    writes=lambda place, _: [
        place.table("nodes"),
        place.table("assignments"),
        place.settled,
        place.sheet,
    ],
    parameters=("tree",),
    run=_settle,
)


def write_formats(place: Workspace, settings: BuildSettings, formats: list[str]) -> list[Path]:
    """Exports the tree; returns the files written (see `pipeline.export.export`)."""
    hierarchy = settings.hierarchy
    items, assignments = load(place.folder, "items"), load(place.folder, "assignments")
    entities = load(place.folder, "entities")
    written: list[Path] = []
    for name in formats:
        written += export(
            name,
            place.export / name,
            items,
            assignments,
            Path(settings.metadata),
            levels=hierarchy.levels,
            entities=entities,
            about=About(title=hierarchy.title),
        ).files
    return written


def _export(place: Workspace, settings: BuildSettings) -> Counts:
    formats = list(settings.hierarchy.formats)
    return {"formats": " ".join(formats), "files": len(write_formats(place, settings, formats))}


EXPORT = Stage(
    name="export",
    version=1,
    reads=lambda place, settings: [
        place.table("items"),
        place.table("assignments"),
        place.table("entities"),
        *_metadata(place, settings),
    ],
    writes=lambda place, _: sorted(path for path in place.export.rglob("*") if path.is_file()),
    parameters=("tree",),
    run=_export,
)

STAGES = (ITEMS, RESOLVE, EMBED, PROPOSE, SETTLE, EXPORT, SHOW)
