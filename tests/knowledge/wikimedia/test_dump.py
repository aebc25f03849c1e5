"""Dumps on disk give the entities that the API gives."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
from dumps import json_dump, truthy_triples, write_dump
from mediawiki import MediaWiki, World, item
from strata_labels.errors import InputError
from strata_labels.knowledge.entity import best_items, best_texts
from strata_labels.knowledge.wikimedia import ResponseStore, extract_dump
from wikimedia_helpers import ask

FORMS = {"json": json_dump, "nt": truthy_triples}


def lines(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".gz" else data
    return [json.loads(line) for line in data.splitlines()]


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


@pytest.mark.parametrize("packed", ["", ".gz", ".bz2"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_dump_gives_what_the_api_gives(
    order: int, form: str, packed: str, entities: list[dict[str, Any]], small_world: World,
    store: ResponseStore, tmp_path: Path,
) -> None:  # fmt: skip
    titles = ["Canal", "Old Mill (Nice)", "église"]
    with MediaWiki(small_world).running() as wiki:
        expected = {e["id"]: gist(e) for e in ask(wiki, store, titles).entities()}
    expected.pop("Q25", None)
    for qid in ("Q1", "Q2", "Q5"):
        link = next(e for e in entities if e["id"] == qid)["sitelinks"]["commonswiki"]["title"]
        expected[qid]["sitelink"] = link
    random.Random(order).shuffle(entities)
    dump = write_dump(tmp_path / f"dump.{form}{packed}", FORMS[form](entities))
    extracted = extract_dump(dump, tmp_path / "out.jsonl.gz", titles)
    got = {e["id"]: gist(e) for e in lines(tmp_path / "out.jsonl.gz")}
    assert got == expected
    assert list(got) == sorted(got, key=lambda qid: int(qid[1:]))
    assert extracted.entities == len(got)
    assert extracted.missing_ids == ["Q25"]  # merged: dumps have no redirects


@pytest.mark.parametrize("form", FORMS)
def test_p373_and_ids_find_items_too(
    form: str, entities: list[dict[str, Any]], tmp_path: Path
) -> None:
    dump = write_dump(tmp_path / f"dump.{form}", FORMS[form](entities))
    extracted = extract_dump(dump, tmp_path / "out.jsonl", ["By_P373 only"], ["Q6", "Q99"])
    got = {e["id"]: e for e in lines(tmp_path / "out.jsonl")}
    assert got.keys() == {"Q6", "Q7", "Q20", "Q21", "Q22", "Q24"}
    assert got["Q7"]["labels"]["en"]["value"] == 'a "quoted" \\ name\nand é 𝄞'
    assert extracted.missing_ids == ["Q25", "Q99"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packed", ["", ".gz", ".bz2"])
def test_an_interrupted_dump_is_named_and_writes_nothing(
    form: str, packed: str, entities: list[dict[str, Any]], tmp_path: Path
) -> None:
    dump = write_dump(tmp_path / f"dump.{form}{packed}", FORMS[form](entities))
    data = dump.read_bytes()
    dump.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(InputError, match="interrupted"):
        extract_dump(dump, tmp_path / "out.jsonl", ["Canal"])
    assert not (tmp_path / "out.jsonl").exists()


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
        extract_dump(dump, tmp_path / "out.jsonl", [], ["Q20"])


def test_ids_that_are_none_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        extract_dump(tmp_path / "x.json", tmp_path / "out.jsonl", [], ["P31", "Q1", "L1-F1"])
    assert len(caught.value.problems) == 2
    with pytest.raises(InputError, match="cannot be read"):
        extract_dump(tmp_path / "x.json", tmp_path / "out.jsonl", [], ["Q1"])


def test_both_forms_of_the_recorded_entities_agree(shared: Path, tmp_path: Path) -> None:
    world = World.recorded(shared / "wikidata" / "entities.jsonl.gz")
    found = [world.entities[qid] for qid in world.entities]
    titles = list(world.pages)
    got = {}
    for form, lines_of in FORMS.items():
        dump = write_dump(tmp_path / f"dump.{form}", lines_of(found))
        extract_dump(dump, tmp_path / f"{form}.jsonl", titles)
        got[form] = {e["id"]: gist(e) for e in lines(tmp_path / f"{form}.jsonl")}
    for entity in (e for each in got.values() for e in each.values()):
        # Statements of lower rank are not in the truthy dump.
        del entity["P625"]
        # A label's language there is the tag of RDF.
        del entity["labels"], entity["aliases"]
    assert got["json"] == got["nt"]
    assert len(got["json"]) > 600
