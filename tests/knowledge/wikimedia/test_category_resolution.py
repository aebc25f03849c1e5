"""Titles to entities over the local APIs: statuses, faults, request counts, offline, refresh."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest
from mediawiki import FAULTS, MediaWiki, World, item
from strata_labels.errors import RetryError
from strata_labels.knowledge import (
    Apis,
    ResponseStore,
    resolve_titles,
    write_snapshot,
)
from strata_labels.knowledge.wikimedia.category_resolution import Resolved
from wikimedia_helpers import ask, is_complete

EXPECTED = {
    "Old Mill (Nice)": ("resolved", "Q1", None),
    "Category:old_Mill  (Nice)": ("resolved", "Q1", None),
    "Mill hard": ("redirected", "Q1", "Old Mill (Nice)"),
    "Mill soft": ("redirected", "Q1", "Old Mill (Nice)"),
    "Mill soft twice": ("redirected", "Q1", "Old Mill (Nice)"),
    "Mill nowhere": ("missing", None, "Gone mill"),
    "Mill unreadable": ("circular", None, None),
    "Loop A": ("circular", None, None),
    "Soft A": ("circular", None, "Soft B"),
    "No item": ("no_item", None, None),
    "Never there": ("missing", None, None),
    "Canal": ("resolved", "Q6", None),
    "Two topics": ("ambiguous", "Q1", None),
    "Only a category": ("category_only", None, None),
    "Item deleted": ("deleted", None, None),
    "Item merged": ("resolved", "Q5", None),
    "Item refused": ("deleted", None, None),
    "E\u0301glise": ("resolved", "Q5", None),
    "Not an item": ("no_item", None, None),
    "a|b": ("invalid", None, None),
    "": ("invalid", None, None),
    "x" * 256: ("invalid", None, None),
}


def outcome(resolved: Resolved) -> dict[str, tuple[str, str | None, str | None]]:
    frame = resolved.frame.astype(object).where(resolved.frame.notna(), None)
    columns = zip(
        frame["title"], frame["status"], frame["qid"], frame["redirect_target"], strict=True
    )
    return {title: (status, qid, target) for title, status, qid, target in columns}


def test_every_kind_of_title_has_its_own_status(small_world: World, store: ResponseStore) -> None:
    with MediaWiki(small_world).running() as wiki:
        resolved = ask(wiki, store, list(EXPECTED))
    got = outcome(resolved)
    # What the loop's end is called is the server's choice.
    got["Loop A"] = (*got["Loop A"][:2], None)
    assert got == EXPECTED
    assert wiki.violations == []
    assert sum(resolved.counts().values()) == len(EXPECTED)
    rows = resolved.frame.set_index("title")
    assert rows.at["Two topics", "other_qids"] == ["Q6"]
    assert rows.at["Only a category", "other_qids"] == ["Q4"]
    assert rows.at["Canal", "linked_by"] == "category item"
    assert rows.at["Canal", "revision"] == 1006
    assert is_complete(resolved)


def test_classes_are_climbed_through_loops_merges_and_ranks(
    small_world: World, store: ResponseStore
) -> None:
    with MediaWiki(small_world).running() as wiki:
        resolved = ask(wiki, store, list(EXPECTED))
    # Q23 is deprecated; the merged Q25 leads to Q24, which leads back to Q20.
    assert resolved.classes == ["Q20", "Q21", "Q22", "Q24", "Q25"]
    entities = {entity["id"]: entity for entity in resolved.entities()}
    assert {"Q1", "Q6", "Q2", "Q5", "Q30", "Q20", "Q24"} <= entities.keys()
    assert "Q25" not in entities and "Q404" not in entities
    mill = entities["Q1"]
    assert mill["lastrevid"] == 1001
    assert [s["rank"] for s in mill["claims"]["P31"]] == ["preferred", "normal", "deprecated"]
    assert "references" not in mill["claims"]["P31"][0]
    assert entities["Q5"]["claims"]["P31"][0]["mainsnak"]["snaktype"] == "somevalue"


def test_second_run_asks_nothing_at_any_address_of_the_wiki(
    small_world: World, tmp_path: Path
) -> None:
    with MediaWiki(small_world).running() as wiki:
        with ResponseStore(tmp_path / "store.sqlite") as store:
            first = ask(wiki, store, list(EXPECTED))
            lines = list(first.entities())
            asked = len(wiki.asked)
        with ResponseStore(tmp_path / "store.sqlite") as store:
            second = ask(wiki, store, list(EXPECTED))
            assert len(wiki.asked) == asked
            offline = resolve_titles(list(EXPECTED), store)  # as of the original addresses
            assert list(offline.entities()) == lines
        with (
            ResponseStore(tmp_path / "store.sqlite") as store,
            MediaWiki(small_world).running() as mirror,
        ):
            third = ask(mirror, store, list(EXPECTED))
            assert [what for what, _ in mirror.asked] == ["siteinfo", "siteinfo"]
    for other in (second, offline, third):
        assert other.frame.equals(first.frame)
        assert other.classes == first.classes


def test_offline_lists_missing_answers(small_world: World, store: ResponseStore) -> None:
    del small_world.entities["Q24"]  # asked for and missing is not the same as never asked for
    with MediaWiki(small_world).running() as wiki:
        ask(wiki, store, ["Canal"])
        asked = len(wiki.asked)
        resolved = resolve_titles(["Canal", "Old Mill (Nice)"], store)
        assert len(wiki.asked) == asked
    assert outcome(resolved)["Old Mill (Nice)"] == ("not_asked", None, None)
    assert resolved.missing_titles == ["Category:Old Mill (Nice)"]
    assert resolved.missing_ids == []
    assert not is_complete(resolved)


def test_refresh_asks_again_and_knows_what_was_deleted(
    small_world: World, store: ResponseStore
) -> None:
    with MediaWiki(small_world).running() as wiki:
        ask(wiki, store, ["Canal", "Never there"])
        del small_world.pages["Category:Canal"]
        assert outcome(ask(wiki, store, ["Canal"]))["Canal"][0] == "resolved"
        for _ in range(2):  # and keeps knowing it
            soon = int(time.time()) + 1
            again = outcome(ask(wiki, store, ["Canal", "Never there"], since=soon))
            assert again["Canal"] == ("deleted", None, None)
            assert again["Never there"] == ("missing", None, None)


def test_snapshot_has_the_same_bytes_and_is_whole(
    small_world: World, store: ResponseStore, tmp_path: Path
) -> None:
    with MediaWiki(small_world).running() as wiki:
        resolved = ask(wiki, store, list(EXPECTED))
    paths = [tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"]
    for path in paths:
        assert write_snapshot(path, resolved.entities()) == len(list(resolved.entities()))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    write_snapshot(tmp_path / "plain.jsonl", resolved.entities())
    lines = (tmp_path / "plain.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == list(resolved.entities())

    def interrupted():
        yield next(resolved.entities())
        raise RetryError("killed")

    with pytest.raises(RetryError):
        write_snapshot(tmp_path / "plain.jsonl", interrupted())
    assert (tmp_path / "plain.jsonl").read_text("utf-8").splitlines() == lines


def many_titles(number: int) -> tuple[World, list[str]]:
    """A world with `number` titles to ask: 3 % soft and 3 % hard redirects, some without item."""
    world = World()
    titles = []
    for n in range(number):
        title = f"Category:Place {n}"
        titles.append(title)
        if n % 33 == 5:
            world.pages[title] = {"text": f"{{{{Category redirect|New place {n}}}}}"}
            title = f"Category:New place {n}"
        elif n % 33 == 6:
            world.pages[title] = {"redirect": f"Category:Moved place {n}"}
            title = f"Category:Moved place {n}"
        if n % 10 == 3:
            world.pages[title] = {}
        elif n % 10 != 4:
            world.pages[title] = {"item": f"Q{1000 + n}"}
            world.entities[f"Q{1000 + n}"] = item(f"Q{1000 + n}", P31=[f"Q{n % 400 + 1}"])
    for n in range(400):
        world.entities[f"Q{n + 1}"] = item(f"Q{n + 1}", P279=[f"Q{n // 4 + 1}"])
    return world, titles


def test_requests_stay_within_two_percent_of_the_floor(store: ResponseStore) -> None:
    world, titles = many_titles(6000)
    with MediaWiki(world).running() as wiki:
        resolved = ask(wiki, store, titles)
    items = set(resolved.frame["qid"].dropna())
    soft = sum("text" in page for page in world.pages.values())
    level = {f"Q{n % 400 + 1}" for n in range(6000) if f"Q{1000 + n}" in items}
    seen: set[str] = set()
    class_batches = 0
    while level:
        seen |= level
        class_batches += math.ceil(len(level) / 50)
        level = {f"Q{(int(q[1:]) - 1) // 4 + 1}" for q in level} - seen
    floor = (
        math.ceil(len(titles) / 50) + math.ceil(len(items) / 50) + class_batches
        + math.ceil(soft / 50)
    )  # fmt: skip
    assert floor > 200
    assert len(wiki.asked) <= 1.02 * floor
    assert wiki.violations == []
    assert resolved.classes == sorted(seen, key=lambda q: int(q[1:]))


@pytest.mark.parametrize("seed", range(2))
def test_all_faults_together_lose_nothing_and_break_no_manners(seed: int, tmp_path: Path) -> None:
    world, titles = many_titles(800)
    with ResponseStore(tmp_path / "clean.sqlite") as store, MediaWiki(world).running() as wiki:
        clean = ask(wiki, store, titles)
        lines = list(clean.entities())
    with (
        ResponseStore(tmp_path / "store.sqlite") as store,
        MediaWiki(world, FAULTS, rate=0.35, seed=seed).running() as wiki,
    ):
        resolved = ask(wiki, store, titles)
        assert is_complete(resolved)
        assert resolved.frame.equals(clean.frame)
        assert list(resolved.entities()) == lines
    assert wiki.violations == []


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_the_server_is_handled(
    fault: str, small_world: World, store: ResponseStore
) -> None:
    with MediaWiki(small_world, [fault], rate=1.0, most=2).running() as wiki:
        resolved = ask(wiki, store, list(EXPECTED))
    assert fault in wiki.injected
    assert wiki.violations == []
    assert outcome(resolved)["Item merged"] == EXPECTED["Item merged"]
    assert is_complete(resolved)


def test_what_is_always_left_out_is_reported_and_not_stored(
    small_world: World, store: ResponseStore
) -> None:
    with MediaWiki(small_world, ["empty"], rate=1.0).running() as wiki:
        store.note_wiki(wiki.commons, "commonswiki")
        store.note_wiki(wiki.wikidata, "wikidatawiki")
        resolved = ask(wiki, store, ["Canal"])
    assert outcome(resolved)["Canal"] == ("not_asked", None, None)
    assert resolved.missing_titles == ["Category:Canal"]
    assert store.known("commonswiki", "page") == set()


def test_recorded_entities_through_the_api_are_linked_as_recorded(
    shared: Path, store: ResponseStore
) -> None:
    world = World.recorded(shared / "wikidata" / "entities.jsonl.gz")
    titles = sorted(world.pages)
    with MediaWiki(world, FAULTS, rate=0.3, seed=1).running() as wiki:
        resolved = ask(wiki, store, titles)
    assert wiki.violations == []
    got = resolved.frame.set_index("title")
    unexpected = []
    for title, page in world.pages.items():
        claims = world.entities[page["item"]]["claims"]
        topics = [
            s["mainsnak"]["datavalue"]["value"]["id"]
            for s in claims.get("P301", [])
            if s["rank"] != "deprecated"
        ]
        there = [t for t in topics if t in world.entities]
        is_category = topics or any(
            s["mainsnak"]["datavalue"]["value"]["id"] == "Q4167836" for s in claims.get("P31", [])
        )
        right = (there[0] if there else None) if is_category else page["item"]
        qid = got.at[title, "qid"]
        if (qid if isinstance(qid, str) else None) != right:
            unexpected.append((title, qid, right))
    assert unexpected == []
    assert len(got) == len(world.pages) > 500


def test_addresses_default_to_the_wikis_themselves(store: ResponseStore) -> None:
    resolved = resolve_titles(["Nothing asked"], store, Apis())
    assert resolved.counts() == {"not_asked": 1}
