"""Finds in Wikidata files the items of given Commons categories, and the classes above the items.

The first pass finds the items of the categories (sitelink or P373) and records every P279 edge, 16
bytes each. Later passes read what is known to be wanted by then: the topics of category items
(P301, or P910 of the topic), and all classes above the items.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from strata_labels.knowledge.raw_entity import (
    CATEGORY_ITEM,
    RawEntity,
    best_items,
    best_texts,
    commons_page,
)
from strata_labels.knowledge.titles import page_title
from strata_labels.knowledge.wikidata_file import Record, WikidataFile


class DumpExtraction:
    """The part of Wikidata files that some categories need.

    Memory grows with the P279 edges and the number of wanted items, not with the files.

    Args:
        paths: of several files the first that has an item counts; the largest should be the last.
        titles: Commons categories, with or without prefix.
        ids: items wanted besides.
        classes: classes wanted besides those of the items.

    Attributes:
        items: numbers of the items of the titles, their topics, and those wanted by id.
        parents: by number, the P279 parents of every class that is wanted and in the files.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        titles: Iterable[str],
        ids: Iterable[str] = (),
        classes: Iterable[str] = (),
    ) -> None:
        self._files = [WikidataFile(path) for path in paths]
        self._titles = {page_title(title) for title in titles}
        self._start = {int(qid[1:]) for qid in classes}  # classes to climb from
        self.items = {int(qid[1:]) for qid in ids}
        self._wanted = self.items | self._start
        self._found: set[int] = set()
        self._categories: set[int] = set()
        self._edges = array("q")  # class, parent, class, parent, ...
        self._topics = array("q")  # category item, topic (P910), ...
        self.parents: dict[int, tuple[int, ...]] = {}

    def run(self) -> Iterator[RawEntity]:
        """Yields each wanted entity once, reduced, in no particular order.

        Raises:
            InputError: a file that cannot be read, is damaged or cut short.
        """
        searched: set[int] = set()
        first = True
        while first or self._wanted - self._found - searched:
            searched |= self._wanted
            yield from self._pass(first)
            first = False
            pairs = zip(self._topics[::2], self._topics[1::2], strict=True)
            topics = {topic for category, topic in pairs if category in self._categories}
            self.items |= topics
            self.parents = self._closure()
            self._wanted |= topics | self.parents.keys()

    def _pass(self, first: bool) -> Iterator[RawEntity]:
        in_earlier_files: set[int] = set()
        for file in self._files:
            marks = file.marks("P279", "P373", "P910", "commonswiki") if first else ()
            here, found_here = array("q"), set[int]()
            for record in file.records():
                number = record.number
                if number in in_earlier_files:
                    continue
                if file is not self._files[-1]:
                    here.append(number)
                if number in found_here and file.has_triples:
                    file.add_problem(record, "the triples of an item do not stand together:")
                wanted = number in self._wanted and number not in self._found
                if not wanted and not any(mark in record.text for mark in marks):
                    continue
                entity = file.parse(record)
                if entity is None:
                    continue
                if first:
                    wanted = self._note_links(record, entity) or wanted
                if wanted and number not in self._found:
                    self._take(number, entity)
                    found_here.add(number)
                    yield entity
            in_earlier_files.update(here)

    def _note_links(self, record: Record, entity: RawEntity) -> bool:
        """Records the edges of an entity; says whether it belongs to a wanted title."""
        for parent in best_items(entity, "P279"):
            self._edges.extend((record.number, int(parent[1:])))
        for category in best_items(entity, "P910"):
            self._topics.extend((int(category[1:]), record.number))
        claimed = [commons_page(entity), *map(page_title, best_texts(entity, "P373"))]
        if self._titles.isdisjoint(claimed):
            return False
        self.items.add(record.number)
        return True

    def _take(self, number: int, entity: RawEntity) -> None:
        self._found.add(number)
        if number not in self.items:
            return
        classes, topics = _numbers(entity, "P31"), _numbers(entity, "P301")
        self.items |= topics
        self._wanted |= topics
        if int(CATEGORY_ITEM[1:]) in classes:
            self._categories.add(number)
        else:
            self._start |= classes
            self._wanted |= _numbers(entity, "P17")

    def _closure(self) -> dict[int, tuple[int, ...]]:
        """The classes of the items found and all classes above them, with their parents."""
        edges = np.frombuffer(self._edges, dtype=np.int64).reshape(-1, 2)
        edges = edges[np.argsort(edges[:, 0], kind="stable")]
        children, parents = edges[:, 0], edges[:, 1]
        reached: dict[int, tuple[int, ...]] = {}
        level = np.array(sorted(self._start), dtype=np.int64)
        while len(level):
            starts = np.searchsorted(children, level, "left")
            ends = np.searchsorted(children, level, "right")
            above: set[int] = set()
            for number, start, end in zip(level.tolist(), starts, ends, strict=True):
                reached[number] = tuple(parents[start:end].tolist())
                above.update(reached[number])
            level = np.array(sorted(above - reached.keys()), dtype=np.int64)
        return reached


def _numbers(entity: RawEntity, name: str) -> set[int]:
    return {int(qid[1:]) for qid in best_items(entity, name)}
