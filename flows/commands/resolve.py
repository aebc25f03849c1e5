"""`strata resolve`: Commons categories to Wikidata entities, from APIs or response store."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

STORE, SNAPSHOT, TITLES = "wikimedia.sqlite", "entities.jsonl.gz", "tables/titles.parquet"
_SHOWN = 10


def resolve(
    workspace: Annotated[Path, typer.Argument(help="Folder of this build, made if absent.")],
    metadata: Annotated[Path, typer.Option(help="Folder with the data set's metadata.")],
    contact: Annotated[
        str | None,
        typer.Option(
            envvar="STRATA_CONTACT",
            help="Your e-mail or web address, which Wikimedia asks of who sends many requests.",
        ),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask nobody; say what the store does not have.")
    ] = False,
    commons_api: Annotated[
        str | None, typer.Option(help="A mirror of the Commons API (its api.php).")
    ] = None,
    wikidata_api: Annotated[
        str | None, typer.Option(help="A mirror of the Wikidata API, or another Wikibase's.")
    ] = None,
    refresh_older_than: Annotated[
        str | None, typer.Option(help="Ask again for answers older than this, such as 90d.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the run's numbers here.")] = None,
) -> None:
    """Find each landmark's Wikidata entity and the classes above it; killed, it goes on."""
    from rich.console import Console

    from pipeline.errors import RetryError
    from pipeline.files import write_json, write_table
    from pipeline.knowledge.wikimedia import (
        COMMONS_API,
        TITLES_SCHEMA,
        WIKIDATA_API,
        Apis,
        Client,
        Store,
        read_age,
        resolve_titles,
        write_snapshot,
    )
    from pipeline.progress import track
    from pipeline.sources import SOURCES

    apis = Apis(commons_api or COMMONS_API, wikidata_api or WIKIDATA_API)
    since = int(time.time()) - read_age(refresh_older_than) if refresh_older_than else 0
    console = Console(stderr=True)
    client = None
    if not offline:
        client = Client(contact, apis, say=lambda text: console.print(text, markup=False))
    items = SOURCES["gldv2"].read(metadata).items
    titles = sorted(set(items["title"]))
    with Store(workspace / STORE) as store:
        resolved = resolve_titles(titles, store, apis, client, since, track)
        count = write_snapshot(workspace / SNAPSHOT, resolved.entities())
    write_table(workspace / TITLES, resolved.frame, TITLES_SCHEMA)
    numbers = {
        "titles": len(titles),
        "by_status": resolved.counts(),
        "entities": count,
        "classes": len(resolved.classes),
        "classes_beyond_the_depth_cap": resolved.cut_classes,
        "missing_titles": len(resolved.missing_titles),
        "missing_ids": len(resolved.missing_ids),
        "requests": client.requests if client else 0,
    }
    if json:
        write_json(json, numbers)
    print(f"{len(titles)} categories of {len(items)} landmarks, {numbers['requests']} requests")
    for status, number in resolved.counts().items():
        print(f"  {status:<14} {number}")
    print(f"{count} entities and classes in {workspace / SNAPSHOT} (for --entities)")
    if resolved.is_complete:
        return
    left = [title.removeprefix("Category:") for title in resolved.missing_titles]
    text = f"{len(left)} categories and {len(resolved.missing_ids)} items were never answered: "
    text += ", ".join([*left, *resolved.missing_ids][:_SHOWN])
    if client:
        raise RetryError(text)
    print(f"{text}, ...\nRun it with --contact to ask for them.")
