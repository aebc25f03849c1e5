"""Contradictions in given labels: one row each, one decision, and silence after it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from building import strata_output
from strata_labels.build import BuildSettings, Workspace, apply_sheet, build_tree, rebuild
from strata_labels.errors import InputError
from strata_labels.review.page import Desk
from strata_labels.review.page.answers import Refused
from strata_labels.review.page.review_rows import ReviewSetup
from strata_labels.tables import load

TABLE = """id,name,fine,coarse,top
1,Gala apple,apple,fruit,plants
2,Red apple,apple,fruit,plants
3,Apple juice,apple,drinks,products
4,A box,Apples,fruit,plants
5,Pear one,pear,fruit,plants
6,Pear two,unknown,fruit,plants
7,Cola,cola,drinks,products
8,Cola two,cola,Drinks,products
9,Cola three,cola,drinks,pro\u200bducts
10,Milk,milk,-,products
11,Milk two,milk,dairy,products
"""
ROWS = {
    "4:3/pro\u200bducts": ("spelled_alike", "3/products"),
    "3:2/products/Drinks": ("spelled_alike", "2/products/drinks"),
    "3:2/-": ("placeholder", ""),
    "2:1/plants/fruit/Apples": ("spelled_alike", "1/plants/fruit/apple"),
    "2:1/products/drinks/apple": ("two_parents", "1/plants/fruit/apple"),
    "2:1/unknown": ("placeholder", ""),
}
DECIDED = {
    "4:3/pro\u200bducts": ("merge", ""),
    "3:2/products/Drinks": ("merge", ""),
    "3:2/-": ("exclude", ""),
    "2:1/plants/fruit/Apples": ("merge", ""),
    "2:1/products/drinks/apple": ("keep", ""),
    "2:1/unknown": ("keep", ""),
}
AFTER = [
    *["1/plants/fruit/apple"] * 2,
    "1/products/drinks/apple",
    "1/plants/fruit/apple",
    "1/plants/fruit/pear",
    "1/plants/fruit/unknown",
    *["1/products/drinks/cola"] * 3,
    *["1/products/dairy/milk"] * 2,
]


def build(folder: Path, text: str = TABLE, **more: object) -> Workspace:
    folder.mkdir(exist_ok=True)
    path = folder / "items.csv"
    path.write_text(text, encoding="utf-8")
    place = Workspace(folder / "ws")
    given = {"tree": "table", "decisions": place.ledger, "encoder": "", "metadata": path, **more}
    build_tree(place, BuildSettings(**given))  # type: ignore[arg-type]
    return place


def open_names(place: Workspace) -> dict[str, tuple[str, str]]:
    """The open rows of nodes: their first reason and the suggestion."""
    sheet = pd.read_csv(place.sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    asked = load(place.folder, "proposals").set_index("row_id")
    rows = sheet[~sheet["row_id"].str.startswith("1:")]
    return {
        row: (asked.reasons[row][0].kind, suggestion)
        for row, suggestion in zip(rows["row_id"], rows["suggestion_id"], strict=True)
    }


def decide(place: Workspace, decisions: dict[str, tuple[str, str]]) -> None:
    """Fills the sheet in, applies it and builds again."""
    sheet = pd.read_csv(place.sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    for row, cells in decisions.items():
        assert (sheet["row_id"] == row).sum() == 1
        sheet.loc[sheet["row_id"] == row, ["decision", "target"]] = cells
    sheet.to_csv(place.sheet, index=False)
    assert apply_sheet(place, place.sheet, "ann").added == len(decisions)
    build_tree(place, place.last_settings())


def desk(place: Workspace) -> Desk:
    return Desk(
        ReviewSetup(place.folder, [place.ledger], ["item", "fine", "coarse", "top"], "", 1), "ann"
    )


def leaves(place: Workspace) -> list[str]:
    return load(place.folder, "assignments")["level1_id"].fillna("").tolist()


def test_each_contradiction_is_a_row_that_one_decision_settles(tmp_path: Path) -> None:
    place = build(tmp_path)
    assert open_names(place) == ROWS
    # A word for a missing label is no class; the label above is completed from the other items.
    assert not {"unknown", "-"} & set(load(place.folder, "nodes")["name"])
    assert leaves(place)[5].startswith("1/plants/fruit/") and leaves(place)[9] == AFTER[9]
    decide(place, DECIDED)
    assert leaves(place) == AFTER
    assert open_names(place) == {}
    # The children of merged nodes were merged with them, and nothing but names was decided.
    items = load(place.folder, "assignments")
    assert set(items["origin"]) == {"published"}
    build(tmp_path, TABLE + "12,Water,water,drinks,products\n")
    assert open_names(place) == {} and leaves(place)[:11] == AFTER


@pytest.mark.parametrize("given", ["plants", "plant"])
def test_a_missing_label_stays_between_the_known_ones_after_a_merge(
    tmp_path: Path, given: str
) -> None:
    text = "id,fine,coarse,top\n1,oak,tree,plant\n2,rose,flower,plant\n3,fir,tree,plant\n"
    place = build(tmp_path, f"{text}4,elm,tree,plants\n5,moss,,{given}\n")
    decide(place, {"4:3/plants": ("merge", "")})
    moss = load(place.folder, "assignments").set_index("level1_name").loc["moss"]
    assert moss["level3_name"] == "plant" and moss["accepted_level"] == 3
    assert [moss[f"level{level}_confidence"] for level in (2, 3)] == [0, 1]
    assert not moss["accepted"]
    sheet = pd.read_csv(place.sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    assert len(sheet) == 1 and sheet["reasons"][0].endswith("is missing: plant.")


def test_the_page_answers_as_the_sheet_does(tmp_path: Path) -> None:
    place = build(tmp_path)
    ann = desk(place)
    for row, (word, _) in DECIDED.items():
        shown = ann.show(row)
        card = shown["row"]
        assert card["row_id"] == row
        kind, other = ROWS[row]
        others = [at for at in card["places"] if at["answer"] != "keep"]
        assert [(at["answer"], at["node"]) for at in others] == (
            [("merge", other)] if other else []
        )
        assert card["keeps"] == (row.startswith("4:") or kind == "placeholder")
        told = [text for at in card["places"] for text in at["evidence"]]
        assert card["why"] and [*told, *card["facts"]]
        ann.decide(shown["state"], row, word, other if word == "merge" else "")
        ann.settle()
    build_tree(place, place.last_settings())
    assert leaves(place) == AFTER and open_names(place) == {}


def test_below_nodes_in_question_nothing_is_asked_before_they_are_decided(tmp_path: Path) -> None:
    text = "id,fine,coarse\n1,Oak,Tree\n2,oak,trees\n3,oak,trees\n4,Elm,Tree\n5,elm,trees\n"
    place = build(tmp_path, text)
    assert list(open_names(place)) == ["3:2/Tree"]
    decide(place, {"3:2/Tree": ("keep", "")})
    assert open_names(place) == {
        "2:1/Tree/Oak": ("spelled_alike", "1/trees/oak"),
        "2:1/trees/elm": ("spelled_alike", "1/Tree/Elm"),
    }


def test_a_word_for_a_missing_label_can_be_another_class(tmp_path: Path) -> None:
    text = "id,kind\n1,lake\n2,lake\n3,n/a\n4,river\n"
    place = build(tmp_path, text)
    assert leaves(place) == ["1/lake", "1/lake", "", "1/river"]
    decide(place, {"2:1/n%2Fa": ("merge", "lake")})
    assert leaves(place) == ["1/lake", "1/lake", "1/lake", "1/river"] and open_names(place) == {}


@pytest.mark.parametrize("word", ["move", "rename", "describe"])
def test_what_says_nothing_of_a_word_for_a_missing_label_is_refused(
    tmp_path: Path, word: str
) -> None:
    place = build(tmp_path, "id,kind,top\n1,lake,water\n2,-,water\n3,oak,tree\n")
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"row_id,decision,target\n2:1/-,{word},water\n")
    with pytest.raises(InputError, match=r"row 2, .*Decide keep") as raised:
        apply_sheet(place, sheet, "ann")
    assert len(raised.value.problems) == 1
    if word == "move":
        ann = desk(place)
        shown = ann.show("2:1/-")
        with pytest.raises(Refused, match=r"No decision on a word .* Decide keep"):
            ann.decide(shown["state"], "2:1/-", word, "2/water")


def test_what_an_earlier_ledger_says_of_such_a_word_leaves_its_row_open(tmp_path: Path) -> None:
    ledger = tmp_path / "ws" / "decisions.csv"
    ledger.parent.mkdir()
    cells = "2:1/-,1/-,2,move,2/water,ann,2026-11-01T00:00:00Z"
    ledger.write_text(f"row_id,subject,level,decision,target,reviewer,decided_at\n{cells}\n")
    place = build(tmp_path, "id,kind,top\n1,lake,water\n2,-,water\n3,oak,tree\n")
    assert open_names(place) == {"2:1/-": ("placeholder", "")}
    assert "without effect: decide keep" in place.not_applied.read_text()
    assert "without effect" in strata_output("history", "1/-", place.folder)


@pytest.mark.parametrize("word", ["split", "create"])
def test_names_and_ids_with_a_bar_can_be_members(tmp_path: Path, word: str) -> None:
    text = "id,kind,top\na|b,inn,house\nc%7Cd,inn,house\n3,pub|bar,house\n4,oak,tree\n"
    place = build(tmp_path, text)
    sheet = tmp_path / "sheet.csv"
    row, target = "2:1/house/inn", "Hotel|table/train/a%7Cb|table/train/c%7Cd"
    if word == "create":
        row, target = "3:2/house", "Drinks|table/train/a%7Cb"
    else:
        sheet.write_text(f"row_id,decision,target\n{row},{word},Hotel|table/train/a|b\n")
        with pytest.raises(InputError, match=r"unknown item: 'table/train/a'.*%7C for a \|"):
            apply_sheet(place, sheet, "ann")
    rows = f"{row},{word},{target}\n" + "3:2/house,split,Pubs|pub%7Cbar\n" * (word == "split")
    sheet.write_text(f"row_id,decision,target\n{rows}")
    assert apply_sheet(place, sheet, "ann").added == len(rows.splitlines())
    build_tree(place, place.last_settings())
    found = load(place.folder, "assignments").set_index("item_id")
    if word == "create":
        assert found["level1_name"]["table/train/a|b"] == "Drinks"
    else:
        assert found["level1_name"][["table/train/a|b", "table/train/c%7Cd"]].eq("Hotel").all()
        assert found["level2_name"]["table/train/3"] == "Pubs"
    assert apply_sheet(place, sheet, "ann").added == 0


def test_an_id_that_holds_what_stands_for_a_bar_is_taken_as_written(tmp_path: Path) -> None:
    place = build(tmp_path, "id,kind,top\n1,tea%7Ccup,house\n2,mug,house\n3,oak,tree\n")
    node = next(node for node in leaves(place) if node.startswith("1/house/tea"))
    assert "%257C" in node
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"row_id,decision,target\n3:2/house,split,Tableware|{node}\n")
    assert apply_sheet(place, sheet, "ann").added == 1
    rebuild(place)
    found = load(place.folder, "assignments").set_index("item_id")
    assert found["level2_name"]["table/train/1"] == "Tableware"
    assert found["level2_name"]["table/train/2"] == "house"


def test_after_a_merge_no_row_names_a_merged_node(tmp_path: Path) -> None:
    text = "id,kind,top\n" + "".join(f"{n},Lakes,Water\n{n}b,lake,water\n" for n in range(4))
    text += "8,lake,water\n9,lake,tree\n10,oak,tree\n11,,tree\n"
    place = build(tmp_path, text)
    assert set(open_names(place)) == {"3:2/Water", "2:1/tree/lake"}
    decide(place, {"3:2/Water": ("merge", "")})
    assert set(open_names(place)) == {"2:1/Water/Lakes", "2:1/tree/lake"}
    decide(place, {"2:1/Water/Lakes": ("merge", "")})
    sheet = place.sheet.read_text(encoding="utf-8-sig")
    assert "2:1/tree/lake" in sheet and "Water" not in sheet and "Lakes" not in sheet
    told = strata_output("explain", "0", place.folder)
    assert "evidence   Published under lake › water." in told
    assert "given      kind: Lakes (published)" in told


def test_homonyms_of_other_kingdoms_are_no_contradiction(tmp_path: Path) -> None:
    # As `hierarchies/inat-h` has it: genera may share a name, families may not.
    folder = tmp_path / "hierarchy"
    folder.mkdir()
    (folder / "hierarchy.toml").write_text(
        'tree = "t"\ntitle = "T"\nsource = "table"\nlevels = ["item", "genus", "family", "top"]\n'
        '[published]\nblank = "unspecified"\nhomonyms = ["genus"]\n[export]\nformats = []\n'
    )
    text = (
        "id,genus,family,top\n1,Iris,Iridaceae,plants\n2,Iris,Eremiaphilidae,animals\n"
        "3,Poppy,Papaveraceae,plants\n4,Squirrel,Papaveraceae,animals\n"
    )
    place = build(tmp_path, text, tree=str(folder))
    assert list(open_names(place)) == ["3:2/plants/Papaveraceae"]


@pytest.mark.parametrize("word", ["?", "<none>", "Unbekannt", "TBD", "\u200b"])
def test_words_for_a_missing_label(tmp_path: Path, word: str) -> None:
    place = build(tmp_path, f"id,kind\n1,lake\n2,{word}\n")
    assert leaves(place) == ["1/lake", ""]
    assert [kind for kind, _ in open_names(place).values()] == ["placeholder"]


def test_a_kept_word_is_a_class_that_can_be_renamed(tmp_path: Path) -> None:
    place = build(tmp_path / "one", "id,kind\n1,lake\n2,none\n3,none\n")
    rename = {"row_id": "2:1/none", "decision": "rename", "target": "No denomination"}

    def applied(**answer: str) -> None:
        sheet = tmp_path / "answer.csv"
        pd.DataFrame([answer]).to_csv(sheet, index=False)
        apply_sheet(place, sheet, "ann")
        rebuild(place)

    with pytest.raises(InputError, match="no decision on a word for a missing label: 'rename'"):
        applied(**rename)
    applied(row_id="2:1/none", decision="keep")
    applied(**rename)
    assert leaves(place) == ["1/lake", "1/none", "1/none"]
    names = load(place.folder, "nodes").set_index("node_id").name
    assert names["1/none"] == "No denomination"
    assert not place.not_applied.exists()
    # Its place is that of its items.
    place = build(tmp_path / "two", "id,kind,top\n1,oak,tree\n2,none,tree\n3,tulip,flower\n")
    applied(row_id="2:1/none", decision="keep")
    with pytest.raises(InputError, match="no decision on a word for a missing label: 'move'"):
        applied(row_id="2:1/none", decision="move", target="flower")
    assert "1/tree/none" in leaves(place)


def test_faults_of_a_ledger_are_all_listed_beside_those_of_other_inputs(tmp_path: Path) -> None:
    ledger = tmp_path / "d.csv"
    apple, pear = "1/plants/fruit/apple", "table/train/5"
    ledger.write_text(
        "row_id,subject,level,decision,target,reviewer,decided_at\n"
        f"2:{apple},{apple},2,rename,,ann,2026-11-01T00:00:00Z\n"
        f"1:{pear},{pear},1,move,pagoda,ann,2026-11-01T00:00:00Z\n"
        "1:no/such,no/such,1,move,pear,ann,2026-11-01T00:00:00Z\n"
    )
    with pytest.raises(InputError) as raised:
        build(tmp_path, decisions=ledger, images=tmp_path / "nowhere", encoder="nonsense")
    found = [(str(p.where), p.row) for p in raised.value.problems]
    rows = [(str(ledger), row) for row in (2, 3, 4)]
    assert sorted(found, key=str) == sorted(
        [("--encoder", None), *rows, ("--images", None)], key=str
    )
    assert f"not found: '{tmp_path / 'nowhere'}'" in str(raised.value)
