"""`strata resolve`: Commons categories to Wikidata entities, from APIs or response store."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from strata_labels.cli.options import OwnWorkspace, ResultFile, write_result
from strata_labels.errors import InputError, Problem, RetryError


def resolve(
    folder: OwnWorkspace,
    metadata: Annotated[Path, typer.Option(help="Folder with the data set's metadata.")],
    contact: Annotated[
        str | None,
        typer.Option(
            envvar="STRATA_CONTACT",
            help="Your e-mail or web address, sent to Wikimedia with every request.",
        ),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Send no requests; report what the store lacks.")
    ] = False,
    commons_api: Annotated[
        str | None, typer.Option(help="A mirror of the Commons API (its api.php).")
    ] = None,
    wikidata_api: Annotated[
        str | None, typer.Option(help="A mirror of the Wikidata API, or another Wikibase's.")
    ] = None,
    refresh_older_than: Annotated[
        str | None,
        typer.Option(help="Request answers again that are older than this, such as 90d."),
    ] = None,
    dump: Annotated[
        Path | None,
        typer.Option(
            help="Wikidata's JSON dump or truthy N-Triples, read before any request is sent."
        ),
    ] = None,
    sparql: Annotated[
        str | None,
        typer.Option(
            help="A SPARQL endpoint of your own that finds the items that name a category."
        ),
    ] = None,
    tree: Annotated[
        str | None, typer.Option(help="The tree whose vocabulary the classes should reach.")
    ] = None,
    json: ResultFile = None,
) -> None:
    """Look the items up on Wikimedia Commons and Wikidata.

    Finds each item's entity and the classes above it; resumes if it was stopped.
    """
    from strata_labels.build import Workspace, report_classes, resolve_categories, settings_of
    from strata_labels.hierarchy import load_hierarchy, tree_with_vocabulary
    from strata_labels.knowledge import (
        COMMONS_API,
        WIKIDATA_API,
        AnswerSource,
        Apis,
        Client,
        DumpSource,
        SparqlSource,
        check_endpoint,
        read_age,
    )
    from strata_labels.settings import BuildOptions
    from strata_labels.sources import SOURCES

    workspace = Workspace(folder.resolve())
    apis = Apis(commons_api or COMMONS_API, wikidata_api or WIKIDATA_API)
    since = int(time.time()) - read_age(refresh_older_than) if refresh_older_than else 0
    tree = tree or tree_with_vocabulary()
    hierarchy = load_hierarchy(tree)
    if offline and sparql:
        raise InputError(Problem("--sparql", "cannot be asked --offline", "Leave one of them out."))
    if dump and not dump.is_file():
        raise InputError(Problem("--dump", "not found:", "Check the path.", value=str(dump)))
    client = None
    if not offline and (contact or not dump):
        client = Client(contact, apis)
    sources: list[AnswerSource] = [DumpSource(dump)] if dump else []
    if sparql:
        asking = client or Client(contact, apis)
        sources.append(SparqlSource(asking, check_endpoint(sparql)))
    items = SOURCES[hierarchy.source].read(metadata, hierarchy.levels).items
    asked = resolve_categories(workspace, items["title"], apis, client, since, sources)
    settings = settings_of(tree, workspace.folder, metadata.resolve(), BuildOptions())
    numbers = {**asked.numbers, "reconciliation": report_classes(workspace, settings, items, asked)}
    write_result(json, numbers)
    print(
        f"{numbers['titles']} categories of {len(items)} landmarks, {numbers['requests']} requests"
    )
    for status, number in numbers["by_status"].items():
        print(f"  {status:<14} {number}")
    print("\n".join(_lines(numbers["reconciliation"])))
    print(f"{numbers['entities']} entities and classes in {workspace.answers} (for --entities)")
    print(f"numbers in {workspace.reconciliation}, classes to map in {workspace.to_map}")
    if not asked.unanswered:
        return
    if client:
        raise RetryError(asked.missing_text())
    print(f"{asked.missing_text()}\nRun it with --contact to ask for them.")


def _lines(numbers: dict[str, Any]) -> list[str]:
    """What is known of the landmarks, for people."""
    total = max(1, numbers["items"])
    parts = {
        "with coordinates": numbers["with_coordinates"],
        "with a country": numbers["with_country"],
        "whose classes reach a node": numbers["classes_lead"].get("reached", 0),
        "whose classes are to be mapped": numbers["items_of_classes_to_map"],
    }
    return [
        f"  {100 * number / total:5.1f} % of landmarks {what}" for what, number in parts.items()
    ]
