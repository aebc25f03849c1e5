"""Answers about pages and entities: from the response store, else from the first source that knows.

A source is the APIs, a dump on disk or a SPARQL endpoint. What a source answers goes into the store
before the next batch is requested.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from strata_labels.knowledge.wikimedia.addresses import COMMONS_API, WIKIDATA_API, Apis
from strata_labels.knowledge.wikimedia.api_source import ApiSource
from strata_labels.knowledge.wikimedia.client import Client
from strata_labels.knowledge.wikimedia.response_store import (
    ENTITY,
    NAMED,
    PAGE,
    Answer,
    ResponseStore,
)
from strata_labels.progress import track

# The wikis behind these two addresses are known without a request.
_OFFICIAL = {COMMONS_API: "commonswiki", WIKIDATA_API: "wikidatawiki"}


class AnswerSource(Protocol):
    """Something that answers questions about pages or entities.

    Attributes:
        kinds: of question that it answers.
    """

    @property
    def kinds(self) -> frozenset[str]: ...

    def answers(self, kind: str, keys: Sequence[str]) -> Iterator[dict[str, dict[str, Answer]]]:
        """Batches of answers, by kind and key.

        A source may answer more than it was asked, and leave out what it does not know.
        """
        ...


class CachedAnswers:
    """Reads answers from the store; requests missing ones from the sources and stores them.

    Args:
        store: earlier answers; new ones are added to it.
        apis: the wikis whose answers are meant.
        client: requests missing answers from `apis`; None sends no requests.
        since: answers from before (seconds since 1970) are requested again.
        sources: further sources, tried before the APIs because they are local.

    Attributes:
        wikis: the wiki whose answers are meant, by kind.
        unanswered: by kind, the keys that no source answered.
    """

    def __init__(
        self,
        store: ResponseStore,
        apis: Apis,
        client: Client | None,
        since: int,
        sources: Sequence[AnswerSource] = (),
    ) -> None:
        self._store, self._client = store, client
        commons = self._wiki("--commons-api", apis.commons, "commonswiki")
        wikidata = self._wiki("--wikidata-api", apis.wikidata, "wikidatawiki")
        self.wikis = {PAGE: commons, ENTITY: wikidata, NAMED: wikidata}
        self._sources = [*sources]
        if client:
            self._sources.append(ApiSource(client, apis, store, self.wikis))
        since = since if self._sources else 0
        self._known = {kind: store.known(wiki, kind, since) for kind, wiki in self.wikis.items()}
        self.unanswered: dict[str, set[str]] = {kind: set() for kind in self.wikis}

    def _wiki(self, option: str, address: str, default: str) -> str:
        wiki = _OFFICIAL.get(address) or self._store.wiki_at(address)
        if wiki is None and self._client is not None:
            wiki = self._client.identify(option, address)
            self._store.note_wiki(address, wiki)
        return wiki or default

    def of(self, kind: str, keys: Iterable[str], what: str) -> Iterator[tuple[str, Answer]]:
        """The answers to `keys`, in their order; keys without an answer are left out.

        Args:
            kind: `PAGE`, `ENTITY` or `NAMED`.
            keys: titles or ids.
            what: the keys in the plural, for the progress bar.
        """
        keys = list(dict.fromkeys(keys))
        for source in self._sources:
            unknown = self._unknown(kind, keys)
            if unknown and kind in source.kinds:
                self._request(source, kind, unknown, what)
        if kind != NAMED or any(kind in source.kinds for source in self._sources):
            self.unanswered[kind].update(self._unknown(kind, keys))
        yield from self._store.get(self.wikis[kind], kind, keys)

    def _unknown(self, kind: str, keys: Sequence[str]) -> list[str]:
        return [key for key in keys if key not in self._known[kind]]

    def _request(self, source: AnswerSource, kind: str, keys: Sequence[str], what: str) -> None:
        requested = set(keys)
        with track(len(keys), what) as tracker:
            for batch in source.answers(kind, keys):
                for kind_of, answers in batch.items():
                    self._store.put(self.wikis[kind_of], kind_of, answers)
                    self._known[kind_of] |= answers.keys()
                tracker.advance(len(requested & batch.get(kind, {}).keys()))
