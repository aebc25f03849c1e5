"""What is not in the store is asked for, in full batches, until it has been answered."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from pipeline.errors import InputError, Problem
from pipeline.knowledge.entity import is_item_id, reduce
from pipeline.knowledge.wikimedia import pages
from pipeline.knowledge.wikimedia.address import COMMONS_API, WIKIDATA_API, Apis
from pipeline.knowledge.wikimedia.client import BATCH, ApiError, Client
from pipeline.knowledge.wikimedia.store import ENTITY, PAGE, Store, Stored

# What these two addresses answer for is known without asking.
_OFFICIAL = {COMMONS_API: "commonswiki", WIKIDATA_API: "wikidatawiki"}
_LEFT_OUT_AT_MOST = 12

Track = Callable[[int, str], AbstractContextManager[Callable[[int], None]]]


@contextmanager
def untracked(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Shows no progress."""
    yield lambda done: None


class Answers:
    """The store, and behind it the APIs.

    Args:
        store: what was answered before, and where new answers go.
        apis: which wikis' answers are meant.
        client: asks for what is not there; None to ask nothing.
        since: answers from before (seconds since 1970) are asked for again.
        track: shows progress.

    Attributes:
        unanswered: by kind, what nobody answered.
    """

    def __init__(
        self, store: Store, apis: Apis, client: Client | None, since: int, track: Track
    ) -> None:
        self._store, self._apis, self._client, self._track = store, apis, client, track
        self.wikis = {
            PAGE: self._wiki("--commons-api", apis.commons, "commonswiki"),
            ENTITY: self._wiki("--wikidata-api", apis.wikidata, "wikidatawiki"),
        }
        since = since if client else 0
        self._known = {kind: store.known(wiki, kind, since) for kind, wiki in self.wikis.items()}
        self.unanswered: dict[str, set[str]] = {PAGE: set(), ENTITY: set()}

    def _wiki(self, option: str, address: str, default: str) -> str:
        wiki = _OFFICIAL.get(address) or self._store.wiki_at(address)
        if wiki is None and self._client is not None:
            wiki = self._client.identify(option, address)
            self._store.note_wiki(address, wiki)
        return wiki or default

    def of(self, kind: str, keys: Iterable[str], what: str) -> Iterator[tuple[str, Stored]]:
        """The answers to `keys`, asked for where they are not there."""
        keys = list(dict.fromkeys(keys))
        unknown = [key for key in keys if key not in self._known[kind]]
        if self._client is None:
            self.unanswered[kind].update(unknown)
        elif unknown:
            self._fetch(kind, unknown, what)
        yield from self._store.get(self.wikis[kind], kind, keys)

    def _fetch(self, kind: str, keys: Sequence[str], what: str) -> None:
        ask = {PAGE: self._ask_pages, ENTITY: self._ask_entities}[kind]
        waiting, left_out = deque(keys), Counter[str]()
        with self._track(len(keys), what) as advance:
            while waiting:
                batch = [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]
                answers = ask(batch)
                self._store.put(self.wikis[kind], kind, answers)
                self._known[kind] |= answers.keys()
                # Servers under load leave items out of a batch; they are asked for again.
                left_out.update(again := [key for key in batch if key not in answers])
                gone = {key for key in again if left_out[key] >= _LEFT_OUT_AT_MOST}
                waiting.extend(key for key in again if key not in gone)
                self.unanswered[kind] |= gone
                advance(len(batch) - len(again))

    def _ask_pages(self, titles: Sequence[str]) -> dict[str, Stored]:
        assert self._client is not None
        parts = self._client.query(self._apis.commons, pages.question(titles))
        answers = pages.read_answer(parts, titles)
        missing = [title for title, stored in answers.items() if "missing" in stored.body]
        for title, before in self._store.get(self.wikis[PAGE], PAGE, missing):
            # The API does not tell a deleted page from one that never was; the store may.
            if "missing" not in before.body or "existed" in before.body:
                answers[title].body["existed"] = True
        return answers

    def _ask_entities(self, ids: Sequence[str]) -> dict[str, Stored]:
        assert self._client is not None
        params = {
            "action": "wbgetentities",
            "ids": "|".join(ids),
            "props": "info|labels|aliases|claims|sitelinks",
            "sitefilter": "commonswiki",
        }
        try:
            answer = self._client.ask(self._apis.wikidata, params)
        except ApiError as error:
            return self._without(ids, error)
        entities = answer.get("entities")
        answers: dict[str, Stored] = {}
        for key, raw in entities.items() if isinstance(entities, dict) else ():
            if not isinstance(raw, dict) or not is_item_id(raw.get("id", key)):
                continue
            found = raw["id"] = str(raw.get("id", key))
            asked = str((raw.get("redirects") or {}).get("from", key))
            if "missing" in raw:
                answers[found] = Stored({"missing": True}, None)
                continue
            entity = reduce(raw)
            answers[found] = Stored(entity, entity.get("lastrevid"))
            if asked != found and is_item_id(asked):
                answers[asked] = Stored({"redirect": found}, None)
        return answers

    def _without(self, ids: Sequence[str], error: ApiError) -> dict[str, Stored]:
        """Answers a batch that the API refused for one of its ids: without it, or in halves."""
        if error.code in ("badvalue", "unknown_action"):
            fix = "Give the api.php of Wikidata, a mirror, or another Wikibase."
            what = f"no Wikibase answers there ({error})"
            raise InputError(Problem("--wikidata-api", what, fix)) from None
        if error.code != "no-such-entity":
            raise error
        named = str(error.error.get("id", ""))
        bad = [named] if named in ids else list(ids) if len(ids) == 1 else []
        rest = [qid for qid in ids if qid not in bad]
        answers = {qid: Stored({"missing": True}, None) for qid in bad}
        parts = [rest] if bad else [rest[: len(rest) // 2], rest[len(rest) // 2 :]]
        for part in parts:
            if part:
                answers |= self._ask_entities(part)
        return answers
