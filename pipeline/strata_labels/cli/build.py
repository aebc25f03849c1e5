"""`strata build`: the whole way, from metadata to a reviewed tree."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from strata_labels.cli.result import finish
from strata_labels.errors import InputError, Problem


def build(
    tree: Annotated[str, typer.Argument(help="A shipped tree, or a folder with hierarchy.toml.")],
    workspace: Annotated[Path, typer.Argument(help="Folder of this build, made if absent.")],
    metadata: Annotated[
        Path | None, typer.Option(help="Folder with the data set's metadata.")
    ] = None,
    items: Annotated[
        Path | None, typer.Option(help="A table of your own: id, name, image, and its labels.")
    ] = None,
    levels: Annotated[
        str | None, typer.Option(help="Which of the tree's levels: full, base or deep.")
    ] = None,
    entities: Annotated[
        Path | None, typer.Option(help="Wikidata snapshot: JSON lines or dump, .gz or .bz2 too.")
    ] = None,
    known_labels: Annotated[
        Path | None, typer.Option(help="Labels of some items, evidence for the others.")
    ] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(help="A vocabulary in place of the tree's own.")
    ] = None,
    clusters: Annotated[
        int | None,
        typer.Option(min=2, help="No vocabulary: cluster into this many level-2 nodes."),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="registry, MODEL/TAG, MODEL/CHECKPOINT or local-dir:DIR.")
    ] = None,
    decisions: Annotated[
        Path | None, typer.Option(help="The ledger [default: WORKSPACE/decisions.csv].")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Root of the images: paths below it, or a/b/c/abc....jpg.")
    ] = None,
    images_per_landmark: Annotated[
        int | None, typer.Option(min=1, help="Images averaged into one vector [default: 8].")
    ] = None,
    contact: Annotated[
        str | None,
        typer.Option(help="Your address: Wikimedia is asked what is not known [default: nobody]."),
    ] = None,
    commons_api: Annotated[str | None, typer.Option(help="A mirror of the Commons API.")] = None,
    wikidata_api: Annotated[
        str | None, typer.Option(help="A mirror of the Wikidata API, or another Wikibase's.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the run's numbers here.")] = None,
) -> None:
    """Build a label tree: tables, tree, exports and the review sheet."""
    from strata_labels.build import BuildSettings, Workspace, as_parameters, check_inputs
    from strata_labels.hierarchy import known_trees, load_hierarchy
    from strata_labels.knowledge import COMMONS_API, WIKIDATA_API, Apis, check_contact
    from strata_labels.orchestration.direct import build_directly, is_quick
    from strata_labels.orchestration.local import prepare

    Apis(commons_api or COMMONS_API, wikidata_api or WIKIDATA_API)
    given = metadata or items
    if given is None or (metadata and items):
        fix = "Give --metadata FOLDER, or --items TABLE for a table of your own."
        raise InputError(Problem("--metadata, --items", "one of the two is needed", fix))
    hierarchy = load_hierarchy(tree, levels)
    place = Workspace(workspace.resolve())
    settings = BuildSettings(
        tree=tree if tree in known_trees() else str(Path(tree).resolve()),
        metadata=str(given.resolve()),
        decisions=str((decisions or place.ledger).resolve()),
        encoder=encoder or hierarchy.encoder,
        entities=_absolute(entities),
        known_labels=_absolute(known_labels),
        vocabulary=_absolute(vocabulary),
        clusters=clusters,
        images=_absolute(images),
        images_per_landmark=images_per_landmark or hierarchy.images_per_landmark,
        contact=check_contact(contact) if contact is not None else None,
        commons_api=commons_api,
        wikidata_api=wikidata_api,
        levels=levels,
    )
    check_inputs(settings)
    first = not place.record.exists()
    place.folder.mkdir(parents=True, exist_ok=True)

    try:
        if is_quick(settings):
            for line in build_directly(place, settings):
                print(line, flush=True)
        else:
            prepare(place.folder)
            from strata_labels.orchestration.flow import build as build_flow

            flow = build_flow.with_options(name=hierarchy.tree)
            flow(str(place.folder), as_parameters(settings))
    except InputError:
        if first:  # what only a stage could find wrong: leave no tables of a build that is none
            shutil.rmtree(place.tables, ignore_errors=True)
        raise
    finish(place, json)


def _absolute(path: Path | None) -> str | None:
    return str(path.resolve()) if path else None
