"""Resolves Commons categories to Wikidata items, and collects the classes above the items.

The order of requests: titles, targets of soft redirects, the pages' items, the topics of category
items (P301), the classes (P31), and their parents level by level (P279). Each answer is stored
before the next request, so a killed run continues where it stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pandas as pd

from strata_labels.knowledge.raw_entity import CATEGORY_ITEM, RawEntity, best_items
from strata_labels.knowledge.titles import PREFIX, is_askable, page_title
from strata_labels.knowledge.wikimedia.addresses import Apis
from strata_labels.knowledge.wikimedia.answers import AnswerSource, CachedAnswers
from strata_labels.knowledge.wikimedia.client import Client
from strata_labels.knowledge.wikimedia.response_store import (
    ENTITY,
    NAMED,
    PAGE,
    Answer,
    ResponseStore,
)
from strata_labels.tables import SCHEMAS

DEEPEST = 40  # P279 edges above an item's class that are followed, at most
_REDIRECTS_AT_MOST = 8


@dataclass(frozen=True)
class Resolved:
    """The result for all titles.

    Attributes:
        frame: a row per title, in the order given, with the columns of
            the table `titles`. `status` is one of

            - `resolved`: the category's item, or what its category item is about;
            - `redirected`: the same, at the category `redirect_target`;
            - `ambiguous`: a category item about several topics; the lowest number is taken, the
              others are in `other_qids`;
            - `category_only`: the category's own item, which names no topic (it is in
              `other_qids`, and there is no `qid`);
            - `no_item`: a page that belongs to no item;
            - `missing`: no such page;
            - `deleted`: the page existed at an earlier request, or its item was deleted;
            - `circular`: redirects in a circle, or with a target that cannot be read;
            - `invalid`: no title can be this;
            - `not_asked`: no answer: this run was offline and the store does not have it, or the
              server left it out of every answer.

            `linked_by` is `sitelink`, `category item`, or `commons category` where a dump or a
            SPARQL endpoint knows an item that names the category in P373; `revision` is the
            entity's.
        classes: classes above the entities, of all levels, by number.
        missing_titles: full titles that no source answered.
        missing_ids: items and classes that no source answered.
        cut_classes: classes beyond the depth cap, which were not requested.
    """

    frame: pd.DataFrame
    classes: list[str]
    missing_titles: list[str]
    missing_ids: list[str]
    cut_classes: list[str]
    _items: list[str] = field(repr=False)
    _store: ResponseStore = field(repr=False)
    _wiki: str = field(repr=False)

    def entities(self) -> Iterator[RawEntity]:
        """Items, topics, classes and countries in the API's form, by number: a snapshot's lines.

        They are read from the store, which must still be open.
        """
        ids = _by_number({*self._items, *self.classes})
        for _, answer in self._store.get(self._wiki, ENTITY, ids):
            if "id" in answer.body:
                yield answer.body

    def counts(self) -> dict[str, int]:
        """Titles by status, most first."""
        return dict(Counter(self.frame["status"]).most_common())


@dataclass(frozen=True, slots=True)
class _Item:
    """The part of an entity that resolving needs; `qid` is None if the item was deleted."""

    qid: str | None
    classes: Sequence[str] = ()
    topics: Sequence[str] = ()
    countries: Sequence[str] = ()
    revision: int | None = None

    @property
    def is_category(self) -> bool:
        return CATEGORY_ITEM in self.classes or bool(self.topics)


def resolve_titles(
    titles: Iterable[str],
    store: ResponseStore,
    apis: Apis | None = None,
    client: Client | None = None,
    since: int = 0,
    sources: Sequence[AnswerSource] = (),
) -> Resolved:
    """Resolves Commons categories to Wikidata items, with the classes above them.

    Args:
        titles: Commons categories, with or without prefix.
        store: earlier answers; new ones are added to it.
        apis: the wikis whose answers are meant; Wikimedia's if None.
        client: requests what the store does not have; None sends no requests.
        since: answers from before this moment (seconds since 1970) are requested again.
        sources: tried before the client: a dump on disk, a SPARQL endpoint.

    Raises:
        InputError: no API at an address, or a damaged store.
        RetryError: a server is unreachable for longer than the client's retry policy allows;
            all answers so far are in the store.
    """
    answers = CachedAnswers(store, apis or Apis(), client, since, sources)
    titles = list(titles)
    full = [page_title(title) for title in titles]
    found = _pages(answers, dict.fromkeys(t for t in full if is_askable(t)))
    named = _named(answers, full, found)
    items = _items(answers, found, named)
    rows = [_row(title, end, found, items, named) for title, end in zip(titles, full, strict=True)]
    frame = pd.DataFrame(rows, columns=SCHEMAS["titles"].names).astype({"revision": "Int64"})
    ended = [items[qid] for qid in frame["qid"].dropna().unique()]
    starts = {qid for item in ended for qid in item.classes}
    countries = {qid for item in ended for qid in item.countries}
    classes, cut = _classes(answers, starts, countries)
    return Resolved(
        frame,
        _by_number(classes),
        sorted(answers.unanswered[PAGE] - named.keys()),
        _by_number(answers.unanswered[ENTITY]),
        _by_number(cut),
        [*items, *countries],
        store,
        answers.wikis[ENTITY],
    )


def _pages(answers: CachedAnswers, titles: Iterable[str]) -> dict[str, Answer]:
    """The answers about titles, and about the targets of soft redirects among them."""
    found: dict[str, Answer] = {}
    what = "categories"
    for _ in range(_REDIRECTS_AT_MOST):
        titles = [title for title in titles if title not in found]
        if not titles:
            break
        new = dict(answers.of(PAGE, titles, what))
        found |= new
        titles = dict.fromkeys(s.body["soft"] for s in new.values() if s.body.get("soft"))
        what = "targets of category redirects"
    return found


def _named(
    answers: CachedAnswers, titles: Iterable[str], found: dict[str, Answer]
) -> dict[str, list[str]]:
    """The items that name a category in P373, for categories whose page leads to none."""
    ends = {
        end for t in titles if is_askable(t) for _, item, end in [_page_of(t, found)] if not item
    }
    asked = answers.of(NAMED, sorted(ends), "categories named by items")
    return {title: answer.body["items"] for title, answer in asked if answer.body["items"]}


def _items(
    answers: CachedAnswers, found: dict[str, Answer], named: dict[str, list[str]]
) -> dict[str, _Item]:
    """The items of pages, those that name a category, and what category items are about.

    Returns:
        By the id asked for.
    """
    pages_items = {s.body["item"] for s in found.values() if "item" in s.body}
    wanted = _by_number(pages_items | {qid for qids in named.values() for qid in qids})
    items: dict[str, _Item] = {}
    # Items that were merged lead on to others, at most once; topics may be merged ones too.
    for what in ("items", "topics of category items", "merged items", "merged items"):
        for qid, answer in answers.of(ENTITY, wanted, what):
            items[qid] = _item(answer)
        merged = {item.qid for item in items.values() if item.qid}
        topics = {qid for item in items.values() for qid in item.topics}
        wanted = _by_number((merged | topics) - items.keys())
    for qid, item in list(items.items()):
        if item.qid and item.qid != qid:
            items[qid] = items.get(item.qid, _Item(None))
    return items


def _item(answer: Answer) -> _Item:
    body = answer.body
    if "id" not in body:
        return _Item(body.get("redirect"))
    classes, topics = best_items(body, "P31"), best_items(body, "P301")
    return _Item(body["id"], classes, topics, best_items(body, "P17"), answer.revision)


def _row(
    title: str,
    start: str,
    found: dict[str, Answer],
    items: dict[str, _Item],
    named: dict[str, list[str]],
) -> tuple[object, ...]:
    status, item, end = _page_of(start, found)
    target = end.removeprefix(PREFIX) if end != start else None
    if item is None:
        claims = {c.qid: c for qid in named.get(end, ()) if (c := items.get(qid)) and c.qid}
        claims = {qid: claim for qid, claim in claims.items() if not claim.is_category}
        if not claims:
            return (title, status, None, None, target, None, [])
        first, *others = _by_number(qid for qid in claims if qid)
        status = "ambiguous" if others else "redirected" if target else "resolved"
        return (title, status, first, "commons category", target, claims[first].revision, others)
    entity = items.get(item)
    if entity is None:
        return (title, "not_asked", None, None, target, None, [])
    if entity.qid is None:
        return (title, "deleted", None, None, target, None, [item])
    status = "redirected" if target else "resolved"
    if not entity.is_category:
        return (title, status, entity.qid, "sitelink", target, entity.revision, [])
    topics = {t.qid: t for qid in entity.topics if (t := items.get(qid)) and t.qid}
    if not topics:
        asked = all(qid in items for qid in entity.topics)
        status = "category_only" if asked else "not_asked"
        return (title, status, None, "category item", target, None, [entity.qid])
    first, *others = _by_number(qid for qid in topics if qid)
    status = "ambiguous" if others else status
    return (title, status, first, "category item", target, topics[first].revision, others)


def _page_of(start: str, found: dict[str, Answer]) -> tuple[str, str | None, str]:
    """Follows soft redirects: status of a page without an item, else its item; and its title."""
    if not is_askable(start):
        return "invalid", None, start
    title, end, seen = start, start, {start}
    while (answer := found.get(title)) is not None:
        body = answer.body
        # The title as the wiki writes it is no redirect.
        end = body["page"] if title != start or body.get("redirected") else start
        if "item" in body:
            return "", body["item"], end
        if body.get("circular") or body.get("soft") == "":
            return "circular", None, end
        if "soft" not in body:
            for status, key in (("invalid", "invalid"), ("deleted", "existed")):
                if key in body:
                    return status, None, end
            return ("missing" if "missing" in body else "no_item"), None, end
        title = body["soft"]
        if title in seen:
            return "circular", None, end
        seen.add(title)
    return ("circular" if len(seen) > _REDIRECTS_AT_MOST else "not_asked"), None, end


def _classes(
    answers: CachedAnswers, starts: Iterable[str], besides: Iterable[str]
) -> tuple[set[str], list[str]]:
    """Classes and all their ancestors, breadth-first; and those beyond the depth cap.

    Args:
        starts: classes to climb from.
        besides: further items, fetched with the first level and not climbed from.
    """
    level, also = set(starts), set(besides)
    seen: set[str] = set()
    for _ in range(DEEPEST + 1):
        if not level and not also:
            break
        seen |= level
        above: set[str] = set()
        for qid, answer in answers.of(ENTITY, _by_number(level | also), "classes"):
            if qid in level:
                above.update(best_items(answer.body, "P279"))
                if "redirect" in answer.body:
                    above.add(answer.body["redirect"])
        level, also = above - seen, set()
    return seen, _by_number(level)


def _by_number(qids: Iterable[str]) -> list[str]:
    return sorted(qids, key=lambda qid: int(qid[1:]))
