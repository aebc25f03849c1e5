"""The review sheet as a workbook: what a spreadsheet program shows, and what comes back."""

from __future__ import annotations

import openpyxl
import pandas as pd
import pytest
from small_world import LEVELS, TIME, VOCABULARY, decisions, item, items, proposals
from strata_labels.errors import InputError
from strata_labels.review import read_sheet, replay, write_sheet
from strata_labels.review.decisions import DECISIONS
from strata_labels.review.sheet import SHEET_COLUMNS, TREE_COLUMNS

ROW = f"1:{item(4)}"


@pytest.fixture
def resolution():
    return replay(decisions(), proposals(), VOCABULARY)


@pytest.fixture
def path(tmp_path, resolution):
    path = tmp_path / "review.xlsx"
    write_sheet(path, resolution, items(), LEVELS)
    return path


def fill_in(path, *rows: tuple[str, str, str, str]) -> None:
    """Types decision and target into rows of a sheet, with openpyxl."""
    book = openpyxl.load_workbook(path)
    for title, row_id, decision, target in rows:
        sheet = book[title]
        header = [cell.value for cell in sheet[1]]
        (at,) = (
            row for row in range(2, sheet.max_row + 1)
            if sheet.cell(row, header.index("row_id") + 1).value == row_id
        )  # fmt: skip
        sheet.cell(at, header.index("decision") + 1).value = decision
        sheet.cell(at, header.index("target") + 1).value = target
    book.save(path)


def read(path, resolution) -> list[tuple[str, str, str]]:
    found = read_sheet(path, resolution, reviewer="ann", decided_at=TIME).decisions
    return list(zip(found.row_id, found.decision, found.target, strict=True))


def test_what_a_spreadsheet_program_shows(path):
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["Review", "Tree"]
    for sheet, columns in zip(book, (SHEET_COLUMNS, TREE_COLUMNS), strict=True):
        assert [cell.value for cell in sheet[1]] == columns
        assert sheet.freeze_panes == "B2" and sheet.auto_filter.ref == sheet.dimensions
        (choice,) = sheet.data_validations.dataValidation
        assert choice.formula1 == f'"{",".join(DECISIONS)}"' and "D2" in choice.sqref
        assert sheet.column_dimensions["A"].width > 20 and sheet["A2"].alignment.wrap_text
    review = book["Review"]
    row = {cell.value: review.cell(3, n + 1) for n, cell in enumerate(review[1])}
    assert row["confidence"].value == 0.1 and row["confidence"].number_format == "0%"
    assert row["link"].hyperlink.target == row["link"].value
    assert book["Tree"]["B4"].hyperlink.target == "https://www.wikidata.org/wiki/Q23413"
    nodes = {row[0] for row in book["Tree"].iter_rows(min_row=2, values_only=True)}
    assert nodes == set(VOCABULARY.name)


def test_the_same_rows_give_the_same_bytes(path, resolution, tmp_path):
    write_sheet(tmp_path / "b.xlsx", resolution, items().sample(frac=1, random_state=2), LEVELS)
    assert path.read_bytes() == (tmp_path / "b.xlsx").read_bytes()


def test_decisions_of_both_sheets_come_back(path, resolution):
    assert read(path, resolution) == []
    fill_in(
        path,
        ("Review", ROW, "Move", "castle / fort › human-made"), ("Review", "2:1/Q2977", "keep", ""),
        ("Tree", "4:3/natural", "rename", "nature"), ("Tree", "2:1/Q8502", "move", "lake"),
    )  # fmt: skip
    assert sorted(read(path, resolution)) == [
        (ROW, "move", "2/castle"), ("2:1/Q2977", "keep", "2/church"),
        ("2:1/Q8502", "move", "2/lake"), ("4:3/natural", "rename", "nature"),
    ]  # fmt: skip


def test_pandas_takes_it_and_gives_it_back(path, resolution):
    frame = pd.read_excel(path)
    frame["decision"] = frame["decision"].astype(object)
    frame.loc[frame.row_id == ROW, "decision"] = "exclude"
    frame["reviewer"] = 7.0  # a name that is a number
    frame.to_excel(path, index=False)
    found = read_sheet(path, resolution, decided_at=TIME).decisions
    assert found[["row_id", "decision", "reviewer"]].values.tolist() == [[ROW, "exclude", "7"]]


def test_problems_name_sheet_and_row(path, resolution):
    fill_in(path, ("Review", ROW, "shift", ""), ("Tree", "4:3/natural", "move", "church"))
    with pytest.raises(InputError) as caught:
        read(path, resolution)
    first, second = map(str, caught.value.problems)
    assert "sheet 'Review', row 6, column 'decision'" in first
    assert "sheet 'Tree', row 3" in second and "no level is above" in second


def test_the_two_sheets_may_say_the_same_but_not_differ(path, resolution):
    fill_in(path, ("Review", "2:1/Q2977", "keep", ""), ("Tree", "2:1/Q2977", "keep", "church"))
    assert len(read(path, resolution)) == 1
    fill_in(path, ("Tree", "2:1/Q2977", "move", "lake"))
    with pytest.raises(InputError, match=r"contradicts .*sheet 'Review', row 2"):
        read(path, resolution)


@pytest.mark.parametrize("name", ["=1+1", "+49", "@a", "-x", "'=x", "a\x07b", "_x0041_"])
def test_text_like_a_formula_is_text_and_comes_back(tmp_path, name):
    table = VOCABULARY.assign(name=VOCABULARY.name.where(VOCABULARY.node_id != "2/lake", name))
    resolution = replay(decisions(), proposals(), table)
    path = tmp_path / "review.xlsx"
    write_sheet(path, resolution, items().assign(name=name), LEVELS)
    sheet = openpyxl.load_workbook(path)["Review"]
    cells = [cell for row in sheet.iter_rows() for cell in row]
    assert not any(cell.data_type == "f" for cell in cells)
    shown = sheet["A3"].value
    assert shown[0] not in "=+-@"
    fill_in(path, ("Review", ROW, "move", "lake" if "\x07" in name else shown))
    if "\x07" not in name:
        assert read(path, resolution) == [(ROW, "move", "2/lake")]
