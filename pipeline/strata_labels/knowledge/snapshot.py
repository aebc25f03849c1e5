"""A snapshot of Wikidata entities, streamed: JSON lines or the JSON dump, plain, .gz or .bz2."""

from __future__ import annotations

import bz2
import gzip
import json
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from strata_labels.errors import InputError, Problem
from strata_labels.knowledge.entity import (
    CATEGORY_ITEM,
    best_items,
    best_point,
    best_texts,
    item_id,
    outranked_items,
    reduce,
)
from strata_labels.knowledge.titles import PREFIX, clean_title

_Read = TypeVar("_Read")

_SHOWN = 1000  # damaged lines after which reading stops


@dataclass(frozen=True, slots=True)
class Entity:
    """The part of a Wikidata item that the class of a landmark can be read from."""

    qid: str
    labels: dict[str, str]
    aliases: dict[str, tuple[str, ...]]
    titles: tuple[str, ...]  # Commons categories: the sitelink's
    commons_categories: tuple[str, ...]  # P373
    class_qids: tuple[str, ...]  # P31
    parent_qids: tuple[str, ...]  # P279
    outranked_qids: tuple[tuple[str, str], ...]  # P279 of a lesser rank, and the rank
    topic_qids: tuple[str, ...]  # P301: what a category item is about
    category_qids: tuple[str, ...]  # P910: the category item of a topic
    lat: float | None
    lon: float | None
    country: str | None
    revision: int | None

    @property
    def label(self) -> str:
        """The English label, else the language-neutral one, else the first by language code."""
        for language in ("en", "mul", *sorted(self.labels)):
            if language in self.labels:
                return self.labels[language]
        return ""


@dataclass
class Snapshot:
    """What was kept of a snapshot file.

    Attributes:
        entities: items linked to a wanted title, and the topics of category items among them.
        classes: the classes of those, all their ancestors, and the classes asked for.
        parents: class -> its P279 parents, for every class that is an ancestor of a kept one.
        num_read: items in the file.
    """

    entities: dict[str, Entity] = field(default_factory=dict)
    classes: dict[str, Entity] = field(default_factory=dict)
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    num_read: int = 0


def read_snapshot(
    paths: Path | Sequence[Path],
    titles: Iterable[str],
    classes: Iterable[str] = (),
    ids: Iterable[str] = (),
) -> Snapshot:
    """Keeps the wanted part of a snapshot; memory grows with that part, not with the file.

    A file is passed up to three times: items by title (and all P279 edges, 16 bytes each), topics
    of category items, records of the classes.

    Args:
        paths: JSON lines in the API's form, or Wikidata's JSON dump (one array, an item per line).
            Of several files the first that has an item counts; the largest should be the last.
        titles: Commons categories to find, with or without prefix.
        classes: class items whose labels are wanted besides the ancestors of the found items.
        ids: items wanted besides those of the titles.

    Raises:
        InputError: the file cannot be read, a line is no entity (all such lines listed), or the
            download was interrupted.
    """
    paths = [paths] if isinstance(paths, Path) else list(paths)
    wanted, wanted_ids = {clean_title(title) for title in titles}, set(ids)
    snapshot = Snapshot()
    edges = array("q")

    def first_pass(entity: Entity) -> bool:
        snapshot.num_read += 1
        child = int(entity.qid[1:])
        for parent in entity.parent_qids:
            edges.extend((child, int(parent[1:])))
        return (
            entity.qid in wanted_ids
            or not wanted.isdisjoint(entity.titles)
            or not wanted.isdisjoint(entity.commons_categories)
        )

    snapshot.entities = _kept(paths, first_pass)

    categories = {e.qid for e in snapshot.entities.values() if CATEGORY_ITEM in e.class_qids}
    if categories:
        topics = {t for qid in categories for t in snapshot.entities[qid].topic_qids}
        snapshot.entities |= _kept(
            paths, lambda e: e.qid in topics or not categories.isdisjoint(e.category_qids)
        )

    parents: dict[int, list[int]] = {}
    for child, parent in zip(edges[::2], edges[1::2], strict=True):
        parents.setdefault(child, []).append(parent)
    reached = {c for e in snapshot.entities.values() for c in e.class_qids} | set(classes)
    frontier = sorted(reached)
    while frontier:
        above: set[str] = set()
        for qid in frontier:
            found = tuple(f"Q{number}" for number in parents.get(int(qid[1:]), ()))
            if found:
                snapshot.parents[qid] = found
            above.update(found)
        frontier = sorted(above - reached)
        reached |= above
    if reached:
        snapshot.classes = _kept(paths, lambda e: e.qid in reached)
    return snapshot


