"""What the response store and, where somebody says who asks, Wikimedia know of the categories."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.build.settings import BuildSettings
from strata_labels.build.workspace import Workspace
from strata_labels.errors import RetryError
from strata_labels.files import sha256_of, write_table
from strata_labels.knowledge import (
    COMMONS_API,
    TITLES_SCHEMA,
    WIKIDATA_API,
    AnswerSource,
    Apis,
    Client,
    ResponseStore,
    resolve_titles,
    write_snapshot,
)
from strata_labels.tables import load

_SHOWN = 10


@dataclass(frozen=True)
class Asked:
    """What became of a data set's categories.

    Attributes:
        titles: the table `titles`: `TITLES_SCHEMA`.
        numbers: counts, for people and for JSON.
        unanswered: categories and items that nobody answered.
    """

    titles: pd.DataFrame
    numbers: dict[str, Any]
    unanswered: list[str]

    def in_words(self) -> str:
        """What is missing, for people."""
        shown = ", ".join(self.unanswered[:_SHOWN])
        more = ", ..." if len(self.unanswered) > _SHOWN else ""
        titles, ids = self.numbers["missing_titles"], self.numbers["missing_ids"]
        return f"{titles} categories and {ids} items were never answered: {shown}{more}"


def ask_wikimedia(
    place: Workspace,
    titles: Iterable[str],
    apis: Apis,
    client: Client | None = None,
    since: int = 0,
    sources: Iterable[AnswerSource] = (),
) -> Asked:
    """Resolves categories from the store, and from whoever else can be asked.

    Writes the entities, classes and countries (`entities.jsonl.gz`) and the table `titles`.

    Args:
        place: holds the store.
        titles: Commons categories; blank ones are left out.
        apis: whose answers are meant.
        client: asks them; None asks nobody.
        since: answers from before (seconds since 1970) are asked for again.
        sources: who is asked besides.

    Raises:
        InputError: the store is another version's or damaged, or there is no API at an address.
        RetryError: a server is out of reach; what was answered is in the store.
    """
    wanted = sorted({title for title in titles if title})
    with ResponseStore(place.store) as store:
        resolved = resolve_titles(wanted, store, apis, client, since, list(sources))
        count = write_snapshot(place.answers, resolved.entities())
    write_table(place.table("titles"), resolved.frame, TITLES_SCHEMA)
    numbers = {
        "titles": len(wanted),
        "by_status": resolved.counts(),
        "entities": count,
        "classes": len(resolved.classes),
        "classes_beyond_the_depth_cap": resolved.cut_classes,
        "missing_titles": len(resolved.missing_titles),
        "missing_ids": len(resolved.missing_ids),
        "requests": client.requests if client else 0,
    }
    left = [title.removeprefix("Category:") for title in resolved.missing_titles]
    return Asked(resolved.frame, numbers, [*left, *resolved.missing_ids])


def ask_for_build(
    place: Workspace, settings: BuildSettings, titles: Iterable[str]
) -> tuple[list[Path], pd.DataFrame | None]:
    """What a build knows of the categories: snapshots to read, and the table `titles`, if any.

    Without a contact nobody is asked: the store and `--entities` are what is known.

    Raises:
        RetryError: as `ask_wikimedia`, or something was never answered.
    """
    given = Path(settings.entities) if settings.entities else None
    files = [given] if given else []
    if not (settings.contact or place.store.is_file()):
        return files, None
    apis = Apis(settings.commons_api or COMMONS_API, settings.wikidata_api or WIKIDATA_API)
    if settings.contact is None:
        asked = ask_wikimedia(place, titles, apis)
        if asked.unanswered:
            print(f"{asked.in_words()}; --contact asks for them", file=sys.stderr)
    else:
        with Client(settings.contact, apis) as client:
            asked = ask_wikimedia(place, titles, apis, client)
        if asked.unanswered:
            raise RetryError(asked.in_words())
    return [place.answers, *files], asked.titles


def titles_of(place: Workspace) -> pd.DataFrame | None:
    """The table `titles`, where somebody was asked."""
    return load(place.folder, "titles") if place.table("titles").is_file() else None


def asked_of(place: Workspace, settings: BuildSettings) -> str:
    """Fingerprint of what `ask_for_build` looks at besides files of a person's own.

    With a contact all is answered when it is done, and what a later `strata resolve` brings shows
    in the files that it writes.
    """
    if settings.contact or settings.asked:
        return f"asks {settings.commons_api} {settings.wikidata_api}"
    return sha256_of(place.store) if place.store.is_file() else ""
