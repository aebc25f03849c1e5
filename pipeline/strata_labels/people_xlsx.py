"""Reads Excel workbooks (.xlsx) that people made, as rows of text; `people_csv` calls it.

A cell is the text that was typed: a formula is its own text and is never run, a date is ISO, a
whole number has no decimals. Macros, passwords, other formats and files made to exhaust the memory
are refused before anything is unpacked.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from strata_labels.errors import InputError, Problem, refuse

#: Names of workbooks end so.
SUFFIX = ".xlsx"

#: A row's number in its sheet, from 1, and its cells.
Rows = list[tuple[int, list[str]]]

_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SAVE = "Save it in the spreadsheet program as an Excel workbook (.xlsx)"
# What Excel's sheets can hold, and more than any sheet of ours has.
_ROWS, _CELLS, _BYTES = 1_048_576, 40_000_000, 1 << 30
# Parts of a real sheet are packed 10 to 60 times; deflate ends at 1,032.
_PACKED, _PACKED_FROM = 250, 16 << 20
#: The header is looked for in so many rows: a title or a note may stand above it.
_HEADER_WITHIN = 10
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\b[^>]*\bref="([A-Z]+)([0-9]+):([A-Z]+)([0-9]+)"')
_TEXT_OF_MERGED = 1 << 20


def is_workbook(path: Path) -> bool:
    """Whether a file is a workbook, by its content.

    Raises:
        InputError: its name says otherwise, or it is of another format that is none of text.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(len(_OLE))
    except OSError:
        return False  # the reader of text says why
    named = Path(path).suffix.casefold() == SUFFIX
    if start.startswith(_OLE):
        what = "a workbook with a password, or of Excel 97 to 2003"
        raise InputError(Problem(path, what, f"{_SAVE}, without a password."))
    if start.startswith(_ZIP) and not named:
        with _opened(path) as archive:
            _check_parts(path, archive)
        what = "an Excel workbook whose name does not say so"
        raise InputError(Problem(path, what, "Rename it to end in .xlsx."))
    if named and not start.startswith(_ZIP):
        what = "no Excel workbook, although its name ends in .xlsx"
        fix = f"{_SAVE}; if it is a CSV, rename it to end in .csv."
        raise InputError(Problem(path, what, fix))
    return named


def read_sheets(
    path: Path, required: Iterable[str], clean: Callable[[str], str]
) -> dict[str, Rows]:
    """The sheets of a workbook that have all required columns, hidden ones included.

    Args:
        path: a workbook, see `is_workbook`.
        required: names in the header, clean and in lower case. The header is the first row that
            has them; without names, the first that is not blank.
        clean: cleans a cell.

    Returns:
        By the sheet's name, the header and the rows below it that are not blank, cells as written.

    Raises:
        InputError: no such sheet; merged cells in one; damaged, with macros, too large, or of
            another format.
    """
    import openpyxl

    wanted = set(required)
    found: dict[str, Rows] = {}
    problems: list[Problem] = []
    with _opened(path) as archive:
        _check_parts(path, archive)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions, which do not matter here
            book = openpyxl.load_workbook(path, read_only=True, keep_links=False)
            try:
                for sheet in book.worksheets:
                    rows = _table(_rows(path, sheet), wanted, clean)
                    if rows:
                        found[sheet.title] = rows
                        problems += _merged(path, sheet, rows[0][0])
            finally:
                book.close()
    except InputError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can make its reader raise anything
        what = f"a damaged workbook ({type(error).__name__}: {str(error)[:80]})"
        raise InputError(Problem(path, what, f"{_SAVE} again.")) from None
    if not found:
        names = ", ".join(sorted(wanted)) or "any cell"
        problems = [Problem(path, f"no sheet with {names}", "Take a file with these columns.")]
    refuse(problems)
    return found


def place(path: Path, sheet: str) -> str:
    """How messages name a sheet of a workbook."""
    return f"{path}, sheet {sheet!r}"


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        what = "a damaged workbook (its archive cannot be read)"
        raise InputError(Problem(path, what, f"{_SAVE} again.")) from None


def _check_parts(path: Path, archive: zipfile.ZipFile) -> None:
    parts = archive.infolist()
    names = {part.filename for part in parts}
    what, fix = "", f"{_SAVE}."
    if any(name.endswith("vbaProject.bin") for name in names):
        what, fix = "a workbook with macros", f"{_SAVE}, without macros."
    elif "xl/workbook.bin" in names:
        what = "a binary workbook (.xlsb)"
    elif "mimetype" in names or "content.xml" in names:
        what = "an OpenDocument sheet, no Excel workbook"
    elif "[Content_Types].xml" not in names or not any(n.startswith("xl/") for n in names):
        what = "an archive, and no Excel workbook"
    elif any(part.flag_bits & 1 for part in parts):
        what, fix = "a workbook with a password", f"{_SAVE}, without a password."
    elif sum(part.file_size for part in parts) > _BYTES or any(
        part.file_size > max(_PACKED_FROM, _PACKED * part.compress_size) for part in parts
    ):
        what = "a workbook that unpacks to more than a sheet can be"
        fix = "Delete the empty rows and columns behind the last filled ones, and save it again."
    if what:
        raise InputError(Problem(path, what, fix))


def _rows(path: Path, sheet: Any) -> Iterator[tuple[int, list[str]]]:
    """The rows of a sheet as text, blank ones without cells; at most as many as a sheet holds."""
    sheet.reset_dimensions()  # what a file says of its size may be anything
    cells = 0
    for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
        cells += len(row)
        if number > _ROWS or cells > _CELLS:
            what = "more rows and columns than a sheet of ours has:"
            fix = "Delete the empty rows and columns behind the last filled ones, and save again."
            raise InputError(Problem(path, what, fix, value=sheet.title))
        yield number, [_text(value) for value in row] if any(v is not None for v in row) else []


def _table(
    rows: Iterator[tuple[int, list[str]]], wanted: set[str], clean: Callable[[str], str]
) -> Rows:
    """Header and rows below; nothing if the first rows have no such header."""
    filled = ((number, cells) for number, cells in rows if any(map(clean, cells)))
    for _ in range(_HEADER_WITHIN):
        number, cells = next(filled, (0, []))
        if not number:
            return []
        if wanted <= {clean(cell).casefold() for cell in cells}:
            found = [(number, cells), *filled]
            width = max(len(cells) for _, cells in found)
            return [(number, cells + [""] * (width - len(cells))) for number, cells in found]
    return []


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(getattr(value, "text", value) or "=")  # a formula of several cells


def _merged(path: Path, sheet: Any, header: int) -> list[Problem]:
    """Merged cells below the header: of all their rows, only the first has what is shown."""
    found = []
    with zipfile.ZipFile(path) as archive, archive.open(sheet._worksheet_path) as part:
        before = b""
        while chunk := part.read(_TEXT_OF_MERGED):
            text = before + chunk
            for match in _MERGED.finditer(text):
                left, first, right, last = match.groups()
                if int(last) > header:
                    cells = b"".join((left, first, b":", right, last)).decode()
                    fix = "Unmerge them, and write each row's own cell."
                    found.append((int(first), cells, fix))
            before = text[text.rfind(b"<") :]
    return [
        Problem(place(path, sheet.title), "merged cells:", fix, row, value=cells)
        for row, cells, fix in sorted(set(found))
    ]
