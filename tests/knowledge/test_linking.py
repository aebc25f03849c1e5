"""Items are linked to Wikidata entities by their Commons category."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from strata_labels.knowledge import link, read_snapshot


def entity(qid: str, sitelink: str = "", **claims: Any) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "id": qid,
        "labels": {"en": {"language": "en", "value": f"label of {qid}"}},
        "claims": {
            prop: [
                {"rank": "normal", "mainsnak": {"datavalue": {"value": value}}}
                for value in ([v] if isinstance(v, str) else v)
                for value in [value if prop == "P373" or isinstance(value, dict) else {"id": value}]
            ]
            for prop, v in claims.items()
        },
    }
    if sitelink:
        raw["sitelinks"] = {"commonswiki": {"title": sitelink}}
    return raw


def linked(tmp_path: Path, titles: list[str], *entities: dict[str, Any]) -> pd.DataFrame:
    path = tmp_path / "e.jsonl"
    path.write_text("".join(json.dumps(e) + "\n" for e in entities), encoding="utf-8")
    items = pd.DataFrame({"item_id": [f"i{n}" for n, _ in enumerate(titles)], "title": titles})
    frame, classes = link(items, read_snapshot(path, titles))
    assert frame["item_id"].tolist() == items["item_id"].tolist()
    assert classes["qid"].is_unique
    return frame


def row(frame: pd.DataFrame, at: int = 0) -> tuple[str, str | None, str | None]:
    return tuple(frame.loc[at, ["status", "qid", "linked_by"]])  # type: ignore[return-value]


def test_titles_are_met_through_underscores_case_and_normal_form(tmp_path: Path) -> None:
    frame = linked(tmp_path, ["e\u0301glise_A"], entity("Q7", "Category:\u00c9glise A"))
    assert row(frame) == ("resolved", "Q7", "sitelink")


def test_a_sitelink_beats_p373_and_the_other_claimant_is_named(tmp_path: Path) -> None:
    frame = linked(tmp_path, ["A"], entity("Q3", P373="A"), entity("Q9", "Category:A"))
    assert row(frame) == ("resolved", "Q9", "sitelink")
    assert frame.loc[0, "other_qids"] == ["Q3"]


def test_a_gallery_page_is_no_category(tmp_path: Path) -> None:
    assert row(linked(tmp_path, ["A"], entity("Q9", "A")))[0] == "missing"


def test_a_category_item_leads_on_to_its_topic(tmp_path: Path) -> None:
    topic = entity("Q2", P31="Q50")
    category = entity("Q8", "Category:A", P31="Q4167836", P301="Q2")
    # In either order of the file: the topic may stand before its category item.
    for entities in ([topic, category], [category, topic]):
        frame = linked(tmp_path, ["A"], *entities)
        assert row(frame) == ("resolved", "Q2", "category item")
        assert frame.loc[0, "class_qids"] == ["Q50"]


def test_a_topic_that_only_points_back_is_found(tmp_path: Path) -> None:
    category = entity("Q8", "Category:A", P31="Q4167836")
    frame = linked(tmp_path, ["A"], entity("Q2", P910="Q8"), category)
    assert row(frame) == ("resolved", "Q2", "category item")


def test_a_category_item_without_its_topic_gives_no_entity(tmp_path: Path) -> None:
    category = entity("Q8", "Category:A", P31="Q4167836", P301="Q404")
    frame = linked(tmp_path, ["A"], category)
    assert row(frame) == ("category_only", None, "category item")
    assert frame.loc[0, "class_qids"] == []
    assert frame.loc[0, "other_qids"] == ["Q8"]


def test_several_claims_are_ambiguous_and_the_lowest_number_is_taken(tmp_path: Path) -> None:
    frame = linked(tmp_path, ["A"], entity("Q30", P373="A"), entity("Q4", P373="A"))
    assert row(frame) == ("ambiguous", "Q4", "commons category")
    assert frame.loc[0, "other_qids"] == ["Q30"]


def test_nothing_is_dropped(tmp_path: Path) -> None:
    frame = linked(tmp_path, ["A", "B", "A"], entity("Q1", P373="A"))
    assert frame["status"].tolist() == ["resolved", "missing", "resolved"]
