"""A table with missing and wrong labels: what is proposed, what is questioned, what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from landmark_tables import GROUP, PLACES, WRONG, build, found, landmarks
from strata_labels.build import Workspace, apply_sheet, build_tree
from strata_labels.cli import app
from strata_labels.cli.result import finish
from strata_labels.errors import InputError
from strata_labels.evidence import has_reason
from strata_labels.review.page import Desk
from strata_labels.review.page.review_rows import ReviewSetup
from strata_labels.show.page_layout import lay_out
from strata_labels.tables import SCHEMAS, load
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def doubted(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Landmarks with wrong labels, four of them opened. Copy it before changing anything."""
    return build(tmp_path_factory.mktemp("doubted"), landmarks(wrong=True), label_issues=4)


@pytest.fixture(scope="module")
def new_kind(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Landmarks of which some are of a kind without a label. Copy it before changing anything."""
    return build(tmp_path_factory.mktemp("new_kind"), with_a_new_kind())


def copy(place: Workspace, folder: Path) -> Workspace:
    """The workspace in another folder, where `build` finds it."""
    return Workspace(Path(shutil.copytree(place.folder, folder / "ws")))


def issues(place: Workspace, level: int = 1) -> pd.DataFrame:
    table = load(place.folder, "label_issues")
    table = table[table["level"] == level]
    return table.set_index(table["item_id"].str.rpartition("/")[2])


def test_missing_labels_are_proposed_from_the_given_ones(tmp_path: Path) -> None:
    table = landmarks()
    place = build(tmp_path, table)
    assigned = found(place).loc[table.index]
    missing = (table["kind"] == "").to_numpy()
    truth = np.repeat(list(GROUP), len(PLACES))
    assert (assigned["level1_name"] == truth).all()
    assert set(assigned["origin"][missing]) == {"name"}
    sure = assigned["level1_confidence"][missing]
    assert (assigned["level2_confidence"][missing] >= sure).all() and sure.max() < 1
    assert (assigned["level1_confidence"][~missing] == 1).all()
    assert not assigned["accepted"][missing & (assigned["accepted_level"] != 1)].any()
    # Whether a row is asked is what `accepted` says.
    asked = set(pd.read_csv(place.sheet)["name"])
    assert asked == set(assigned["name"][~assigned["accepted"]])


def test_a_coarse_label_restricts_the_candidates(tmp_path: Path) -> None:
    table = landmarks()
    table.loc["church1", "group"] = "water"  # against what its name says
    place = build(tmp_path, table, label_issues=0)
    row = found(place).loc["church1"]
    assert row["level1_name"] in ("lake", "river") and row["level2_name"] == "water"
    assert row["level2_confidence"] == 1 and row["accepted_level"] in (1, 2)
    below = row["level1_confidence"]
    # Where it is doubted, it is as sure as it is clean, and what is below it is less sure.
    place = build(tmp_path, table)
    row, issue = found(place).loc["church1"], issues(place, 2).loc["church1"]
    assert issue["opened"] and row["level1_name"] in ("lake", "river")
    assert row["level2_confidence"] == pytest.approx(1 - issue["wrong"], abs=1e-4)
    assert row["level1_confidence"] == pytest.approx(below * (1 - issue["wrong"]), abs=1e-4)
    assert pd.isna(row["accepted_level"]) and not row["accepted"]


NO_EVIDENCE = "id,fine,coarse\n1,oak,tree\n2,elm,tree\n3,,tree\n4,fly,insect\n5,,insect\n6,,\n"


def test_a_coarse_label_alone_says_nothing_finer(tmp_path: Path) -> None:
    place = build(tmp_path, NO_EVIDENCE)
    assigned = found(place)
    assert assigned["level2_name"].fillna("").tolist() == [*["tree"] * 3, *["insect"] * 2, ""]
    waiting = assigned.loc[["3", "5"]]
    assert waiting["level1_id"].isna().all() and waiting["level1_confidence"].isna().all()
    assert (waiting["level2_confidence"] == 1).all() and (waiting["accepted_level"] == 2).all()
    assert not waiting["accepted"].any() and (waiting["status"] == "labelled").all()
    sheet = pd.read_csv(place.sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    asked = sheet.set_index("row_id")
    assert set(asked.index) == {f"1:table/train/{n}" for n in (3, 5, 6)}
    assert asked["reasons"]["1:table/train/3"].startswith("It came with a coarse label alone")
    assert "tree (1.00)" in explained(place, "3")
    setup = ReviewSetup(place.folder, [place.ledger], ["item", "fine", "coarse"], "", 1)
    (shown,) = Desk(setup, "ann").show("1:table/train/3")["row"]["places"]
    assert shown["name"] == "tree" and shown["given"] and shown["likely"] is None
    for row, cells in {"3": ("move", "elm"), "5": ("stop", "")}.items():
        sheet.loc[sheet["row_id"] == f"1:table/train/{row}", ["decision", "target"]] = cells
    sheet.to_csv(place.sheet, index=False)
    assert apply_sheet(place, place.sheet, "ann").added == 2
    assigned = found(build(tmp_path, NO_EVIDENCE + "7,,tree\n"))
    assert assigned.loc["3", "level1_name"] == "elm" and assigned.loc["3", "accepted"]
    assert pd.isna(assigned.loc["5", "level1_id"]) and assigned.loc["5", "level2_name"] == "insect"
    assert assigned.loc["5", "accepted"] and not assigned.loc["7", "accepted"]


def test_a_node_without_a_label_above_it_is_asked_for_its_parent(tmp_path: Path) -> None:
    text = (
        "id,fine,coarse,top\n1,oak,tree,plant\n2,moss,,plant\n3,moss,,plant\n4,fly,insect,\n"
        "5,bee,insect,\n6,ant,insect,\n7,cat,mammal,animal\n"
    )
    place = build(tmp_path, text)
    assigned = found(place)
    sheet = pd.read_csv(place.sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    moss, insect = "1/plant/unspecified_in_plant/moss", "2/unspecified/insect"
    assert sheet["row_id"].tolist() == [f"3:{insect}", f"2:{moss}"]
    assert assigned["level2_confidence"].tolist() == [1, 0, 0, 1, 1, 1, 1]
    assert assigned["level3_confidence"].tolist() == [1, 1, 1, 0, 0, 0, 1]
    assert assigned["accepted_level"].fillna(-1).tolist() == [1, 3, 3, -1, -1, -1, 1]
    assert not assigned["accepted"][["2", "4"]].any() and assigned["accepted"][["1", "7"]].all()
    sheet.loc[0, ["decision", "target"]] = ["move", "animal"]
    sheet.loc[1, ["decision", "target"]] = ["move", "tree"]
    sheet.to_csv(place.sheet, index=False)
    assert apply_sheet(place, place.sheet, "ann").added == 2
    place = build(tmp_path, text + "8,dog,mammal,animal\n")
    assigned = found(place)
    assert assigned["level3_name"].tolist() == [*["plant"] * 3, *["animal"] * 5]
    assert assigned["level2_name"]["2"] == "tree" and assigned["accepted"].all()
    assert set(assigned["origin"]) == {"published"} and len(pd.read_csv(place.sheet)) == 0


def test_known_labels_of_a_table_are_learnt_from(tmp_path: Path) -> None:
    table = landmarks()
    blank = table.assign(kind="", group="")
    blank.loc["lake0", ["kind", "group"]] = ["lake", "water"]
    known = tmp_path / "known.csv"
    table[table["kind"] != ""].drop(columns="name").to_csv(known)
    place = build(tmp_path, blank, known_labels=known)
    assigned = found(place)
    assert assigned.loc["tower1", "level1_name"] == "tower"
    assert assigned.loc["tower0", "level1_confidence"] == 1


def test_a_wrong_label_is_opened(tmp_path: Path) -> None:
    place = build(tmp_path, landmarks(wrong=True))
    table = load(place.folder, "label_issues")
    assert list(table.columns) == SCHEMAS["label_issues"].names
    assert table["score"].between(0, 1).all() and table["score"].is_monotonic_increasing
    assert set(table["level"]) == {1, 2}
    assert len(table) == 2 * 180  # a row for each given label
    of_kind = issues(place)
    assert set(of_kind.index[: len(WRONG)]) == set(WRONG)
    named = load(place.folder, "nodes").set_index("node_id")["name"]
    assert named[of_kind.loc[list(WRONG), "given"]].tolist() == list(WRONG.values())
    assert named[of_kind.loc[list(WRONG), "suggestion"]].tolist() == [
        "lake",
        "church",
        "tower",
        "river",
    ]
    # Those more likely wrong than right are opened, and no other row.
    opened = set(of_kind.index[of_kind["opened"]])
    assert opened and opened <= set(WRONG)
    proposals = load(place.folder, "proposals").set_index("subject")
    rows = proposals[has_reason(proposals["reasons"], "label_issue")]
    assert set(rows.index) == {f"table/train/{item}" for item in opened}
    # The label stands until a person decides; a coarser one that is not in doubt is accepted.
    coarse = issues(place, 2)["opened"][sorted(opened)]
    assigned = found(place).loc[sorted(opened)]
    worst = pd.concat([of_kind["wrong"], issues(place, 2)["wrong"]]).groupby(level=0).max()
    right = 1 - worst[sorted(opened)]
    assert assigned["level1_confidence"].tolist() == pytest.approx(right.tolist(), abs=1e-4)
    assert (assigned["level2_confidence"][~coarse] == 1).all()
    assert (assigned["accepted_level"].fillna(-1) == np.where(coarse, -1, 2)).all()
    assert assigned["level1_name"].tolist() == [WRONG[item] for item in sorted(opened)]
    assert not assigned["accepted"].any()


def test_the_number_of_opened_labels_can_be_chosen(tmp_path: Path) -> None:
    for number in (0, 3):
        place = build(tmp_path, landmarks(wrong=True), label_issues=number)
        assert issues(place)["opened"].sum() == number
        proposals = load(place.folder, "proposals")
        assert has_reason(proposals["reasons"], "label_issue").sum() == number


@pytest.mark.parametrize("number", [None, 2])
def test_a_wrong_coarse_label_without_a_finer_one_is_opened(
    tmp_path: Path, number: int | None
) -> None:
    table = landmarks()
    table.loc["river12", ["kind", "group"]] = ["", "building"]
    table.loc["church8", ["kind", "group"]] = ["", "water"]
    place = build(tmp_path, table, label_issues=number)
    coarse = issues(place, 2)
    assert set(coarse.index[coarse["opened"]]) == {"river12", "church8"}
    proposals = load(place.folder, "proposals").set_index("subject")
    row = proposals.loc["table/train/river12"]
    assert row["reasons"][0] == ("label_issue", "2/building")
    assert row["suggestion"] == row["alternatives"][0].node == "1/water/river"
    assigned = found(place).loc["river12"]
    assert assigned["level2_name"] == "building" and not assigned["accepted"]
    sheet = pd.read_csv(place.sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    asked = sheet.set_index("row_id")["reasons"]["1:table/train/river12"]
    assert asked.startswith("Published: building; the evidence says river, because the similar")
    sheet = sheet.set_index("row_id")
    sheet.loc["1:table/train/river12", "decision"] = "move"
    # The label is right; what is below it is not known.
    sheet.loc["1:table/train/church8", ["decision", "target"]] = ["stop", "water"]
    sheet.to_csv(place.sheet)
    apply_sheet(place, place.sheet, "ann")
    place = build(tmp_path, table, label_issues=number)
    assert found(place).loc["river12", "level1_name"] == "river"
    kept = found(place).loc["church8"]
    assert kept["level2_name"] == "water" and pd.isna(kept["level1_name"]) and kept["accepted"]
    now = issues(place, 2)["opened"]
    assert not (now.get("river12", False) or now.get("church8", False))


def test_keep_silences_a_label_issue(doubted: Workspace, tmp_path: Path) -> None:
    table = landmarks(wrong=True)
    place = copy(doubted, tmp_path)
    sheet = pd.read_csv(place.sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    mine = sheet["row_id"] == "1:table/train/tower8"
    assert mine.sum() == 1
    sheet.loc[mine, ["decision", "target"]] = ["keep", ""]
    sheet.to_csv(place.sheet, index=False)
    assert apply_sheet(place, place.sheet, "ann").added == 1
    place = build(tmp_path, table, label_issues=4)
    assert "tower8" not in place.sheet.read_text(encoding="utf-8-sig")
    of_kind = issues(place)
    assert "tower8" not in set(of_kind.index[of_kind["opened"]])
    row = found(place).loc["tower8"]
    assert row["level1_name"] == "river" and row["accepted"]


@pytest.mark.parametrize(
    ("text", "waiting"),
    [
        ("id,name,kind\n1,Lake Como,lake\n", set()),
        ("id,name,kind\n1,Lake Como,\n", {"1"}),
        ("id,name,kind\n1,Lake Como,\n2,Lake Garda,\n", {"1", "2"}),
        ("id,name,kind\n1,Lake Como,lake\n2,Lake Garda,lake\n", set()),
        ("id,name,kind\n1,Lake Como,lake\n2,Lake Garda,\n", {"2"}),
        ("id,kind\n1,lake\n2,church\n3,\n", {"3"}),
    ],
    ids=["one item", "one item, no label", "no label", "equal labels", "one node", "no evidence"],
)
def test_where_nothing_can_be_learnt_items_wait(
    tmp_path: Path, text: str, waiting: set[str]
) -> None:
    place = build(tmp_path, text)
    assigned = found(place)
    open_ids = {str(name) for name in assigned.index[~assigned["accepted"]]}
    assert open_ids == waiting
    assert assigned["level1_id"][sorted(waiting)].isna().all()  # no label is invented
    assert len(pd.read_csv(place.sheet)) == len(waiting)


def test_items_of_a_table_without_a_column_of_labels_wait(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "id,name\n1,Lake Como\n2,Church\n"
    place = build(tmp_path, text)
    assert "No column of labels in items.csv: every item waits" in capsys.readouterr().err
    assert found(place)["level1_id"].isna().all() and len(pd.read_csv(place.sheet)) == 2
    # Labels that come later, in a file of their own or as a column, name the level.
    labels = tmp_path / "labels.csv"
    labels.write_text("id,kind\n1,lake\n")
    named = found(build(tmp_path, text, known_labels=labels))
    assert named.loc["1", "level1_name"] == "lake" and named.loc["1", "accepted"]
    named = found(build(tmp_path, "id,name,kind\n1,Lake Como,\n2,Church,church\n"))
    assert named.loc["2", "level1_name"] == "church" and named.loc["2", "accepted"]
    assert "No column" not in capsys.readouterr().err


def explained(place: Workspace, item: str) -> str:
    result = CliRunner().invoke(app, ["explain", item, str(place.folder)])
    assert result.exit_code == 0, result.exception
    return result.output


def test_explain_says_what_was_given_and_how_sure_it_is(doubted: Workspace, tmp_path: Path) -> None:
    given = explained(doubted, "lake4")
    assert "given      kind: church (published)" in given
    assert "then lake; opened for review" in given
    assert "reason     The evidence says that the label it came with is wrong: church." in given
    assert "or else    lake" in given
    assert "alone      the most similar items: lake" in given
    assert "changes    without its given label: lake" in given
    missing = explained(doubted, "lake1")
    assert "given" not in missing and "checked" not in missing
    row = found(doubted).loc["lake1"]
    assert f"level 1    kind: lake ({row['level1_confidence']:.2f})" in missing
    assert f"level 2    group: water ({row['level2_confidence']:.2f})" in missing
    assert "sure       from kind up" in missing or "sure       from group up" in missing
    assert "evidence   The similar item table/train/lake" in missing
    assert "changes    without the most similar items: no other evidence" in missing
    assert "of its place: " in missing  # what the other similar items say
    waiting = explained(build(tmp_path / "none", "id,kind\n1,lake\n2,church\n3,\n"), "3")
    assert "label      none (no_label, confidence 0.00, review asked)" in waiting


def test_explain_says_what_people_decided(tmp_path: Path) -> None:
    place = build(tmp_path, NO_EVIDENCE)
    sheet = tmp_path / "sheet.csv"
    for who, target in (("ann", "oak"), ("ben", "elm")):
        sheet.write_text(f"row_id,decision,target\n1:table/train/3,move,{target}\n")
        apply_sheet(place, sheet, who)
    build_tree(place, place.last_settings())
    told = explained(place, "3")
    assert "  disputed   ann: move oak\n  disputed   ben: move elm\n" in told
    assert "reason     Two reviewers disagree about it." in told
    sheet.write_text("row_id,decision\n1:table/train/3,withdraw\n1:table/train/6,exclude\n")
    apply_sheet(place, sheet, "ben")
    build_tree(place, place.last_settings())
    assert "  decided    ann: move oak\n" in explained(place, "3")
    assert "  decided    ben: exclude\n" in explained(place, "6")
    with pytest.raises(InputError, match=r"sheet.csv, row 2, .*nothing of cid's to take back"):
        apply_sheet(place, sheet, "cid")


def test_the_summary_tells_how_many_labels_were_opened(
    doubted: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    place = doubted
    table = load(place.folder, "label_issues")
    wrong = table[table["item_id"].isin(table["item_id"][table["opened"]])]
    expected = wrong.groupby("item_id")["wrong"].max().sum()
    with pytest.raises(typer.Exit):
        finish(place)
    shown = capsys.readouterr().out
    assert f"questioned 4 given labels; by estimate {expected:.1f} of them are wrong" in shown
    assert "| church | 1 |" in place.card.read_text(encoding="utf-8")
    tables = [load(place.folder, name) for name in ("items", "nodes", "assignments")]
    on_page = lay_out(*tables, 3, table).nodes
    given = on_page.groupby("depth")["given"].apply(lambda marks: sorted(marks[marks > 0]))
    assert given[2] == [1, 1, 1, 1] and given[1] == [2, 2]


def test_sheet_and_page_say_what_was_published_and_what_speaks_against_it(
    doubted: Workspace, tmp_path: Path
) -> None:
    place = copy(doubted, tmp_path)
    sheet = pd.read_csv(place.sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    row = "1:table/train/lake4"
    said = "Published: church; the evidence says lake, because the similar item Lake "
    assert sheet.set_index("row_id")["reasons"][row].startswith(said)
    setup = ReviewSetup(place.folder, [place.ledger], ["item", "kind", "group"], "", 1)
    card = Desk(setup, "ann").show(row)["row"]
    assert card["why"][0].startswith(said)
    (lake,) = (place for place in card["places"] if place["name"] == "lake")
    (own,) = (place for place in card["places"] if place["answer"] == "keep")
    # On either side stand items of that very kind, though lake and river are in one group.
    assert {other["name"].split()[0] for other in lake["siblings"]} == {"Lake"}
    assert {other["name"].split()[0] for other in own["siblings"]} == {"Church"}


def test_where_only_coarse_labels_are_known_the_coarse_one_is_proposed(tmp_path: Path) -> None:
    table = landmarks()
    table.loc[table["group"] == "building", "kind"] = ""  # no kind of building is ever named
    place = build(tmp_path, table)
    assigned = found(place).loc[table.index]
    missing = table["group"] == ""
    truth = np.repeat(list(GROUP.values()), len(PLACES))
    assert (assigned["level2_name"] == truth)[missing].mean() > 0.9
    building = assigned["level2_name"] == "building"
    assert set(assigned.loc[building & missing, "level1_name"]) == {"unspecified in building"}
    # A coarse label is questioned at its own level alone.
    rows = issues(place)
    assert not rows.index.intersection(table.index[table["kind"] == ""]).size
    assert len(issues(place, 2)) == 180


def test_a_table_with_coarse_labels_alone(tmp_path: Path) -> None:
    table = landmarks(wrong=True).assign(kind="")
    place = build(tmp_path, table, label_issues=2)
    assigned = found(place).loc[table.index]
    missing = table["group"] == ""
    truth = np.repeat(list(GROUP.values()), len(PLACES))
    assert (assigned["level2_name"] == truth)[missing].mean() > 0.9
    rows = issues(place, 2)
    assert len(rows) == len(load(place.folder, "label_issues")) == 180
    # A wrong coarse label is opened, and the row says what it should be.
    opened = rows.index[rows["opened"]]
    assert set(opened) <= {"lake4", "church6", "tower8", "river10"} and len(opened) == 2


def with_a_new_kind(fraction: float = 0.5) -> pd.DataFrame:
    """Landmarks of four kinds, half of them labelled, and windmills, a kind without a label."""
    table = landmarks()
    table = pd.concat([table, table.rename(lambda item: f"{item}b")])
    table["name"] = table["name"] + np.where(table.index.str.endswith("b"), " East", " West")
    rare = np.random.default_rng(0).random(len(table)) < fraction
    table.loc[rare, ["kind", "group"]] = ""
    new = pd.DataFrame(
        [(f"mill{n}", f"{place} Windmill", "", "") for n, place in enumerate(PLACES[:40])],
        columns=["id", "name", "kind", "group"],
    ).set_index("id")
    return pd.concat([table, new])


def test_items_unlike_every_node_are_outside_and_asked_together(
    new_kind: Workspace, tmp_path: Path
) -> None:
    table = with_a_new_kind()
    place = copy(new_kind, tmp_path)
    assigned = found(place).loc[table.index]
    outside = assigned["status"] == "outside"
    mills = assigned.index.str.startswith("mill")
    assert outside[mills].mean() > 0.5 and outside[~mills].mean() <= 0.05
    assert assigned.loc[outside, "level1_name"].notna().all()  # the best guess
    assert not assigned.loc[outside, "accepted"].any()
    nodes = load(place.folder, "nodes")
    own = "table/train/" + assigned.index[outside]
    assert not set(own) & set(nodes["node_id"])  # it is not in the tree
    sheet = pd.read_csv(place.sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    asked = sheet[sheet["row_id"].isin("1:table/train/" + assigned.index[outside & mills])]
    new = asked["suggestion_id"].mode()[0]
    assert new.endswith("/new:windmill")
    assert (asked["suggestion_id"] == new).mean() > 0.5
    assert asked["reasons"].str.contains("unlike every node").all()
    assert asked["suggestion"].str.contains("windmill").any()

    # One answer makes it a node of the tree, and the next build learns from it.
    taken = asked["suggestion_id"] == new
    sheet.loc[asked.index[taken], ["decision", "target"]] = ["move", ""]
    sheet.to_csv(place.sheet, index=False)
    assert apply_sheet(place, place.sheet, "ann").added == taken.sum()
    place = build(tmp_path, table)
    again = found(place).loc[table.index]
    settled = "1:table/train/" + again.index
    moved = again[settled.isin(asked["row_id"][taken])]
    assert set(moved["level1_name"]) == {"windmill"} and moved["accepted"].all()
    assert set(moved["status"]) == {"labelled"}
    assert (again["level1_name"][mills] == "windmill").all()


@pytest.mark.parametrize("word", ["create", "split"])
def test_the_engine_learns_a_node_that_people_made(
    new_kind: Workspace, tmp_path: Path, word: str
) -> None:
    table = with_a_new_kind()
    place = copy(new_kind, tmp_path)
    mills = table.index[table.index.str.startswith("mill")]
    # Ten windmills are put into a new node: below "building", or split off from "tower".
    named = [f"table/train/{mill}" for mill in mills[::4]]
    level, name = (2, "building") if word == "create" else (1, "tower")
    nodes = load(place.folder, "vocabulary")
    node = nodes.loc[(nodes["name"] == name) & (nodes["level"] == level), "node_id"].item()

    row = f"{level + 1}:{node}"
    decide(place, row, word, "|".join(["Mill", *named]))
    place = build(tmp_path, table)
    vocabulary = load(place.folder, "vocabulary").set_index("node_id")
    (new,) = vocabulary.index[vocabulary["name"] == "Mill"]
    again = found(place).loc[table.index]
    assert (again.loc[mills, "level1_id"] == new).all()
    rest = again.loc[mills.difference(mills[::4])]
    assert (rest["level2_name"] == "building").all() and (rest["level1_confidence"] < 1).all()
    assert (again["level1_name"] == "Mill").sum() == len(mills)
    # Withdrawn: the node is gone, and what was guessed there is guessed elsewhere.
    decide(place, row, "withdraw", "")
    place = build(tmp_path, table)
    assert new not in set(load(place.folder, "vocabulary")["node_id"])
    assert not (found(place)["level1_name"] == "Mill").any()


def decide(place: Workspace, row: str, decision: str, target: str) -> None:
    sheet = place.folder.parent / "sheet.csv"
    row_of = pd.DataFrame([(row, decision, target)], columns=["row_id", "decision", "target"])
    row_of.to_csv(sheet, index=False)
    assert apply_sheet(place, sheet, "ann").added == 1


def test_a_made_node_below_a_coarse_label_takes_nothing_by_itself(tmp_path: Path) -> None:
    table = landmarks()
    table.loc[~table["kind"].isin(["lake", "river"]), "kind"] = ""
    place = build(tmp_path, table)
    before = found(place).loc[table.index]
    named = [f"table/train/church{n}" for n in range(0, 60, 3)]
    decide(place, "3:2/building", "create", "|".join(["Church", *named]))
    after = found(build(tmp_path, table)).loc[table.index]
    moved = after["level1_name"] == "Church"
    assert ("table/train/" + after.index[moved]).tolist() == named
    same = ~moved & (table["kind"] == "")
    assert (after.loc[same, "level1_id"] == before.loc[same, "level1_id"]).mean() > 0.9
    assert "new:church" not in " ".join(load(place.folder, "vocabulary")["node_id"])


def test_items_that_look_like_a_node_without_members_are_not_given_a_second_one(
    tmp_path: Path,
) -> None:
    table = with_a_new_kind()
    place = build(tmp_path, table[~table.index.str.startswith("mill")])
    decide(place, "3:2/building", "create", "Windmill")
    place = build(tmp_path, table)  # which would be refused with a second node of this name
    vocabulary = load(place.folder, "vocabulary")
    assert (vocabulary["name"].str.casefold() == "windmill").sum() == 1
    assert set(found(place).index) == set(table.index)
