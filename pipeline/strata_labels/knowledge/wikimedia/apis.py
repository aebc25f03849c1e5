"""The APIs as a source: full batches, asked again for what a server left out."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence

from strata_labels.errors import InputError, Problem
from strata_labels.knowledge.entity import is_item_id, reduce
from strata_labels.knowledge.wikimedia import pages
from strata_labels.knowledge.wikimedia.address import Apis
from strata_labels.knowledge.wikimedia.client import BATCH, ApiError, Client
from strata_labels.knowledge.wikimedia.store import ENTITY, PAGE, Store, Stored

_LEFT_OUT_AT_MOST = 12


class ApiSource:
    """Commons on pages, Wikidata on entities, as their action APIs answer.

    Args:
        client: asks.
        apis: whom.
        store: remembers which pages were there once.
        wikis: the wiki that answers for a kind, by its lasting name.
    """

    kinds = frozenset({PAGE, ENTITY})

    def __init__(self, client: Client, apis: Apis, store: Store, wikis: Mapping[str, str]) -> None:
        self._client, self._apis, self._store, self._wikis = client, apis, store, wikis

    def answers(self, kind: str, keys: Sequence[str]) -> Iterator[dict[str, dict[str, Stored]]]:
        """A batch at a time; an id that every answer leaves out is given up in the end."""
        ask = {PAGE: self._ask_pages, ENTITY: self._ask_entities}[kind]
        waiting, left_out = deque(keys), Counter[str]()
        while waiting:
            batch = [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]
            answers = ask(batch)
            yield {kind: answers}
            # Servers under load leave items out of a batch; they are asked for again.
            left_out.update(again := [key for key in batch if key not in answers])
            waiting.extend(key for key in again if left_out[key] < _LEFT_OUT_AT_MOST)

    def _ask_pages(self, titles: Sequence[str]) -> dict[str, Stored]:
        parts = self._client.query(self._apis.commons, pages.question(titles))
        answers = pages.read_answer(parts, titles)
        missing = [title for title, stored in answers.items() if "missing" in stored.body]
        for title, before in self._store.get(self._wikis[PAGE], PAGE, missing):
            # The API does not tell a deleted page from one that never was; the store may.
            if "missing" not in before.body or "existed" in before.body:
                answers[title].body["existed"] = True
        return answers

    def _ask_entities(self, ids: Sequence[str]) -> dict[str, Stored]:
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
