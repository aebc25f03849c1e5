"""Workbooks that people made: cells as they were typed, and hostile files refused."""

from __future__ import annotations

import datetime
import random
import re
import zipfile
from pathlib import Path

import openpyxl
import pytest
from strata_labels.errors import InputError
from strata_labels.people_csv import read_header, read_people_csv, read_people_sheets


def workbook(path: Path, *rows: list[object], title: str = "Sheet1") -> Path:
    book = openpyxl.Workbook()
    book.active.title = title
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def repacked(path: Path, out: Path, **changed: bytes) -> Path:
    """The workbook with other parts; `sheet=...` stands for `xl/worksheets/sheet1.xml`."""
    names = {"sheet": "xl/worksheets/sheet1.xml"}
    new = {names.get(name, name): text for name, text in changed.items()}
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name in {*old.namelist(), *new}:
            made.writestr(name, new.get(name, b"") if name in new else old.read(name))
    return out


def sheet_xml(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("xl/worksheets/sheet1.xml")


def told(path: Path, *columns: str) -> str:
    with pytest.raises(InputError) as caught:
        read_people_csv(path, columns or ["id", "name"])
    return str(caught.value)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        (22.0, "22"), (22, "22"), (0.5, "0.5"), (True, "TRUE"), (" a  b ", "a b"), ("007", "007"),
        (datetime.date(2026, 1, 31), "2026-01-31"), (datetime.time(9, 30), "09:30:00"),
        (datetime.datetime(2026, 1, 31, 12), "2026-01-31T12:00:00"), ("'=x", "=x"), (1e20, "1e+20"),
        ("=1+1", "=1+1"), ('=HYPERLINK("http://a.example")', '=HYPERLINK("http://a.example")'),
    ],
)  # fmt: skip
def test_a_cell_is_what_was_typed_and_no_formula_is_run(tmp_path, typed, read):
    path = workbook(tmp_path / "a.xlsx", ["ID ", "name", "other"], [1, typed, "x"], [2, None, None])
    frame = read_people_csv(path, ["id", "name"], ["none"])
    assert frame.values.tolist() == [["1", read, ""], ["2", "", ""]]
    assert frame.index.tolist() == [2, 3]
    assert read_header(path) == ["id", "name", "other"]


def test_the_sheet_with_the_columns_is_found_below_a_title(tmp_path):
    path = workbook(tmp_path / "a.xlsx", ["See the second sheet"], title="Export Summary")
    book = openpyxl.load_workbook(path)
    sheet = book.create_sheet("Table 1")
    for row in (["Landmarks"], [], ["id", "name"], [], [7, "Fort"]):
        sheet.append(row)
    sheet.sheet_state = "hidden"
    sheet.merge_cells("A1:B1")  # of the title
    book.save(path)
    frame = read_people_csv(path, ["id", "name"])
    assert frame.values.tolist() == [["7", "Fort"]] and frame.index.tolist() == [5]
    book.copy_worksheet(sheet)
    book.save(path)
    assert "several sheets have these columns: 'Table 1, Table 1 Copy'" in told(path)
    places = list(read_people_sheets(path, ["id", "name"]))
    assert places == [f"{path}, sheet 'Table 1'", f"{path}, sheet 'Table 1 Copy'"]
    assert "no sheet with id, names" in told(path, "id", "names")


def test_every_problem_of_every_sheet_is_told(tmp_path):
    path = workbook(tmp_path / "a.xlsx", ["id", "name"], [1, "x"], [2, "y"], [3, "z"])
    book = openpyxl.load_workbook(path)
    book.active.merge_cells("B2:B3")
    book.copy_worksheet(book.active)
    book.active.merge_cells("A3:A4")
    book.save(path)
    with pytest.raises(InputError) as caught:
        read_people_sheets(path, ["id", "name"])
    places = [(str(p.where)[-14:], p.row, p.value) for p in caught.value.problems]
    assert places[0][1:] == (2, "B2:B3") and places[1][1:] == (3, "A3:A4")
    assert places[2][1:] == (2, "B2:B3") and "Copy" in places[2][0]


