"""The APIs of Commons and Wikidata as a source of answers, in batches of 50."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence

from strata_labels.errors import InputError, Problem
from strata_labels.knowledge.raw_entity import is_item_id, reduce
from strata_labels.knowledge.wikimedia import category_pages
from strata_labels.knowledge.wikimedia.addresses import Apis
from strata_labels.knowledge.wikimedia.client import BATCH, ApiError, Client
from strata_labels.knowledge.wikimedia.response_store import ENTITY, PAGE, Answer, ResponseStore

_MOST_OMISSIONS = 12


class ApiSource:
    """Answers about pages from Commons and about entities from Wikidata.

    Args:
        client: sends the requests.
        apis: the addresses.
        store: knows which pages existed earlier.
        wikis: the name of the wiki that answers, by kind.
    """

    kinds = frozenset({PAGE, ENTITY})

    def __init__(
        self, client: Client, apis: Apis, store: ResponseStore, wikis: Mapping[str, str]
    ) -> None:
        self._client, self._apis, self._store, self._wikis = client, apis, store, wikis

    def answers(self, kind: str, keys: Sequence[str]) -> Iterator[dict[str, dict[str, Answer]]]:
        """A batch at a time; a key that many answers leave out is given up."""
        request = {PAGE: self._pages, ENTITY: self._entities}[kind]
        pending, left_out = deque(keys), Counter[str]()
        while pending:
            batch = [pending.popleft() for _ in range(min(BATCH, len(pending)))]
            answers = request(batch)
            yield {kind: answers}
            # Servers under load leave items out of a batch; they are requested again.
            left_out.update(again := [key for key in batch if key not in answers])
            pending.extend(key for key in again if left_out[key] < _MOST_OMISSIONS)

    def _pages(self, titles: Sequence[str]) -> dict[str, Answer]:
        parts = self._client.query(self._apis.commons, category_pages.page_request(titles))
        answers = category_pages.read_answer(parts, titles)
        missing = [title for title, stored in answers.items() if "missing" in stored.body]
        for title, before in self._store.get(self._wikis[PAGE], PAGE, missing):
            # The API reports a deleted page like one that never existed; the store may know better.
            if "missing" not in before.body or "existed" in before.body:
                answers[title].body["existed"] = True
        return answers

    def _entities(self, ids: Sequence[str]) -> dict[str, Answer]:
        params = {
            "action": "wbgetentities",
            "ids": "|".join(ids),
            "props": "info|labels|aliases|claims|sitelinks",
            "sitefilter": "commonswiki",
        }
        try:
            answer = self._client.get(self._apis.wikidata, params)
        except ApiError as error:
            return self._without(ids, error)
        entities = answer.get("entities")
        answers: dict[str, Answer] = {}
        for key, raw in entities.items() if isinstance(entities, dict) else ():
            if not isinstance(raw, dict) or not is_item_id(raw.get("id", key)):
                continue
            found = raw["id"] = str(raw.get("id", key))
            requested = str((raw.get("redirects") or {}).get("from", key))
            if "missing" in raw:
                answers[found] = Answer({"missing": True}, None)
                continue
            entity = reduce(raw)
            answers[found] = Answer(entity, entity.get("lastrevid"))
            if requested != found and is_item_id(requested):
                answers[requested] = Answer({"redirect": found}, None)
        return answers

    def _without(self, ids: Sequence[str], error: ApiError) -> dict[str, Answer]:
        """The answers to a batch refused because of one id: without that id, or in halves."""
        if error.code in ("badvalue", "unknown_action"):
            fix = "Give the api.php of Wikidata, a mirror, or another Wikibase."
            what = f"no Wikibase answers there ({error})"
            raise InputError(Problem("--wikidata-api", what, fix)) from None
        if error.code != "no-such-entity":
            raise error
        named = str(error.error.get("id", ""))
        bad = [named] if named in ids else list(ids) if len(ids) == 1 else []
        rest = [qid for qid in ids if qid not in bad]
        answers = {qid: Answer({"missing": True}, None) for qid in bad}
        parts = [rest] if bad else [rest[: len(rest) // 2], rest[len(rest) // 2 :]]
        for part in parts:
            if part:
                answers |= self._entities(part)
        return answers
