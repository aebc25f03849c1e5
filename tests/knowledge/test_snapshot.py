"""Reading snapshots: forms, ranks, snaks without value, damage."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from strata_labels.errors import InputError
from strata_labels.knowledge import read_snapshot
from strata_labels.knowledge.snapshot import Entity


def claim(prop: str, value: Any, rank: str = "normal", snaktype: str = "value") -> dict[str, Any]:
    if isinstance(value, str) and value.startswith("Q") and prop != "P373":
        value = {"id": value, "entity-type": "item"}
    snak = {"snaktype": snaktype, "property": prop}
    if snaktype == "value":
        snak["datavalue"] = {"value": value}  # type: ignore[assignment]
    return {"mainsnak": snak, "rank": rank}


def item(qid: str, *claims: dict[str, Any], label: str = "", **more: Any) -> dict[str, Any]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for one in claims:
        grouped.setdefault(one["mainsnak"]["property"], []).append(one)
    labels = {"en": {"language": "en", "value": label}} if label else {}
    return {"id": qid, "type": "item", "labels": labels, "claims": grouped, **more}


ITEMS = [
    item("Q1", claim("P31", "Q10"), claim("P373", "Old Bridge"), label="Old Bridge"),
    item("Q10", claim("P279", "Q11"), label="arch bridge"),
    item("Q11", claim("P279", "Q12"), label="bridge"),
    item("Q12", label="structure"),
    item("Q99", claim("P31", "Q5"), label="nobody asked"),
]


PACK = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def lines(items: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(one) + "\n" for one in items)


def dump(items: list[dict[str, Any]]) -> str:
    return "[\n" + ",\n".join(json.dumps(one) for one in items) + "\n]\n"


@pytest.mark.parametrize("form", [lines, dump])
@pytest.mark.parametrize("suffix", PACK)
def test_every_form_gives_the_same_snapshot(tmp_path: Path, form: Any, suffix: str) -> None:
    path = tmp_path / f"entities.json{suffix}"
    pack = PACK[suffix]
    path.write_bytes(pack(form(ITEMS).encode()))
    snapshot = read_snapshot(path, ["old_Bridge"])
    assert sorted(snapshot.entities) == ["Q1"]
    assert sorted(snapshot.classes) == ["Q10", "Q11", "Q12"]
    assert snapshot.parents == {"Q10": ("Q11",), "Q11": ("Q12",)}


def read(tmp_path: Path, *items: dict[str, Any]) -> list[Entity]:
    path = tmp_path / "e.jsonl"
    path.write_text(lines(list(items)))
    ids = [f"Q{number}" for number in range(1, 10)]
    return list(read_snapshot(path, [], ids=ids).entities.values())


def test_preferred_beats_normal_and_deprecated_is_out(tmp_path: Path) -> None:
    (entity,) = read(
        tmp_path,
        item(
            "Q1",
            claim("P31", "Q2", "deprecated"),
            claim("P31", "Q3"),
            claim("P31", "Q4", "preferred"),
            claim("P279", "Q5", "deprecated"),
        ),
    )
    assert entity.class_qids == ("Q4",)
    assert entity.parent_qids == ()


def test_unknown_values_missing_claims_and_other_entities_are_no_crash(tmp_path: Path) -> None:
    entities = read(
        tmp_path,
        item(
            "Q1", claim("P31", None, snaktype="somevalue"), claim("P625", None, "normal", "novalue")
        ),
        {"id": "Q2"},
        {"id": "Q3", "labels": [], "aliases": [], "claims": [], "sitelinks": []},
        {"id": "P31", "type": "property"},
        {"id": "L7", "type": "lexeme"},
        {"id": "Q4", "missing": ""},
        item("Q5", {"mainsnak": {"property": "P31"}, "rank": "normal"}),
    )
    assert [e.qid for e in entities] == ["Q1", "Q2", "Q3", "Q5"]
    assert all(e.class_qids == () and e.lat is None and e.label == "" for e in entities)


def test_damaged_lines_are_all_listed_with_their_row(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    good = json.dumps(ITEMS[0])
    path.write_text(f"{good}\n{{broken\n{good}\n[1, 2]\n42\n")
    with pytest.raises(InputError) as error:
        read_snapshot(path, [])
    assert [p.row for p in error.value.problems] == [2, 4, 5]


@pytest.mark.parametrize("suffix", [*PACK, ".array"])
def test_an_interrupted_download_is_recognised(tmp_path: Path, suffix: str) -> None:
    many = [item(f"Q{n}", label=f"item {n * 7919}") for n in range(1, 3000)]
    path = tmp_path / f"e.json{suffix}"
    if suffix == ".array":
        path.write_text(dump(many).removesuffix("]\n"))
    else:
        pack = PACK[suffix]
        data = pack(lines(many).encode())
        path.write_bytes(data[: len(data) * 2 // 3 + 5])
    with pytest.raises(InputError, match="interrupted download") as error:
        read_snapshot(path, [])
    assert error.value.problems[0].row is not None


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_snapshot(tmp_path / "none.jsonl", ["A"])