def test_files_that_are_no_workbook_say_what_to_do(tmp_path):
    good = workbook(tmp_path / "good.xlsx", ["id", "name"], [1, "x"])
    path = tmp_path / "a.xlsx"

    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512))
    assert "password" in told(path) and "without a password" in told(path)
    path.with_suffix(".xls").write_bytes(path.read_bytes())
    assert "Excel 97" in told(path.with_suffix(".xls"))
    path.write_text("id,name\n1,x\n")
    assert "rename it to end in .csv" in told(path)
    renamed = tmp_path / "good.csv"
    renamed.write_bytes(good.read_bytes())
    assert "Rename it to end in .xlsx" in told(renamed)

    assert "macros" in told(repacked(good, path, **{"xl/vbaProject.bin": b"x"}))
    macros = tmp_path / "a.xlsm"
    macros.write_bytes(path.read_bytes())
    assert "macros" in told(macros)
    assert ".xlsb" in told(repacked(good, path, **{"xl/workbook.bin": b"x"}))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
    assert "OpenDocument" in told(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Index/Document.iwa", "x")
    assert "no Excel workbook" in told(path)
    path.write_bytes(good.read_bytes()[:-40])
    assert "damaged" in told(path)


def test_files_made_to_exhaust_memory_or_time_are_refused(tmp_path):
    good = workbook(tmp_path / "good.xlsx", ["id", "name"], [1, "x"])
    path = tmp_path / "a.xlsx"
    xml = sheet_xml(good)
    assert "unpacks to more" in told(repacked(good, path, sheet=xml + b" " * (64 << 20)))
    end = xml.index(b"</sheetData>")

    def with_rows(rows: bytes) -> Path:
        return repacked(good, path, sheet=xml[:end] + rows + xml[end:])

    far = b'<row r="99999999999"><c r="A99999999999"><v>1</v></c></row>'
    assert "more rows and columns" in told(with_rows(far))
    wide = b"".join(b'<row r="%d"><c r="XFD%d"/></row>' % (n, n) for n in range(3, 3000))
    assert "more rows and columns" in told(with_rows(wide))
    dimension = re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1:XFD1048576"', xml)
    assert len(read_people_csv(repacked(good, path, sheet=dimension), ["id"])) == 1
    # An empty row or column that was coloured, to the end of the sheet, is no row.
    coloured = b"".join(b'<row r="%d"><c r="A%d" s="0"/></row>' % (n, n) for n in range(3, 90_000))
    assert len(read_people_csv(with_rows(coloured), ["id"])) == 1


def test_entities_of_xml_are_not_blown_up(tmp_path):
    good = workbook(tmp_path / "good.xlsx", ["id", "name"], [1, "x"])
    lines = ['<!ENTITY a0 "' + "x" * 1000 + '">']
    lines += [f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 8)]
    head = f"<!DOCTYPE worksheet [{''.join(lines)}]>".encode()
    xml = head + sheet_xml(good).replace(
        b"</sheetData>", b"<row><c><v>&a7;</v></c></row></sheetData>"
    )
    assert "damaged" in told(repacked(good, tmp_path / "a.xlsx", sheet=xml))


def test_a_workbook_damaged_anywhere_is_read_or_refused(tmp_path):
    rows = [[n, f"name {n}"] for n in range(200)]
    raw = workbook(tmp_path / "good.xlsx", ["id", "name"], *rows).read_bytes()
    path = tmp_path / "a.xlsx"
    rng = random.Random(0)
    refused = 0
    for _ in range(150):
        broken = bytearray(raw)
        for _ in range(rng.choice([1, 3, 30])):
            broken[rng.randrange(4, len(broken))] = rng.randrange(256)
        path.write_bytes(broken[: rng.choice([len(broken), rng.randrange(8, len(broken))])])
        try:
            assert len(read_people_csv(path, ["id", "name"])) <= 200
        except InputError:
            refused += 1
    assert 75 < refused < 150
