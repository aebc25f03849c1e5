"""Resolves Commons categories from the response store and, with a contact, from Wikimedia."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.build.settings import BuildSettings
from strata_labels.build.workspace import Workspace
from strata_labels.errors import RetryError
from strata_labels.files import sha256_of
from strata_labels.knowledge import (
    COMMONS_API,
    WIKIDATA_API,
    AnswerSource,
    Apis,
    Client,
    ResponseStore,
    resolve_titles,
    write_snapshot,
)
from strata_labels.messages import warn
from strata_labels.tables import load, save

_SHOWN = 10


@dataclass(frozen=True)
class ResolvedTitles:
    """The result of resolving a data set's categories.

    Attributes:
        titles: the table `titles`.
        numbers: counts, for people and for JSON.
        unanswered: categories and items without an answer.
    """

    titles: pd.DataFrame
    numbers: dict[str, Any]
    unanswered: list[str]

    def missing_text(self) -> str:
        """One sentence about what is missing."""
        shown = ", ".join(self.unanswered[:_SHOWN])
        more = ", ..." if len(self.unanswered) > _SHOWN else ""
        titles, ids = self.numbers["missing_titles"], self.numbers["missing_ids"]
        return f"{titles} categories and {ids} items have no answer yet: {shown}{more}"


def resolve_categories(
    workspace: Workspace,
    titles: Iterable[str],
    apis: Apis,
    client: Client | None = None,
    since: int = 0,
    sources: Iterable[AnswerSource] = (),
) -> ResolvedTitles:
    """Resolves categories from the store, and from the APIs and sources given.

    Writes the entities, classes and countries (`entities.jsonl.gz`) and the table `titles`.

    Args:
        workspace: holds the store.
        titles: Commons categories; blank ones are left out.
        apis: the APIs whose answers are used.
        client: sends requests to them; None: no network requests.
        since: answers older than this (seconds since 1970) are requested again.
        sources: further sources of answers, such as a dump.

    Raises:
        InputError: the store is another version's or damaged, or there is no API at an address.
        RetryError: a server is out of reach; what was answered is in the store.
    """
    wanted = sorted({title for title in titles if title})
    with ResponseStore(workspace.store) as store:
        resolved = resolve_titles(wanted, store, apis, client, since, list(sources))
        count = write_snapshot(workspace.answers, resolved.entities())
    save(workspace.folder, "titles", resolved.frame)
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
    return ResolvedTitles(resolved.frame, numbers, [*left, *resolved.missing_ids])


def resolve_for_build(
    workspace: Workspace, settings: BuildSettings, titles: Iterable[str]
) -> tuple[list[Path], pd.DataFrame | None]:
    """Resolves the categories of a build; without a contact, from the store alone.

    Returns:
        Snapshots of entities to read, and the table `titles`; None if there is no store.

    Raises:
        RetryError: as `resolve_categories`, or something has no answer.
    """
    files = [settings.entities] if settings.entities else []
    if not (settings.contact or workspace.store.is_file()):
        return files, None
    apis = Apis(settings.commons_api or COMMONS_API, settings.wikidata_api or WIKIDATA_API)
    if settings.contact is None:
        asked = resolve_categories(workspace, titles, apis)
        if asked.unanswered:
            text = f"{asked.missing_text()}; --contact asks for them"
            if settings.asked:  # else this would count as done, and the rest never be asked for
                raise RetryError(text)
            warn(text)
    else:
        with Client(settings.contact, apis) as client:
            asked = resolve_categories(workspace, titles, apis, client)
        if asked.unanswered:
            raise RetryError(asked.missing_text())
    return [workspace.answers, *files], asked.titles


def titles_of(workspace: Workspace) -> pd.DataFrame | None:
    """The table `titles`, if categories were resolved."""
    return load(workspace.folder, "titles") if workspace.table("titles").is_file() else None


def answers_fingerprint(workspace: Workspace, settings: BuildSettings) -> str:
    """Fingerprint of what `resolve_for_build` reads besides the user's files.

    A build with a contact ends with everything answered. A later `strata resolve` changes the files
    that the stage has left, which makes it run again.
    """
    if settings.contact or settings.asked:
        return f"asks {settings.commons_api} {settings.wikidata_api}"
    return sha256_of(workspace.store) if workspace.store.is_file() else ""
