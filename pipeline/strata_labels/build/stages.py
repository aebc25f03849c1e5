"""The stages of a build, in order; each reads files, calls one room, writes whole files."""

from __future__ import annotations

import pandas as pd

from strata_labels.build.assets import class_assets, ledgers, picture_finder, vocabulary_in_force
from strata_labels.build.embed import EMBED
from strata_labels.build.image_issues import IMAGE_ISSUES
from strata_labels.build.items import ITEMS
from strata_labels.build.propose import PROPOSE
from strata_labels.build.reconcile import put_filled_in_aside
from strata_labels.build.settings import BuildSettings
from strata_labels.build.show import SHOW
from strata_labels.build.split import WorkspaceSplit, current_split
from strata_labels.build.stage import Counts, Stage
from strata_labels.build.wikimedia import answers_fingerprint, resolve_for_build
from strata_labels.build.workspace import Workspace
from strata_labels.errors import InputError
from strata_labels.export import About, ExportInput, ExportResult, check_formats, write_format
from strata_labels.files import write_json
from strata_labels.knowledge import (
    CUT_COLUMNS,
    ClassGraph,
    link,
    link_taxa,
    read_snapshot,
    snapshot_lexicon,
    statements_not_climbed,
)
from strata_labels.messages import warn
from strata_labels.people_csv import write_list
from strata_labels.progress import LONG_WORK, track
from strata_labels.review import not_applied, read_ledger, replay, reviewed, write_sheet
from strata_labels.tables import SCHEMAS, assignments_schema, load, save
from strata_labels.tree import tree_tables


def _resolve(workspace: Workspace, settings: BuildSettings) -> Counts:
    items = load(workspace.folder, "items")
    if settings.hierarchy.published:
        return _resolve_published(workspace, settings, items)
    assets = class_assets(settings, vocabulary_in_force(settings))
    files, titles = resolve_for_build(workspace, settings, items["title"])
    ids: list[str] = [] if titles is None else titles["qid"].dropna().tolist()
    snapshot = read_snapshot(files, items["title"], assets.placed, ids)
    entities, classes = link(items, snapshot, titles)
    save(workspace.folder, "entities", entities)
    save(workspace.folder, "classes", classes)
    graph = ClassGraph(classes, assets.placed, assets.stops)
    own = {qid for qids in entities["class_qids"] for qid in qids}
    cuts = [*graph.cuts(own), *statements_not_climbed(snapshot, classes["qid"])]
    save(workspace.folder, "class_cuts", pd.DataFrame(sorted(cuts), columns=CUT_COLUMNS))
    words = snapshot_lexicon(snapshot, graph)
    save(workspace.folder, "lexicon", words)
    statuses = entities["status"].value_counts().sort_index()
    return {
        "items": len(items),
        **{str(key): int(count) for key, count in statuses.items()},
        "classes": len(classes),
        "class_cuts": len(cuts),
        "words_of_classes": len(words),
    }


def _resolve_published(
    workspace: Workspace, settings: BuildSettings, items: pd.DataFrame
) -> Counts:
    """Taxa above the items where the tree compares ranks; else the classes of the items."""
    snapshot, ranked = settings.entities, settings.hierarchy.taxa
    entities, taxa = link_taxa(items, snapshot if ranked else None)
    classes = pd.DataFrame(columns=SCHEMAS["classes"].names)
    qids = items["qid"].dropna().tolist() if "qid" in items else []
    if ranked and qids:
        given = items["qid"].notna()
        entities.loc[given, "qid"] = items.loc[given, "qid"]
        entities.loc[given, ["status", "linked_by"]] = ["resolved", "given"]
    elif qids or (snapshot and not ranked and (items["title"] != "").any()):
        files = [snapshot] if snapshot else []
        found = read_snapshot(files, filter(None, items["title"]), qids, qids)
        entities, classes = link(items, found)
    save(workspace.folder, "entities", entities)
    save(workspace.folder, "classes", classes)
    save(workspace.folder, "taxa", taxa)
    statuses = entities["status"].value_counts().sort_index()
    matched = {str(key): int(n) for key, n in statuses.items()} if snapshot else {}
    return {"items": len(items), **matched, **({"classes": len(classes)} if len(classes) else {})}


RESOLVE = Stage(
    name="resolve",
    does="Looking items up in Wikidata",
    version=4,
    reads=lambda workspace, settings: [
        workspace.table("items"),
        *settings.class_files,
        *([settings.entities] if settings.entities else []),
    ],
    writes=lambda workspace, settings: [
        *(
            workspace.table(name)
            for name in ("entities", "classes", "class_cuts", "lexicon", "taxa")
        ),
        *(
            [workspace.table("titles"), workspace.answers]
            if answers_fingerprint(workspace, settings)
            else []
        ),
    ],
    run=_resolve,
    looks_at=answers_fingerprint,
)


