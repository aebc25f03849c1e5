"""From category titles to entities and classes: what is asked, in which order, and what came of it.

Titles first, then the targets of soft redirects, then the items of the pages, then what category
items are about (P301), then the classes (P31), level by level upwards (P279). Each answer is in the
store before the next is asked for, so a run goes on where another was killed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pandas as pd
import pyarrow as pa

from strata_labels.knowledge.entity import CATEGORY_ITEM, Entity, best_items
from strata_labels.knowledge.titles import PREFIX, is_askable, page_title
from strata_labels.knowledge.wikimedia.address import Apis
from strata_labels.knowledge.wikimedia.ask import Answers, Source, Track, untracked
from strata_labels.knowledge.wikimedia.client import Client
from strata_labels.knowledge.wikimedia.store import ENTITY, NAMED, PAGE, Store, Stored

_TEXT = pa.string()
TITLES_SCHEMA = pa.schema(
    [
        ("title", _TEXT),
        ("status", _TEXT),
        ("qid", _TEXT),
        ("linked_by", _TEXT),
        ("redirect_target", _TEXT),
        ("revision", pa.int64()),
        ("other_qids", pa.list_(_TEXT)),
    ]
)
DEEPEST = 40  # P279 edges above an item's class that are followed, at most
_REDIRECTS_AT_MOST = 8


@dataclass(frozen=True)
class Resolved:
    """What became of the titles.

    Attributes:
        frame: a row per title, in the order given, with the columns of
            `TITLES_SCHEMA`. `status` is one of

            - `resolved`: the category's item, or what its category item is about;
            - `redirected`: the same, at the category `redirect_target`;
            - `ambiguous`: a category item about several topics; the lowest number is taken, the
              others are in `other_qids`;
            - `category_only`: the category's own item, which names no topic (it is in
              `other_qids`, and there is no `qid`);
            - `no_item`: a page that belongs to no item;
            - `missing`: no such page;
            - `deleted`: the page was there when it was last asked for, or its item is no more;
            - `circular`: redirects in a circle, or with a target that cannot be read;
            - `invalid`: no title can be this;
            - `not_asked`: nobody answered: this run was offline and the store does not have it, or
              the server left it out of every answer.

            `linked_by` is `sitelink`, `category item`, or `commons category` where a dump or a
            SPARQL endpoint knows an item that names the category in P373; `revision` is the
            entity's.
        classes: classes above the entities, of all levels, by number.
        missing_titles: full titles that nobody answered.
        missing_ids: items and classes that nobody answered.
        cut_classes: classes beyond the depth cap, which were not asked for.
    """

    frame: pd.DataFrame
    classes: list[str]
    missing_titles: list[str]
    missing_ids: list[str]
    cut_classes: list[str]
    _items: list[str] = field(repr=False)
    _store: Store = field(repr=False)
    _wiki: str = field(repr=False)

    @property
    def is_complete(self) -> bool:
        """Whether everything that was to be asked has been answered."""
        return not self.missing_titles and not self.missing_ids

    def entities(self) -> Iterator[Entity]:
        """Items, topics, classes and countries in the API's form, by number: a snapshot's lines.

        They are read from the store, which must still be open.
        """
        ids = _by_number({*self._items, *self.classes})
        for _, stored in self._store.get(self._wiki, ENTITY, ids):
            if "id" in stored.body:
                yield stored.body

    def counts(self) -> dict[str, int]:
        """Titles by status, most first."""
        return dict(Counter(self.frame["status"]).most_common())


@dataclass(frozen=True, slots=True)
class _Item:
    """What resolving needs to know of an entity; `qid` is None where it is no more."""

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
    store: Store,
    apis: Apis | None = None,
    client: Client | None = None,
    since: int = 0,
    track: Track = untracked,
    sources: Sequence[Source] = (),
) -> Resolved:
    """Resolves Commons categories to Wikidata items, with the classes above them.

    Args:
        titles: Commons categories, with or without prefix.
        store: what was answered before, and where new answers go.
        apis: whose answers are meant; Wikimedia's if None.
        client: asks for what the store does not have; None for offline.
        since: answers from before this moment (seconds since 1970) are asked for again.
        track: shows progress, as `strata_labels.progress.track` does.
        sources: who is asked before the client: a dump on disk, a SPARQL endpoint.

    Raises:
        InputError: no API at an address, or a damaged store.
        RetryError: a server out of reach for longer than the client's patience; what was answered
            is in the store.
    """
    answers = Answers(store, apis or Apis(), client, since, track, sources)
    titles = list(titles)
    full = [page_title(title) for title in titles]
    found = _pages(answers, dict.fromkeys(t for t in full if is_askable(t)))
    named = _named(answers, full, found)
    items = _items(answers, found, named)
    rows = [_row(title, end, found, items, named) for title, end in zip(titles, full, strict=True)]
    frame = pd.DataFrame(rows, columns=TITLES_SCHEMA.names).astype({"revision": "Int64"})
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


def _pages(answers: Answers, titles: Iterable[str]) -> dict[str, Stored]:
    """The answers about titles, and about the targets of soft redirects among them."""
    found: dict[str, Stored] = {}
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
    answers: Answers, titles: Iterable[str], found: dict[str, Stored]
) -> dict[str, list[str]]:
    """The items that name a category in P373, for categories whose page leads to none."""
    ends = {
        end for t in titles if is_askable(t) for _, item, end in [_page_of(t, found)] if not item
    }
    asked = answers.of(NAMED, sorted(ends), "categories named by items")
    return {title: stored.body["items"] for title, stored in asked if stored.body["items"]}


def _items(
    answers: Answers, found: dict[str, Stored], named: dict[str, list[str]]
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
        for qid, stored in answers.of(ENTITY, wanted, what):
            items[qid] = _item(stored)
        merged = {item.qid for item in items.values() if item.qid}
        topics = {qid for item in items.values() for qid in item.topics}
        wanted = _by_number((merged | topics) - items.keys())
    for qid, item in list(items.items()):
        if item.qid and item.qid != qid:
            items[qid] = items.get(item.qid, _Item(None))
    return items


def _item(stored: Stored) -> _Item:
    body = stored.body
    if "id" not in body:
        return _Item(body.get("redirect"))
    classes, topics = best_items(body, "P31"), best_items(body, "P301")
    return _Item(body["id"], classes, topics, best_items(body, "P17"), stored.revision)


def _row(
    title: str,
    start: str,
    found: dict[str, Stored],
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


def _page_of(start: str, found: dict[str, Stored]) -> tuple[str, str | None, str]:
    """Follows soft redirects: status of a page without an item, else its item; and its title."""
    if not is_askable(start):
        return "invalid", None, start
    title, end, seen = start, start, {start}
    while (stored := found.get(title)) is not None:
        body = stored.body
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
    answers: Answers, starts: Iterable[str], besides: Iterable[str]
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
        for qid, stored in answers.of(ENTITY, _by_number(level | also), "classes"):
            if qid in level:
                above.update(best_items(stored.body, "P279"))
                if "redirect" in stored.body:
                    above.add(stored.body["redirect"])
        level, also = above - seen, set()
    return seen, _by_number(level)


def _by_number(qids: Iterable[str]) -> list[str]:
    return sorted(qids, key=lambda qid: int(qid[1:]))