def _kept(paths: Sequence[Path], keep: Callable[[Entity], bool]) -> dict[str, Entity]:
    kept: dict[str, Entity] = {}
    before: set[int] = set()
    for number, path in enumerate(paths, start=1):
        seen = array("q")
        for entity in read_entities(path):
            if before and int(entity.qid[1:]) in before:
                continue
            if number < len(paths):
                seen.append(int(entity.qid[1:]))
            if keep(entity):
                kept[entity.qid] = entity
        before.update(seen)
    return kept


def read_entities(path: Path) -> Iterator[Entity]:
    """Streams the items of a snapshot; properties and lexemes are passed over.

    Raises:
        InputError: as `read_snapshot`; damaged lines are reported together, at the end.
    """
    return read_records(path, _entity)


def read_records(path: Path, make: Callable[[dict[str, Any]], _Read | None]) -> Iterator[_Read]:
    """Streams what `make` makes of each entity in the API's form, but for None.

    Raises:
        InputError: as `read_entities`; a line that `make` cannot read is damaged.
    """
    path = Path(path)
    problems: list[Problem] = []
    row, opened, closed = 0, False, False
    line = b""
    try:
        with _open(path) as file:
            for row, line in enumerate(file, start=1):
                if len(problems) >= _SHOWN:  # not a snapshot at all
                    break
                text = line.strip().removesuffix(b",")
                if not text:
                    continue
                if text in (b"[", b"]"):
                    opened, closed = opened or text == b"[", text == b"]"
                    continue
                try:
                    raw = json.loads(text)
                    entity = make(raw) if isinstance(raw, dict) else None
                except (ValueError, TypeError, KeyError, AttributeError):
                    whole = line.endswith(b"\n")
                    problems.append(_damaged(path, row, text) if whole else _interrupted(path, row))
                    continue
                if not isinstance(raw, dict):
                    problems.append(_damaged(path, row, text))
                elif entity is not None:
                    yield entity
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        problems.append(_interrupted(path, row + 1, str(error)))
    except OSError as error:
        raise InputError(
            Problem(path, f"cannot be read ({error.strerror or error})", "Check the file.")
        ) from None
    if opened and not closed and not problems:
        problems.append(_interrupted(path, row, "the closing ] is missing"))
    if problems:
        raise InputError(problems)


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if path.suffix == ".bz2":
        return bz2.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def _damaged(path: Path, row: int, text: bytes) -> Problem:
    shown = text[:60].decode("utf-8", "replace")
    return Problem(path, "not a JSON entity:", "Download the file again.", row=row, value=shown)


def _interrupted(path: Path, row: int, why: str = "the last line is incomplete") -> Problem:
    return Problem(path, f"interrupted download ({why})", "Download the file again.", row=row)


def _entity(raw: dict[str, Any]) -> Entity | None:
    """Reads an entity in the API's form; None for what is not an item, or is missing."""
    qid = item_id(raw)
    if qid is None:
        return None
    record = reduce(raw)
    link = record["sitelinks"].get("commonswiki", {}).get("title", "")
    at = best_point(record, "P625")
    country = best_items(record, "P17")
    return Entity(
        qid=qid,
        labels={k: v["value"] for k, v in record["labels"].items()},
        aliases={k: tuple(term["value"] for term in v) for k, v in record["aliases"].items()},
        titles=(clean_title(link),) if link.startswith(PREFIX) else (),
        commons_categories=tuple(map(clean_title, best_texts(record, "P373"))),
        class_qids=tuple(best_items(record, "P31")),
        parent_qids=tuple(best_items(record, "P279")),
        outranked_qids=tuple(outranked_items(record, "P279")),
        topic_qids=tuple(best_items(record, "P301")),
        category_qids=tuple(best_items(record, "P910")),
        lat=at[0] if at else None,
        lon=at[1] if at else None,
        country=country[0] if country else None,
        revision=record.get("lastrevid"),
    )
