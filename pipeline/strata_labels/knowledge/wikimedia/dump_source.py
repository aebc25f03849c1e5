"""A Wikidata dump on disk as a source of answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from strata_labels.knowledge.dump_extraction import DumpExtraction
from strata_labels.knowledge.raw_entity import best_texts, commons_page
from strata_labels.knowledge.titles import page_title
from strata_labels.knowledge.wikimedia.response_store import ENTITY, NAMED, PAGE, Answer

_BATCH = 500


class DumpSource:
    """Answers the first question about titles, for all of them at once, by reading the dump.

    Args:
        dump: Wikidata's JSON dump or truthy N-Triples, plain or packed.
    """

    kinds = frozenset({PAGE})

    def __init__(self, dump: Path) -> None:
        self._dump, self._read = Path(dump), False

    def answers(self, kind: str, keys: Sequence[str]) -> Iterator[dict[str, dict[str, Answer]]]:
        """All entities that the titles need; then the titles that an item claims."""
        if self._read:
            return
        self._read = True
        pages: dict[str, Answer] = {}
        named: dict[str, list[str]] = {}
        wanted = set(keys)
        entities = DumpExtraction([self._dump], keys).run()
        while batch := list(islice(entities, _BATCH)):
            yield {ENTITY: {e["id"]: Answer(e, e.get("lastrevid")) for e in batch}}
            for entity in batch:
                if (page := commons_page(entity)) in wanted:
                    pages[page] = Answer({"page": page, "item": entity["id"]}, None)
                for title in map(page_title, best_texts(entity, "P373")):
                    if title in wanted:
                        named.setdefault(title, []).append(entity["id"])
        yield {
            PAGE: pages,
            NAMED: {title: Answer({"items": qids}, None) for title, qids in named.items()},
        }
