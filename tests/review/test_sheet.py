"""The sheet: what stands in it, and what spreadsheets and people do to it."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import LEVELS, TIME, VOCABULARY, decisions, evidence_hash, item, items, proposals
from strata_labels.errors import InputError
from strata_labels.evidence import Evidence
from strata_labels.people_csv import clean_cell, neutralise, restore
from strata_labels.review import LedgerWriter, Sheet, read_ledger, read_sheet, replay, write_sheet
from strata_labels.review.ranking import queue
from strata_labels.review.sheet import SHEET_COLUMNS

ROW = f"1:{item(4)}"


@pytest.fixture
def resolution():
    return replay(decisions(), proposals(), VOCABULARY)


@pytest.fixture
def sheet(tmp_path, resolution):
    path = tmp_path / "review.csv"
    write_sheet(path, resolution, items(), LEVELS)
    return path


def cells(path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")


def decide(path, *rows: tuple[str, str, str], **cells_of_all: str) -> pd.DataFrame:
    frame = cells(path)
    for row_id, decision, target in rows:
        frame.loc[frame.row_id == row_id, ["decision", "target"]] = [decision, target]
    for column, value in cells_of_all.items():
        frame[column] = value
    frame.to_csv(path, index=False)
    return frame


def read(path, resolution, reviewer="ann", decided_at=TIME) -> Sheet:
    return read_sheet(path, resolution, reviewer=reviewer, decided_at=decided_at)


def problems(path, resolution, **options) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(path, resolution, **options)
    return [str(problem) for problem in caught.value.problems]


def test_the_open_rows_stand_in_the_order_of_the_page(sheet, resolution):
    frame = cells(sheet)
    assert list(frame.columns) == SHEET_COLUMNS
    assert frame.row_id.tolist() == queue(resolution, items()).row_id.tolist()


def test_a_class_row_tells_its_members(sheet):
    row = cells(sheet).iloc[0]
    assert (row["name"], row.members, row.examples) == (
        "cathedral",
        "2",
        "Landmark 2; Landmark 3",
    )
    assert row.suggestion == "church › human-made"
    assert row.suggestion_id == "2/church"
    assert row.alternatives == "castle / fort › human-made; lake › natural"
    assert row.reasons == "Two places are about equally likely."
    assert row.kind == "supercategory"


def test_a_landmark_row(sheet):
    row = cells(sheet).set_index("row_id").loc[ROW]
    assert row.link == "http://commons.wikimedia.org/wiki/Category:Landmark_4"
    assert row.suggestion == "castle › castle / fort › human-made"
    assert (row.confidence, row.members, row.current, row.current_id) == ("30%", "", "", "")
    assert row.evidence_hash == "#" + evidence_hash(item(4))


def test_what_people_read_first_stands_first_and_nothing_is_said_twice(sheet):
    frame = cells(sheet)
    assert list(frame.columns[:6]) == ["name", "link", "suggestion", "decision", "target", "note"]
    assert list(frame.columns[-4:]) == ["row_id", "current_id", "suggestion_id", "evidence_hash"]
    filled = [name for name in frame if (frame[name] != "").any()]
    for n, one in enumerate(filled):
        assert not any((frame[one] == frame[other]).all() for other in filled[n + 1 :])


def test_an_item_shows_others_of_the_place_that_is_suggested(sheet):
    row = cells(sheet).set_index("row_id")
    assert row.examples[f"1:{item(2)}"] == "Landmark 3"
    assert row.link["2:1/Q2977"] == "https://www.wikidata.org/wiki/Q2977"


def test_unsure_goes_to_the_end(tmp_path):
    resolution = replay(decisions(("1/Q2977", 2, "unsure", "")), proposals(), VOCABULARY)
    write_sheet(tmp_path / "a.csv", resolution, items(), LEVELS)
    assert (
        cells(tmp_path / "a.csv").iloc[-1].reasons
        == "Two places are about equally likely. A reviewer was unsure about it."
    )


def test_the_same_rows_give_the_same_bytes(tmp_path, resolution):
    write_sheet(tmp_path / "a.csv", resolution, items(), LEVELS)
    shuffled = replay(decisions(), proposals().sample(frac=1, random_state=1), VOCABULARY)
    write_sheet(tmp_path / "b.csv", shuffled, items().sample(frac=1, random_state=2), LEVELS)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_an_untouched_sheet_decides_nothing(sheet, resolution):
    assert read(sheet, resolution).decisions.empty


def test_decisions_come_out_with_ids(sheet, resolution):
    decide(sheet, (ROW, "Move", "castle / fort › human-made"), ("2:1/Q2977", "keep", ""))
    found = read(sheet, resolution).decisions.set_index("row_id")
    assert found.loc[ROW, ["decision", "target", "reviewer"]].tolist() == [
        "move",
        "2/castle",
        "ann",
    ]
    # What was kept is written down, so that a later proposal cannot change its meaning.
    assert found.loc["2:1/Q2977", ["decision", "target"]].tolist() == ["keep", "2/church"]
    assert found.loc[ROW, "evidence_hash"] == evidence_hash(item(4))
    assert found.loc[ROW, "decided_at"] == TIME


FORMS = {
    "excel, semicolons": (";", "\r\n", "utf-8-sig"),
    "excel, unicode text": ("\t", "\r\n", "utf-16"),
    "libreoffice": (",", "\n", "utf-8"),
    "google": (",", "\r\n", "utf-8"),
}


@pytest.mark.parametrize("form", FORMS)
def test_saved_by_a_spreadsheet(sheet, resolution, form):
    separator, line_end, encoding = FORMS[form]
    frame = decide(sheet, (ROW, "move", "church"), reviewer="Ben")
    frame = frame.map(lambda cell: f"  {cell} ")
    frame.columns = [f" {column.upper()} " for column in frame.columns]
    text = frame.sample(frac=1, axis=1, random_state=0).to_csv(
        index=False, sep=separator, lineterminator=line_end
    )
    sheet.write_bytes(text.encode(encoding))
    found = read(sheet, resolution, reviewer="").decisions
    assert found[["row_id", "target", "reviewer"]].to_numpy().tolist() == [[ROW, "2/church", "Ben"]]


def test_a_partial_sheet_without_most_columns(sheet, resolution):
    frame = decide(sheet, (ROW, "exclude", ""))
    frame[["decision", "row_id"]].iloc[::-1].head(4).to_csv(sheet, index=False)
    found = read(sheet, resolution).decisions
    assert found.evidence_hash.tolist() == [evidence_hash(item(4))]


def test_everything_wrong_is_listed_by_row(sheet, resolution):
    frame = cells(sheet)
    frame["reviewer"] = "ann"
    frame.loc[0, ["decision", "target"]] = ["shift", ""]
    frame.loc[1, ["decision", "target"]] = ["move", "pagoda"]
    frame.loc[2, ["decision", "target"]] = ["move", ""]
    frame.loc[3, ["row_id", "decision"]] = ["1:gldv2/train/99", "keep"]
    frame.loc[4, ["decision", "reviewer"]] = ["keep", ""]
    frame.to_csv(sheet, index=False)
    told = problems(sheet, resolution, reviewer="")
    for line, part in enumerate(
        ["unknown decision: 'shift'", "unknown node: 'pagoda'", "needs a target", "unknown row"], 2
    ):
        assert f"row {line}" in told[line - 2] and part in told[line - 2]
    assert "no reviewer" in told[4] and len(told) == 5


def test_rows_that_contradict_each_other(sheet, resolution):
    frame = decide(sheet, (ROW, "move", "church"))
    again = frame[frame.row_id == ROW].assign(target="lake")
    pd.concat([frame, again.assign(reviewer="ben")]).to_csv(sheet, index=False)
    assert read(sheet, resolution).decisions.reviewer.tolist() == ["ann", "ben"]  # a dispute
    pd.concat([frame, again]).to_csv(sheet, index=False)
    (told,) = problems(sheet, resolution)
    assert "contradicts row 6 (ann: move church)" in told and "row 8" in told


def test_a_row_given_twice_alike_is_one_decision(sheet, resolution):
    frame = decide(sheet, (ROW, "move", "church"))
    pd.concat([frame, frame]).to_csv(sheet, index=False)
    assert len(read(sheet, resolution).decisions) == 1


def test_merges_in_a_circle(tmp_path):
    table = proposals()
    table.loc[table.level == 3, "accepted"] = False
    resolution = replay(decisions(), table, VOCABULARY)
    path = tmp_path / "review.csv"
    write_sheet(path, resolution, items(), LEVELS)
    decide(path, ("3:2/church", "merge", "lake"), ("3:2/lake", "merge", "church"))
    (told,) = problems(path, resolution)
    assert "circle" in told


def test_a_blank_keep_means_the_place_that_the_sheet_shows(tmp_path):
    # The place is decided, and the row is open again for another reason.
    rows = [("2/church", 3, "move", "natural"), ("2/church", 3, "split", "Dome|1/Q2977")]
    differs = ("2/church", 3, "split", "Dome|1/Q16970", "ben")
    resolution = replay(decisions(*rows, differs), proposals(), VOCABULARY)
    path = tmp_path / "review.csv"
    write_sheet(path, resolution, items(), LEVELS)
    frame = decide(path, ("3:2/church", "keep", ""))
    assert frame.set_index("row_id").current["3:2/church"] == "natural"
    assert read(path, resolution).decisions.target.tolist() == ["3/natural"]


@pytest.mark.parametrize(("current", "taken"), [(None, 1), ("lake › natural", 0)])
def test_a_hash_of_version_0_1_0_is_stale_if_the_place_differs(sheet, resolution, current, taken):
    frame = decide(sheet, (ROW, "exclude", ""), evidence_hash="#0123456789abcdef")
    if current:
        frame.assign(current=current, current_id="").to_csv(sheet, index=False)
    found = read(sheet, resolution)
    assert (len(found.decisions), len(found.stale)) == (1, 1 - taken)


def test_a_stale_row_is_kept_as_stale_by_name_and_the_rest_applied(sheet):
    decide(sheet, (ROW, "move", "church"), ("2:1/Q2977", "keep", ""))
    table = proposals()
    table.loc[table.row_id == ROW, "evidence_hash"] = "e2:" + "f" * 16
    found = read(sheet, replay(decisions(), table, VOCABULARY))
    assert found.decisions.row_id.tolist() == ["2:1/Q2977", ROW]
    (told,) = found.stale
    assert item(4) in str(told) and told.row == 6
    after = replay(found.decisions, table, VOCABULARY)
    assert after.stale.row_id.tolist() == [ROW]
    assert after.effective.row_id.tolist() == ["2:1/Q2977"]


def test_a_sheet_means_what_it_showed_however_often_and_late_it_is_applied(tmp_path):
    """`stop` does not climb, `merge` finds its node, and an identical repeat adds nothing."""
    path, ledger = tmp_path / "review.csv", tmp_path / "decisions.csv"
    table = proposals().assign(accepted=False)
    resolution = replay(decisions(), table, VOCABULARY)
    write_sheet(path, resolution, items(), LEVELS)
    decide(path, (ROW, "stop", ""), ("2:1/Q2977", "merge", "church building"),
           (f"1:{item(2)}", "keep", ""))  # fmt: skip
    whole = path.read_bytes()
    bare = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    bare = bare[["row_id", "decision", "target", "reviewer"]]
    for day in ("01", "02", "03"):
        for form in ("whole", "without what it showed"):
            path.write_bytes(whole)
            if form != "whole":
                bare.to_csv(path, index=False)
            before = read_ledger(ledger).decisions
            found = read(
                path, replay(before, table, VOCABULARY), decided_at=f"2026-02-{day}T00:00:00Z"
            )
            LedgerWriter(ledger).record(found.decisions)
            assert not found.stale and not found.replaced
        kept = read_ledger(ledger).decisions
        assert len(kept) == 3 and set(kept.decided_at) == {"2026-02-01T00:00:00Z"}
        assert dict(zip(kept.row_id, kept.target, strict=True))[ROW] == "2/castle"


def test_what_others_decided_since_is_not_what_a_sheet_showed(tmp_path):
    path = tmp_path / "review.csv"
    write_sheet(path, replay(decisions(), proposals(), VOCABULARY), items(), LEVELS)
    decide(path, (ROW, "keep", ""))
    ben = decisions((item(4), 1, "move", "mountain", "ben"))
    found = read(path, replay(ben, proposals(), VOCABULARY))
    assert found.decisions.target.tolist() == ["1/Q23413"]


def test_a_decision_that_was_replaced_is_not_taken_again_but_named(tmp_path):
    path, ledger = tmp_path / "review.csv", tmp_path / "decisions.csv"
    write_sheet(path, replay(decisions(), proposals(), VOCABULARY), items(), LEVELS)
    decide(path, (ROW, "move", "mountain"))
    writer = LedgerWriter(ledger)

    def apply(day):
        before = read_ledger(ledger).decisions
        found = read(
            path, replay(before, proposals(), VOCABULARY), decided_at=f"2026-02-{day}T00:00:00Z"
        )
        writer.record(found.decisions)
        return found

    assert len(apply("01").decisions) == 1
    own = {"subject": item(4), "level": "1", "decision": "exclude", "reviewer": "ann"}
    writer.record(pd.DataFrame([own | {"decided_at": "2026-02-02T00:00:00Z"}]))
    again = apply("03")
    assert again.decisions.empty and "replaced on 2026-02-02" in str(again.replaced[0])
    for _ in range(2):  # both are taken back: the sheet counts anew
        writer.undo("ann")
    assert len(apply("04").decisions) == 1


@pytest.mark.parametrize("cell", ["=1+1", "+49", "-x", "@a", "'=x", "''=x", "'quoted'", "a=b", "'"])
def test_formulas_are_harmless_and_come_back(cell):
    assert neutralise(cell)[0] not in "=+-@"
    assert restore(neutralise(cell)) == cell


HOSTILE = st.text(
    st.one_of(st.sampled_from("=+-@'\";,\t\r\n|#›\u00a0\ufeff "), st.characters(codec="utf-8")),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(names=st.lists(HOSTILE, min_size=8, max_size=8), note=HOSTILE, evidence=HOSTILE)
def test_hostile_text_survives_the_sheet(tmp_path_factory, names, note, evidence):
    folder = tmp_path_factory.mktemp("sheet")
    things = items().assign(name=names)
    table = proposals()
    hostile = (Evidence("name_word", "2/church", text=evidence, language="en"),)
    table["evidence"] = [hostile] * len(table)
    resolution = replay(decisions(), table, VOCABULARY)
    path = folder / "review.csv"
    count = write_sheet(path, resolution, things, LEVELS)
    text = path.read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert len(rows) == count
    by_id = dict(zip(things.item_id, names, strict=True))
    for row in rows:
        assert not any(cell[:1] in "=+-@\t\r" for cell in row.values() if cell)
        if (subject := row["row_id"].partition(":")[2]) in by_id:
            assert restore(row["name"]) == clean_cell(by_id[subject])
        row |= {"decision": "unsure", "note": neutralise(clean_cell(note)), "reviewer": "ann"}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, SHEET_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    found = read(path, resolution).decisions
    assert len(found) == count
    assert set(found.note) == {clean_cell(note)}
