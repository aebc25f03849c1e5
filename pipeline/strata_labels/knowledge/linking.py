"""Finds the Wikidata entity of each item by its Commons category."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from strata_labels.knowledge.classgraph import Cut
from strata_labels.knowledge.raw_entity import CATEGORY_ITEM
from strata_labels.knowledge.snapshot import Entity, Snapshot
from strata_labels.knowledge.titles import clean_title

ENTITY_COLUMNS = [
    "item_id", "status", "qid", "label", "class_qids", "lat", "lon", "country", "revision",
    "linked_by", "other_qids",
]  # fmt: skip


@dataclass(frozen=True)
class _Link:
    status: str
    entity: Entity | None = None
    linked_by: str = ""
    others: tuple[str, ...] = ()


def link(
    items: pd.DataFrame, snapshot: Snapshot, resolved: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Finds each item's entity in the snapshot, and the classes above them.

    The APIs' answer about a category (`resolved`) comes first: they follow redirects. Else its
    entity is, in this order: the item whose sitelink is the category; the topic of the category's
    own item (P301, or the topic's P910 where only that is there); the item that names the category
    in P373. Of several in the same order, the one with the lowest number is taken and the
    status says so. The same category has the same entity, whichever split it is in.
    An item that was given a Wikidata id has that entity, and the classes that it is a subclass of
    count as its own.

    Args:
        items: `item_id, title` (Commons category title, may be blank), and perhaps `qid`.
        snapshot: what `read_snapshot` kept for these titles.
        resolved: the table `titles` of `strata resolve`.

    Returns:
        `entities`, a row per item in the items' order, with `status` in {resolved, redirected,
        ambiguous, category_only (a category's item whose topic is not in the snapshot; no entity),
        missing} or the APIs' status of a category that no item claims; `linked_by` in
        {sitelink, category item, commons category, given} and `other_qids` (the entities that also
        claim the category); and `classes` (`qid, label, parent_qids`), by qid.
    """
    links = _Links(snapshot)
    answers = {}
    if resolved is not None:
        plain = resolved.astype(object).where(resolved.notna(), None)
        answers = {row.title: row for row in plain.itertuples()}
    found_by_title = {
        title: links.resolved(answers[title]) if title in answers else links.of(clean_title(title))
        for title in items["title"].unique()
    }
    given = items["qid"].fillna("") if "qid" in items else [""] * len(items)
    rows = []
    for item_id, title, qid in zip(items["item_id"], items["title"], given, strict=True):
        found = found_by_title[title]
        if qid:
            found = _Link("resolved", snapshot.entities.get(qid), "given")
        entity = found.entity
        above = entity.parent_qids if entity and qid else ()
        rows.append(
            (
                item_id,
                found.status,
                entity.qid if entity else qid or None,
                entity.label if entity else None,
                list(dict.fromkeys([*entity.class_qids, *above])) if entity else [],
                entity.lat if entity else None,
                entity.lon if entity else None,
                entity.country if entity else None,
                entity.revision if entity else None,
                found.linked_by or None,
                list(found.others),
            )
        )
    entities = pd.DataFrame(rows, columns=ENTITY_COLUMNS)
    entities = entities.astype({"lat": "float64", "lon": "float64", "revision": "Int64"})
    return entities, _classes(snapshot, {qid for qids in entities["class_qids"] for qid in qids})


class _Links:
    """The categories that the entities of a snapshot claim."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._entities = snapshot.entities
        self._by_title: dict[str, list[Entity]] = {}
        self._by_p373: dict[str, list[Entity]] = {}
        self._by_category: dict[str, list[Entity]] = {}
        for entity in sorted(snapshot.entities.values(), key=lambda e: int(e.qid[1:])):
            for title in entity.titles:
                self._by_title.setdefault(title, []).append(entity)
            for title in entity.commons_categories:
                self._by_p373.setdefault(title, []).append(entity)
            for qid in entity.category_qids:
                self._by_category.setdefault(qid, []).append(entity)

    def of(self, title: str) -> _Link:
        linked = self._by_title.get(title, [])
        named = self._by_p373.get(title, [])
        categories = [e for e in [*linked, *named] if CATEGORY_ITEM in e.class_qids]
        ways = [
            ("sitelink", [e for e in linked if CATEGORY_ITEM not in e.class_qids]),
            ("category item", [t for e in categories for t in self._topics(e)]),
            ("commons category", [e for e in named if CATEGORY_ITEM not in e.class_qids]),
        ]
        claimants = list(dict.fromkeys(e.qid for _, found in ways for e in found))
        for way, found in ways:
            here = {e.qid: e for e in found}
            if here:
                first = min(here, key=lambda qid: int(qid[1:]))
                status = "resolved" if len(here) == 1 else "ambiguous"
                others = tuple(qid for qid in claimants if qid != first)
                return _Link(status, here[first], way, others)
        if categories:
            return _Link("category_only", linked_by="category item", others=(categories[0].qid,))
        return _Link("missing")

    def resolved(self, row: Any) -> _Link:
        """The APIs' answer about a title, completed from the entities; see `link`."""
        entity = self._entities.get(row.qid)
        if entity is not None:
            return _Link(row.status, entity, row.linked_by, tuple(row.other_qids))
        found = self.of(clean_title(row.redirect_target or row.title))
        if found.entity is None:
            return _Link(row.status, None, row.linked_by or "", tuple(row.other_qids))
        return replace(found, status="redirected") if row.redirect_target else found

    def _topics(self, category: Entity) -> list[Entity]:
        topics = [self._entities[t] for t in category.topic_qids if t in self._entities]
        return topics or self._by_category.get(category.qid, [])


def _classes(snapshot: Snapshot, qids: Iterable[str]) -> pd.DataFrame:
    above = set(qids)
    frontier = list(above)
    while frontier:
        new = {p for qid in frontier for p in snapshot.parents.get(qid, ())} - above
        above |= new
        frontier = list(new)
    rows = [
        (
            qid,
            snapshot.classes[qid].label if qid in snapshot.classes else "",
            list(snapshot.parents.get(qid, ())),
        )
        for qid in sorted(above, key=lambda qid: int(qid[1:]))
    ]
    return pd.DataFrame(rows, columns=["qid", "label", "parent_qids"])


def statements_not_climbed(snapshot: Snapshot, class_qids: Iterable[str]) -> list[Cut]:
    """P279 statements of classes that are of a lesser rank, and classes without a record."""
    cuts = []
    for qid in class_qids:
        if qid not in snapshot.classes:
            cuts.append(Cut(qid, "", "missing", ""))
        else:
            outranked = snapshot.classes[qid].outranked_qids
            cuts += [Cut(qid, parent, "rank", rank) for parent, rank in outranked]
    return cuts
