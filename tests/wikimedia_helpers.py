"""Asking the local APIs with a client that does not wait long."""

from __future__ import annotations

from typing import Any

from mediawiki import MediaWiki
from strata_labels.knowledge import (
    Apis,
    Client,
    ResponseStore,
    resolve_titles,
)
from strata_labels.knowledge.wikimedia.category_resolution import Resolved
from strata_labels.retry import RetryPolicy

QUICK = RetryPolicy(
    attempts=40,
    first_wait=0.001,
    longest_wait=0.01,
    longest_retry_after=3600.0,
    timeout=(2.0, 0.5),
)
CONTACT = "operator@institute.example"


def client_of(wiki: MediaWiki, policy: RetryPolicy = QUICK) -> Client:
    return Client(CONTACT, Apis(wiki.commons, wiki.wikidata), policy)


def is_complete(resolved: Resolved) -> bool:
    return not resolved.missing_titles and not resolved.missing_ids


def ask(wiki: MediaWiki, store: ResponseStore, titles: list[str], **options: Any) -> Resolved:
    with client_of(wiki) as client:
        return resolve_titles(titles, store, client.apis, client, **options)
