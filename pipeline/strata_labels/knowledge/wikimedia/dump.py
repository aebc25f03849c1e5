"""From a dump of all of Wikidata to the snapshot that a data set needs.

The first pass finds the items of the wanted categories (sitelink or P373) and keeps every P279
edge, 16 bytes each; the second finds what category items are about, and all classes above the
items. A further one is made only where topics bring classes of their own that had passed by.
"""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from strata_labels.errors import InputError, Problem
from strata_labels.knowledge.entity import (
    CATEGORY_ITEM,
    Entity,
    best_items,
    best_texts,
    is_item_id,
)
from strata_labels.knowledge.titles import page_title
from strata_labels.knowledge.wikimedia.dump_forms import DAMAGED, Form, Record, damaged, form_of
from strata_labels.knowledge.wikimedia.response_store import (
    ENTITY,
    NAMED,
    PAGE,
    Answer,
    write_snapshot,
)

_PASSES_AT_MOST = 4
_AT_ONCE = 500


@dataclass(frozen=True)
class Extracted:
    """What was taken out of a dump.

    Attributes:
        entities: entities in the snapshot.
        passes: how often the dump was read.
        missing_ids: items that were wanted, or that others name, and that the dump does not have.
    """

    entities: int
    passes: int
    missing_ids: list[str]


def extract_dump(
    dump: Path, snapshot: Path, titles: Iterable[str], ids: Iterable[str] = ()
) -> Extracted:
    """Writes the part of a dump that the titles need, with the classes above, as a snapshot.

    Memory grows with the P279 edges and the number of entities wanted, not with the dump.

    Args:
        dump: Wikidata's JSON dump, or truthy N-Triples (`.nt`), plain, .gz or .bz2.
        snapshot: JSON lines to write, gzipped if the name ends in .gz; whole or not at all.
        titles: Commons categories, with or without prefix.
        ids: further items.

    Raises:
        InputError: an id that is none, a dump that cannot be read, is damaged or cut short.
    """
    ids = list(ids)
    if bad := [qid for qid in ids if not is_item_id(qid)]:
        fix = "Write an item's id, such as Q42."
        raise InputError(Problem("ids", "no item's id:", fix, value=qid) for qid in bad)
    snapshot.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=snapshot.parent) as file:
        wanted = {int(qid[1:]) for qid in ids}
        work = _Extraction(
            Path(dump),
            {page_title(title) for title in titles},
            wanted,
            set(wanted),
            _Spool(file),
        )
        passes = work.run()
        count = write_snapshot(snapshot, work.spool.entities())
    left = sorted(work.wanted - work.found)
    return Extracted(count, passes, [f"Q{number}" for number in left])


class DumpSource:
    """A dump as a source: read once, at the first question about titles, for all at once.

    Args:
        dump: see `extract_dump`.
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
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "part.jsonl"
            extract_dump(self._dump, path, keys)
            with path.open("rb") as file:
                while some := [json.loads(line) for line in islice(file, _AT_ONCE)]:
                    yield {ENTITY: {e["id"]: Answer(e, e.get("lastrevid")) for e in some}}
                    for entity in some:
                        link = entity["sitelinks"].get("commonswiki", {}).get("title", "")
                        if link in wanted:
                            pages[link] = Answer({"page": link, "item": entity["id"]}, None)
                        for title in map(page_title, best_texts(entity, "P373")):
                            if title in wanted:
                                named.setdefault(title, []).append(entity["id"])
        yield {
            PAGE: pages,
            NAMED: {title: Answer({"items": qids}, None) for title, qids in named.items()},
        }


class _Spool:
    """Parts of entities, on disk; given back by number, the parts of each joined."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._numbers, self._offsets = array("q"), array("q")

    def add(self, number: int, part: Entity) -> None:
        self._numbers.append(number)
        self._offsets.append(self._file.tell())
        self._file.write(json.dumps(part).encode() + b"\n")

    def entities(self) -> Iterator[Entity]:
        numbers = np.frombuffer(self._numbers, dtype=np.int64)
        joined: dict[str, Any] = {}
        for at in np.argsort(numbers, kind="stable"):
            self._file.seek(self._offsets[at])
            part = json.loads(self._file.readline())
            if joined and joined["id"] == part["id"]:
                for key, value in part.items():
                    joined[key] = {**joined[key], **value} if isinstance(value, dict) else value
                continue
            if joined:
                yield joined
            joined = part
        if joined:
            yield joined


