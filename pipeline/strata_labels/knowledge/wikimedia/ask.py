"""What is not in the store is asked of the sources, in turn, until one has answered it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from strata_labels.knowledge.wikimedia.address import COMMONS_API, WIKIDATA_API, Apis
from strata_labels.knowledge.wikimedia.apis import ApiSource
from strata_labels.knowledge.wikimedia.client import Client
from strata_labels.knowledge.wikimedia.store import ENTITY, NAMED, PAGE, Store, Stored

# What these two addresses answer for is known without asking.
_OFFICIAL = {COMMONS_API: "commonswiki", WIKIDATA_API: "wikidatawiki"}

Track = Callable[[int, str], AbstractContextManager[Callable[[int], None]]]


@contextmanager
def untracked(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Shows no progress."""
    yield lambda done: None


class Source(Protocol):
    """Whoever can answer: the APIs, a dump on disk, a SPARQL endpoint.

    Attributes:
        kinds: of question that it answers.
    """

    @property
    def kinds(self) -> frozenset[str]: ...

    def answers(self, kind: str, keys: Sequence[str]) -> Iterator[dict[str, dict[str, Stored]]]:
        """Batches of answers, by kind and key; each is in the store before the next is asked for.

        A source may answer more than it was asked, and leave out what it does not know.
        """
        ...


class Answers:
    """The store, and behind it the sources.

    Args:
        store: what was answered before, and where new answers go.
        apis: which wikis' answers are meant.
        client: asks these for what is not there; None to leave them alone.
        sources: who is asked besides: before the APIs, since they are nearer.
        since: answers from before (seconds since 1970) are asked for again.
        track: shows progress.

    Attributes:
        wikis: the wiki whose answers are meant, by kind.
        unanswered: by kind, what nobody answered who could have.
    """

    def __init__(
        self,
        store: Store,
        apis: Apis,
        client: Client | None,
        since: int,
        track: Track,
        sources: Sequence[Source] = (),
    ) -> None:
        self._store, self._client, self._track = store, client, track
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

    def of(self, kind: str, keys: Iterable[str], what: str) -> Iterator[tuple[str, Stored]]:
        """The answers to `keys`, asked for where they are not there."""
        keys = list(dict.fromkeys(keys))
        for source in self._sources:
            unknown = self._unknown(kind, keys)
            if unknown and kind in source.kinds:
                self._ask(source, kind, unknown, what)
        if kind != NAMED or any(kind in source.kinds for source in self._sources):
            self.unanswered[kind].update(self._unknown(kind, keys))
        yield from self._store.get(self.wikis[kind], kind, keys)

    def _unknown(self, kind: str, keys: Sequence[str]) -> list[str]:
        return [key for key in keys if key not in self._known[kind]]

    def _ask(self, source: Source, kind: str, keys: Sequence[str], what: str) -> None:
        asked = set(keys)
        with self._track(len(keys), what) as advance:
            for batch in source.answers(kind, keys):
                for kind_of, answers in batch.items():
                    self._store.put(self.wikis[kind_of], kind_of, answers)
                    self._known[kind_of] |= answers.keys()
                advance(len(asked & batch.get(kind, {}).keys()))
