"""The reader of tables that people make: what spreadsheets do to a file is forgiven or named.

`read_people_csv` reads a CSV, JSON Lines, or one sheet of an Excel workbook, `read_people_sheets`
every sheet; `clean_cell` reads a cell, `read_integer` a number; `neutralise` makes a cell that we
write harmless, `write_people_csv` writes a file of such cells.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

import pandas as pd

from strata_labels.errors import InputError, Problem, gathered, refuse
from strata_labels.files import whole
from strata_labels.people_jsonl import is_json_lines, read_json_lines
from strata_labels.people_xlsx import Rows, is_workbook, place, read_sheets

#: How programs write that a label is not known, as a regular expression of a cell.
UNKNOWN_LABEL = r"[-−]1(\.0+)?|nan|NaN|<NA>"
# A cell may hold a million characters; the row with it is read, or refused, like any other.
csv.field_size_limit(2**31 - 1)


def clean_cell(text: str) -> str:
    """A cell as its writer meant it: NFC, no byte-order mark, single spaces, none at the ends.

    The apostrophe with which sheets keep a spreadsheet from running a cell as a formula
    (`'=`, `'+`, `'-`, `'@`) is taken off.

    Example:
        >>> clean_cell("  ocean\\u00a0 area ")
        'ocean area'
        >>> clean_cell("'=HYPERLINK")
        '=HYPERLINK'
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.replace("\ufeff", ""))
    text = " ".join(text.split())
    return text[1:] if text[:2] in _GUARDED else text


def neutralise(cell: str) -> str:
    """Makes a cell harmless to a spreadsheet; `restore` gives it back.

    Example:
        >>> neutralise("=1+1"), restore(neutralise("=1+1")), restore(neutralise("'=x"))
        ("'=1+1", '=1+1', "'=x")
    """
    return "'" + cell if _FORMULA.match(cell) else cell


def restore(cell: str) -> str:
    """The cell that `neutralise` was given."""
    return cell[1:] if _NEUTRALISED.match(cell) else cell


def clean_cells(cells: Sequence[str]) -> list[str]:
    """`clean_cell` for a column: at once where nothing is to clean, else once for each text."""
    joined = "\n".join(["", *cells, ""])
    # A line end within a cell would hide what is beside it.
    whole = joined.isascii() and joined.count("\n") == len(cells) + 1
    if whole and not any(mark in joined for mark in _UNCLEAN):
        return list(cells)
    cleaned = {cell: clean_cell(cell) for cell in dict.fromkeys(cells)}
    return [cleaned[cell] for cell in cells]


# A cell is neutralised if a spreadsheet would take it for a formula, or if it already looks
# neutralised: so taking one apostrophe off again always gives the original.
_FORMULA = re.compile(r"^'*[=+\-@]")
_NEUTRALISED = re.compile(r"^'+[=+\-@]")
_GUARDED = ("'=", "'+", "'-", "'@")
# What an ASCII column, joined by line ends, has where `clean_cell` would change a cell.
_UNCLEAN = ("  ", "\n ", " \n", *"\t\r\v\f\x1c\x1d\x1e\x1f", *("\n" + mark for mark in _GUARDED))
_SAVE_AS = "Save as UTF-8 (in Excel: CSV UTF-8, or an .xlsx workbook)."
_GAP = "[ \u00a0\u2009\u202f'’]"
_INTEGER = re.compile(
    rf"""(?P<sign>[-−]?)(?:
        (?P<plain>\d+) (?:[.,]00?)?                       # 1222  1222,0  1222.00
      | (?P<gap>\d{{1,3}}(?:{_GAP}\d{{3}})+) (?:[.,]00?)?  # 1 222  1 222,00  1'222.00
      | (?P<comma>\d{{1,3}}(?:,\d{{3}})+) \.00?            # 1,222.00
      | (?P<point>\d{{1,3}}(?:\.\d{{3}})+) ,00?            # 1.222,00
      | (?P<commas>\d{{1,3}}(?:,\d{{3}}){{2,}})             # 1,222,333
      | (?P<points>\d{{1,3}}(?:\.\d{{3}}){{2,}})           # 1.222.333
    )""",
    re.VERBOSE | re.ASCII,
)


def read_integer(text: str) -> int:
    """The integer that a spreadsheet's cell shows, where it can be one only.

    Thousands may be separated by spaces (any of them) or apostrophes, by commas or points where
    these cannot be a decimal sign, and decimals may follow where they are one or two zeros.
    `1.222`, `1,222` and `1.000` are one number in Paris and another in London: refused.

    Raises:
        ValueError: not an integer, or not plainly so; the message says which.

    Example:
        >>> read_integer("1\\u202f222,00"), read_integer("1,222,333"), read_integer("12.0")
        (1222, 1222333, 12)
        >>> read_integer("1.222")
        Traceback (most recent call last):
        ...
        ValueError: may be a decimal number or have thousands
    """
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return int(text)
    match = _INTEGER.fullmatch(text)
    if match is None:
        unsure = re.fullmatch(r"[-−]?\d{1,3}[.,]\d{3}", text, re.ASCII)
        raise ValueError("may be a decimal number or have thousands" if unsure else "no integer")
    digits = next(group for name, group in match.groupdict().items() if name != "sign" and group)
    number = int(re.sub(r"\D", "", digits))
    return -number if match["sign"] else number


