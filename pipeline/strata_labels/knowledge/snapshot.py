"""A snapshot of Wikidata: the entities that a data set needs, and the classes above them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from strata_labels.knowledge.dump_extraction import DumpExtraction
from strata_labels.knowledge.raw_entity import (
    RawEntity,
    best_items,
    best_point,
    best_texts,
    commons_page,
    outranked_items,
)
from strata_labels.knowledge.titles import PREFIX, clean_title


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


@dataclass(frozen=True)
class Snapshot:
    """The part of Wikidata files that a data set needs.

    Attributes:
        entities: items linked to a wanted title, and the topics of category items among them.
        classes: the classes of those, all their ancestors, and the classes asked for.
        parents: class -> its P279 parents, for every class that is an ancestor of a kept one.
    """

    entities: dict[str, Entity]
    classes: dict[str, Entity]
    parents: dict[str, tuple[str, ...]]


def read_snapshot(
    paths: Path | Sequence[Path],
    titles: Iterable[str],
    classes: Iterable[str] = (),
    ids: Iterable[str] = (),
) -> Snapshot:
    """Reads the wanted part of Wikidata files; memory grows with that part, not with the files.

    Args:
        paths: see `WikidataFile`. Of several files the first that has an item counts; the largest
            should be the last.
        titles: Commons categories to find, with or without prefix.
        classes: class items whose labels are wanted besides the ancestors of the found items.
        ids: items wanted besides those of the titles.

    Raises:
        InputError: the file cannot be read, a line is no entity (all such lines listed), or the
            download was interrupted.
    """
    paths = [paths] if isinstance(paths, Path) else paths
    extraction = DumpExtraction(paths, titles, ids, classes)
    found = {entity.qid: entity for entity in map(_entity, extraction.run())}
    return Snapshot(
        {qid: entity for qid, entity in found.items() if int(qid[1:]) in extraction.items},
        {qid: entity for qid, entity in found.items() if int(qid[1:]) in extraction.parents},
        {
            f"Q{number}": tuple(f"Q{parent}" for parent in parents)
            for number, parents in extraction.parents.items()
            if parents
        },
    )


def _entity(record: RawEntity) -> Entity:
    link = commons_page(record)
    at = best_point(record, "P625")
    country = best_items(record, "P17")
    return Entity(
        qid=record["id"],
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
