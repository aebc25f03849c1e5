"""Dumps on disk give the same entities as the API."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from dumps import json_dump, truthy_triples, write_dump
from mediawiki import MediaWiki, World, item
from strata_labels.errors import InputError
from strata_labels.knowledge import ResponseStore
from strata_labels.knowledge.dump_extraction import DumpExtraction
from strata_labels.knowledge.raw_entity import best_items, best_texts
from wikimedia_helpers import ask

FORMS = {"json": json_dump, "nt": truthy_triples}


def extract(dump: Path, titles: list[str], ids: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """The extracted entities by id; each comes once."""
    found = list(DumpExtraction([dump], titles, ids).run())
    assert len({entity["id"] for entity in found}) == len(found)
    return {entity["id"]: entity for entity in found}


def gist(entity: dict[str, Any]) -> dict[str, Any]:
    """What the best statements say, since truthy dumps have no others."""
    claims = {name: best_items(entity, name) for name in ("P31", "P279", "P301", "P17", "P910")}
    points = [s["mainsnak"].get("datavalue", {}) for s in entity["claims"].get("P625", [])]
    at = [(p["value"]["latitude"], p["value"]["longitude"]) for p in points if p]
    return {
        **claims,
        "P373": best_texts(entity, "P373"),
        "P625": at[:1] if len(at) == 1 else [],
        "labels": {k: v["value"] for k, v in entity["labels"].items()},
        "aliases": {k: [a["value"] for a in v] for k, v in entity["aliases"].items() if v},
        "sitelink": entity["sitelinks"].get("commonswiki", {}).get("title"),
        "revision": entity.get("lastrevid"),
    }  # fmt: skip


@pytest.fixture
def entities(small_world: World) -> list[dict[str, Any]]:
    """The small world's entities, with the sitelinks that its pages have."""
    found = {qid: raw for qid, raw in small_world.entities.items() if isinstance(raw, dict)}
    for title, page in small_world.pages.items():
        if isinstance(found.get(page.get("item", "")), dict):
            link = {"site": "commonswiki", "title": title, "badges": []}
            found[page["item"]]["sitelinks"] = {"commonswiki": link}
    found["Q7"] = item("Q7", 'a "quoted" \\ name\nand é 𝄞', P373=["By P373 only"], P31=["Q22"])
    return list(found.values())


@pytest.mark.parametrize("packed", ["", ".gz", ".bz2", ".xz"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_dump_gives_what_the_api_gives(
    order: int, form: str, packed: str, entities: list[dict[str, Any]], small_world: World,
    store: ResponseStore, tmp_path: Path,
) -> None:  # fmt: skip
    titles = ["Canal", "Old Mill (Nice)", "église"]
    with MediaWiki(small_world).running() as wiki:
        expected = {e["id"]: gist(e) for e in ask(wiki, store, titles).entities()}
    expected.pop("Q25", None)  # merged: dumps have no redirects
    for qid in ("Q1", "Q2", "Q5"):
        link = next(e for e in entities if e["id"] == qid)["sitelinks"]["commonswiki"]["title"]
        expected[qid]["sitelink"] = link
    random.Random(order).shuffle(entities)
    dump = write_dump(tmp_path / f"dump.{form}{packed}", FORMS[form](entities))
    assert {qid: gist(e) for qid, e in extract(dump, titles).items()} == expected


@pytest.mark.parametrize("form", FORMS)
def test_p373_and_ids_find_items_too(
    form: str, entities: list[dict[str, Any]], tmp_path: Path
) -> None:
    dump = write_dump(tmp_path / f"dump.{form}", FORMS[form](entities))
    got = extract(dump, ["By_P373 only"], ["Q6", "Q99"])
    assert got.keys() == {"Q6", "Q7", "Q20", "Q21", "Q22", "Q24"}
    assert got["Q7"]["labels"]["en"]["value"] == 'a "quoted" \\ name\nand é 𝄞'


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packed", ["", ".gz", ".bz2", ".xz"])
def test_an_interrupted_dump_is_named(
    form: str, packed: str, entities: list[dict[str, Any]], tmp_path: Path
) -> None:
    dump = write_dump(tmp_path / f"dump.{form}{packed}", FORMS[form](entities))
    data = dump.read_bytes()
    dump.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(InputError, match="interrupted"):
        extract(dump, ["Canal"])


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("dump.json", '{"type":"item","id":"Q20","labels":{}\n'),
        ("dump.json", "some text\n"),
        ("dump.nt", "<http://www.wikidata.org/entity/Q20> no triple\n"),
    ],
)
def test_a_damaged_line_is_named(name: str, line: str, tmp_path: Path) -> None:
    dump = tmp_path / name
    dump.write_text(line * 2, encoding="utf-8")
    with pytest.raises(InputError, match="row 1"):
        extract(dump, [], ["Q20"])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        extract(tmp_path / "x.json", [], ["Q1"])


def test_triples_of_an_item_that_do_not_stand_together_are_named(
    entities: list[dict[str, Any]], tmp_path: Path
) -> None:
    dump = write_dump(tmp_path / "sorted.nt", sorted(truthy_triples(entities)))
    with pytest.raises(InputError, match="do not stand together"):
        extract(dump, ["Canal"])


def test_both_forms_of_the_recorded_entities_agree(shared: Path, tmp_path: Path) -> None:
    world = World.recorded(shared / "wikidata" / "entities.jsonl.gz")
    found = [world.entities[qid] for qid in world.entities]
    titles = list(world.pages)
    got = {}
    for form, lines_of in FORMS.items():
        dump = write_dump(tmp_path / f"dump.{form}", lines_of(found))
        got[form] = {qid: gist(entity) for qid, entity in extract(dump, titles).items()}
    for entity in (e for each in got.values() for e in each.values()):
        # Statements of lower rank are not in the truthy dump.
        del entity["P625"]
        # A label's language there is the tag of RDF.
        del entity["labels"], entity["aliases"]
    assert got["json"] == got["nt"]
    assert len(got["json"]) > 600