def read_people_csv(
    path: Path,
    required: Iterable[str],
    optional: Iterable[str] = (),
    ended: bool = False,
    further: bool = False,
    ended_after: Container[str] = (),
    wanted: Container[str] | None = None,
    lists: Container[str] | None = None,
) -> pd.DataFrame:
    """Reads a CSV, a workbook or JSON Lines that a person wrote, every cell as clean text.

    Accepts UTF-8 (with or without byte-order mark) and UTF-16, the separators `,` `;` and tab (also
    announced by a first line `sep=;`), any line end, padded cells and header, columns in any order
    and further columns (dropped). Blank lines are skipped. The index is the 1-based line of each
    row in the file. Of a workbook (.xlsx), it reads the sheet that has the columns; of JSON Lines,
    the keys are the columns, see `people_jsonl`.

    Args:
        path: the file.
        required: columns that must be there.
        optional: columns added as blanks where they are not.
        ended: refuse a file whose last line has no line end. Programs end every line, so a file
            without is one cut short; a person's editor may leave it out.
        ended_after: refuse such a file only where one of these columns is the last and its last
            cell is not quoted: what is left of it could mean something else.
        further: keep the file's other named columns too; the attribute `unnamed` is the number of
            columns that hold something and have no name.
        wanted: columns of JSON Lines that are used; in others a list of several or an object is
            read as a blank; None: all.
        lists: columns of JSON Lines whose values may be lists of several; None: any.

    Returns:
        Text columns `required + optional`, then the others in the file's order where asked for;
        blank cells are "".

    Raises:
        InputError: not a file, undecodable, a column missing or doubled, a row with too few or too
            many cells, an open quotation mark; several sheets that have the columns; see also
            `people_xlsx.read_sheets`. All problems are listed.
    """
    required, optional = list(required), list(optional)
    if not is_workbook(path):
        json_lines = is_json_lines(path)
        rows = (
            _json_rows(path, required, wanted, lists)
            if json_lines
            else _csv_rows(path, required, ended, ended_after)
        )
        return _frame(path, rows, required, optional, further)
    sheets = read_sheets(path, required, clean_cell)
    if len(sheets) > 1:
        what = "several sheets have these columns:"
        fix = "Leave one of them in the file."
        raise InputError(Problem(path, what, fix, value=", ".join(sheets)))
    (rows,) = sheets.values()
    return _frame(path, rows, required, optional, further)


def read_people_sheets(
    path: Path,
    required: Iterable[str],
    optional: Iterable[str] = (),
    ended_after: Container[str] = (),
) -> dict[str, pd.DataFrame]:
    """As `read_people_csv`, of every sheet that has the required columns.

    Returns:
        By the place that messages name: the sheet of a workbook, or the file.
    """
    required, optional = list(required), list(optional)
    if not is_workbook(path):
        frame = read_people_csv(path, required, optional, ended_after=ended_after)
        return {str(path): frame}
    problems: list[Problem] = []
    found = {}
    for sheet, rows in read_sheets(path, required, clean_cell).items():
        where = place(path, sheet)
        with gathered(problems):
            found[where] = _frame(where, rows, required, optional)
    refuse(problems)
    return found


def _frame(
    where: Path | str, rows: Rows, required: list[str], optional: list[str], further: bool = False
) -> pd.DataFrame:
    """The columns of rows below their header, cells clean; the index is the rows' lines."""
    (line, cells), *rows = rows
    header = [clean_cell(cell).casefold() for cell in cells]
    refuse(_header_problems(where, header, required, line))
    columns = {}
    others = [name for name in header if name and name not in {*required, *optional}]
    for name in required + optional + (others if further else []):
        at = header.index(name) if name in header else None
        columns[name] = clean_cells([row[at] for _, row in rows]) if at is not None else ""
    lines = pd.Index([line for line, _ in rows], name="line", dtype=int)
    frame = pd.DataFrame(columns, index=lines, dtype=str)
    unnamed = [at for at, name in enumerate(header) if not name]
    frame.attrs["unnamed"] = sum(any(clean_cell(row[at]) for _, row in rows) for at in unnamed)
    return frame