def _settle(workspace: Workspace, settings: BuildSettings) -> Counts:
    items, proposals = load(workspace.folder, "items"), reviewed(workspace.folder)
    ledger = read_ledger(*ledgers(settings))
    resolution = replay(ledger.decisions, proposals, load(workspace.folder, "vocabulary"))
    levels = settings.hierarchy.levels
    path_confidence = load(workspace.folder, "path_confidence")
    nodes, assignments, counts = tree_tables(
        items,
        resolution.rows,
        resolution.tree,
        path_confidence,
        len(levels),
        resolution.made,
        resolution.text,
    )
    counts["review"] = resolution.report
    save(workspace.folder, "nodes", nodes)
    save(workspace.folder, "assignments", assignments, assignments_schema(len(levels)))
    put_filled_in_aside(workspace.sheet, "decision", workspace.applied)
    counts["rows_to_review"] = write_sheet(workspace.sheet, resolution, items, levels)
    write_list(workspace.not_applied, not_applied(resolution))
    write_json(workspace.settled, counts)
    return counts


SETTLE = Stage(
    name="settle",
    does="Building the tree",
    version=9,
    reads=lambda workspace, settings: [
        workspace.table("items"),
        workspace.table("proposals"),
        workspace.table("vocabulary"),
        workspace.table("path_confidence"),
        workspace.table("doubts"),
        workspace.table("audit"),
        *ledgers(settings),
    ],
    writes=lambda workspace, _: [
        workspace.table("nodes"),
        workspace.table("assignments"),
        workspace.settled,
        workspace.sheet,
        workspace.not_applied,
    ],
    run=_settle,
    says=("items", "labelled", "set_aside", "accepted", "open", "rows_to_review"),
)


def write_formats(
    workspace: Workspace,
    settings: BuildSettings,
    formats: list[str],
    licence: str = "",
    copy_images: bool = False,
    split: WorkspaceSplit | None = None,
) -> dict[str, ExportResult]:
    """Exports the tree; returns what was written by format (see `strata_labels.export.export`).

    Args:
        workspace: of the tree.
        settings: of its build.
        formats: to write.
        licence: of the labels, in place of the tree's.
        copy_images: copy images where a format has them in place of linking them.
        split: of the workspace; None for the splits that the data came with.
    """
    hierarchy = settings.hierarchy
    items, assignments = load(workspace.folder, "items"), load(workspace.folder, "assignments")
    entities, nodes = load(workspace.folder, "entities"), load(workspace.folder, "nodes")
    about = About(
        title=hierarchy.title,
        licence=licence or hierarchy.licence,
        sources=hierarchy.sources,
        citations=hierarchy.citations,
        card=(workspace.card, workspace.picture),
    )
    check_formats({name: workspace.export / name for name in formats}, len(hierarchy.levels))
    root = settings.image_root or settings.source.image_root(settings.metadata)
    given = ExportInput(
        items,
        assignments,
        tuple(hierarchy.levels),
        settings.metadata,
        entities,
        about,
        nodes,
        picture_finder(workspace, root),
        copy_images,
        None if split is None else split.table,
    )
    split_text = "" if split is None else split.text
    written = {}
    with track(len(formats) if len(items) >= LONG_WORK else 0, "writing formats") as tracker:
        for name in formats:
            written[name] = write_format(name, workspace.export / name, given, split_text)
            tracker.advance(1)
    return written


def _export(workspace: Workspace, settings: BuildSettings) -> Counts:
    try:
        split = current_split(workspace)
    except InputError as error:  # the build goes on: what is asked for here is the tree
        warn(f"warning: {error} Exports have the splits that the data came with.")
        split = None
    written = write_formats(workspace, settings, list(settings.hierarchy.formats), split=split)
    return {name: result.counts() for name, result in written.items()}


EXPORT = Stage(
    name="export",
    does="Writing exports",
    version=4,
    reads=lambda workspace, settings: [
        workspace.table("items"),
        workspace.table("assignments"),
        workspace.table("nodes"),
        workspace.table("entities"),
        workspace.table("split"),
        workspace.card,
        workspace.picture,
        *settings.source.files(settings.metadata),
    ],
    writes=lambda workspace, _: sorted(
        path for path in workspace.export.rglob("*") if path.is_file() and not path.is_symlink()
    ),
    run=_export,
)

STAGES = (ITEMS, RESOLVE, EMBED, PROPOSE, IMAGE_ISSUES, SETTLE, SHOW, EXPORT)
