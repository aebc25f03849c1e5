"""Asking the local APIs with a client that does not wait long."""

from __future__ import annotations

from typing import Any

from mediawiki import MediaWiki
from strata_labels.knowledge.wikimedia import (
    Apis,
    Client,
    Patience,
    Resolved,
    Store,
    resolve_titles,
)

QUICK = Patience(
    attempts=40,
    first_wait=0.001,
    longest_wait=0.02,
    timeout=(2.0, 0.5),
    slowest=0.01,
)
CONTACT = "operator@institute.example"


def client_of(wiki: MediaWiki, patience: Patience = QUICK) -> Client:
    return Client(CONTACT, Apis(wiki.commons, wiki.wikidata), patience)


def ask(wiki: MediaWiki, store: Store, titles: list[str], **options: Any) -> Resolved:
    with client_of(wiki) as client:
        return resolve_titles(titles, store, client.apis, client, **options)