def _csv_rows(path: Path, required: list[str], ended: bool, ended_after: Container[str]) -> Rows:
    """Header and rows of a CSV that are not blank, with their lines.

    Raises:
        InputError: everything wrong with the file, see `read_people_csv`.
    """
    text = _decoded(path)
    separator, skipped = _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    problems: list[Problem] = []
    header: list[str] | None = None
    rows: Rows = []
    for _ in range(skipped):
        next(reader)
    start = reader.line_num + 1
    try:
        for cells in reader:
            line, start = start, reader.line_num + 1
            if not any(map(clean_cell, cells)):
                continue
            if header is None:
                header = [clean_cell(cell).casefold() for cell in cells]
                problems += _header_problems(path, header, required, line)
            elif len(cells) < len(header) or any(map(clean_cell, cells[len(header) :])):
                what = f"{len(cells)} cells where the header has {len(header)}"
                what += "; is the file cut short?"
                problems.append(Problem(path, what, "Restore the row.", row=line))
                continue
            rows.append((line, cells))
    except csv.Error as error:
        what = f"not CSV ({error})"
        problems.append(Problem(path, what, "Correct the quotation marks.", row=start))
    if header is None:
        problems.append(
            Problem(path, "the file is empty", f"It needs the columns {', '.join(required)}.")
        )
    elif (
        (ended or (header[-1] in ended_after and len(rows) > 1 and text[-1] != '"'))
        and not text.endswith(("\n", "\r"))
        and not (problems and problems[-1].row == reader.line_num)
    ):
        problems.append(cut_short(path, reader.line_num, "the last line has no line end"))
    refuse(problems)
    return rows


def _json_rows(
    path: Path,
    required: list[str],
    wanted: Container[str] | None,
    lists: Container[str] | None,
) -> Rows:
    rows = read_json_lines(path, _decoded(path), clean_cell, wanted, lists)
    if not rows:
        fix = f"It needs the keys {', '.join(required)}."
        raise InputError(Problem(path, "the file is empty", fix))
    return rows


def read_header(path: Path, only_texts: bool = False) -> list[str]:
    """Column names of a CSV, JSON Lines or a workbook's first sheet, cleaned and in lower case.

    Args:
        path: the file.
        only_texts: leave out columns of lists in JSON Lines, see `people_jsonl`.

    Raises:
        InputError: not a file, undecodable; see `people_xlsx.read_sheets`.
    """
    if is_workbook(path):
        ((_, cells), *_), *_ = read_sheets(path, (), clean_cell).values()
        return [clean_cell(cell).casefold() for cell in cells]
    text = _decoded(path)
    if is_json_lines(path):
        rows = read_json_lines(path, text, clean_cell, (), only_texts=only_texts)
        (_, cells), *_ = rows or [(0, [])]
        return [clean_cell(cell).casefold() for cell in cells]
    separator, skipped = _separator(text)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header = (
        cells for n, cells in enumerate(lines) if n >= skipped and any(map(clean_cell, cells))
    )
    return [clean_cell(cell).casefold() for cell in next(header, [])]


def is_row_numbers(column: str) -> bool:
    """Whether a column, by its clean name, holds the numbers of the rows, as pandas writes them."""
    return re.fullmatch(r"__index_level_\d+__|unnamed: \d+(\.\d+)?", column) is not None


def harmless(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts a spreadsheet does not run as formulas."""
    return table.map(lambda cell: neutralise(cell) if isinstance(cell, str) else cell)


def write_people_csv(path: Path, table: pd.DataFrame) -> None:
    """Writes a table that people open in a spreadsheet: UTF-8, LF, blanks for missing values."""
    with whole(path) as beside:
        harmless(table).to_csv(beside, index=False, lineterminator="\n", encoding="utf-8")


def write_list(path: Path, rows: pd.DataFrame) -> None:
    """As `write_people_csv`; where there is no row, there is no file."""
    if rows.empty:
        path.unlink(missing_ok=True)
    else:
        write_people_csv(path, rows)


def cut_short(path: Path, row: int, what: str) -> Problem:
    """The problem of a file that seems to have lost its end."""
    fix = "Get the file again; if this is its true end, end the last line with a line break."
    return Problem(path, f"{what}; is the file cut short?", fix, row=row)


def _decoded(path: Path) -> str:
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise InputError(Problem(path, f"cannot be read ({error.strerror})", "Check it.")) from None
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding)
        if not text or text.count("\0") * 4 < len(text):  # a name may hold one
            return text
        row = text[: text.index("\0")].count("\n") + 1
        what = "full of the character NUL: no text, or UTF-16 or UTF-32 without its mark"
        raise InputError(Problem(path, what, _SAVE_AS, row=row))
    except UnicodeDecodeError as error:
        row = raw[: error.start].count(b"\n") + 1
        raise InputError(
            Problem(
                path,
                f"not {encoding.removesuffix('-sig')} text ({error.reason})",
                _SAVE_AS,
                row=row,
            )
        ) from None


def _separator(text: str) -> tuple[str, int]:
    """The separator of a CSV text, and how many lines stand before the header to announce it."""
    start = len(text) - len(text.lstrip())
    line = re.split(r"[\r\n]", text[start:], maxsplit=1)[0]
    announced = re.fullmatch(r"sep=([,;\t])\s*", line, re.IGNORECASE)
    if announced:
        before = text[: start + len(line)]
        return announced[1], 1 + len(re.findall(r"\r\n|\r|\n", before))
    return max(",;\t", key=line.count), 0


def _header_problems(
    path: Path | str, header: list[str], required: list[str], row: int
) -> list[Problem]:
    problems = [
        Problem(path, "column missing:", "Add it to the header.", row=row, column=column)
        for column in required
        if column not in header
    ]
    doubled = sorted({name for name in header if name and header.count(name) > 1})
    return problems + [
        Problem(path, "column appears twice:", "Keep one.", row=row, column=column)
        for column in doubled
    ]