@dataclass
class _Extraction:
    dump: Path
    titles: set[str]
    wanted: set[int]
    items: set[int]  # of the titles, those asked for by id, and topics
    spool: _Spool
    found: set[int] = field(default_factory=set)
    _done: set[tuple[str, int]] = field(default_factory=set)
    _classes: set[int] = field(default_factory=set)  # of the items found
    _edges: array[int] = field(default_factory=lambda: array("q"))
    _problems: list[Problem] = field(default_factory=list)

    def run(self) -> int:
        form = form_of(self.dump)
        for number in range(1, _PASSES_AT_MOST + 1):
            before = len(self.found)
            self._pass(form, first=number == 1)
            if self._problems:
                raise InputError(self._problems)
            self.wanted |= self._closure()
            # What stands before an item that the first pass found belongs to it too.
            if number > 1 and (self.wanted <= self.found or len(self.found) == before):
                break
        return number

    def _pass(self, form: Form, first: bool) -> None:
        wanted, done = self.wanted, self._done
        for record in form.records(self.dump):
            if record.part == DAMAGED:
                self._problems.append(damaged(self.dump, record))
                continue
            is_wanted = record.number in wanted
            if is_wanted and (record.part, record.number) in done:
                continue
            if not is_wanted and not (first and any(hint in record.text for hint in form.hints)):
                continue
            try:
                part = form.parse(record)
            except (ValueError, UnicodeDecodeError):
                self._problems.append(damaged(self.dump, record))
                continue
            if first:
                for parent in best_items(part, "P279"):
                    self._edges.extend((record.number, int(parent[1:])))
                if not is_wanted and self._names_a_title(part):
                    wanted.add(record.number)
                    self.items.add(record.number)
                    is_wanted = True
            if is_wanted:
                self._take(record, part)

    def _names_a_title(self, part: Entity) -> bool:
        link = part["sitelinks"].get("commonswiki", {}).get("title", "")
        if link in self.titles:
            return True
        return any(page_title(text) in self.titles for text in best_texts(part, "P373"))

    def _take(self, record: Record, part: Entity) -> None:
        self._done.add((record.part, record.number))
        self.spool.add(record.number, part)
        if record.part != "item":
            return
        self.found.add(record.number)
        if record.number not in self.items:
            return
        classes, topics = _numbers(part, "P31"), _numbers(part, "P301")
        if topics or int(CATEGORY_ITEM[1:]) in classes:
            self.items |= topics
            self.wanted |= topics
        else:
            self._classes |= classes
            self.wanted |= _numbers(part, "P17")

    def _closure(self) -> set[int]:
        """The classes of the items found and all classes above them."""
        edges = np.frombuffer(self._edges, dtype=np.int64).reshape(-1, 2)
        edges = edges[np.argsort(edges[:, 0], kind="stable")]
        children, parents = edges[:, 0], edges[:, 1]
        reached, level = set(self._classes), np.array(sorted(self._classes), dtype=np.int64)
        while len(level):
            starts = np.searchsorted(children, level, "left")
            ends = np.searchsorted(children, level, "right")
            above: set[int] = set()
            for start, end in zip(starts, ends, strict=True):
                above.update(parents[start:end].tolist())
            above -= reached
            reached |= above
            level = np.array(sorted(above), dtype=np.int64)
        return reached


def _numbers(entity: Entity, name: str) -> set[int]:
    return {int(qid[1:]) for qid in best_items(entity, name)}
