"""CSV files too large for memory, read block by block and as strictly as small ones."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pacsv

from strata_labels.errors import InputError, Problem, refuse
from strata_labels.people_csv import cut_short
from strata_labels.progress import track

_BLOCK = 4 << 20
_LARGE = 64 << 20  # its progress is shown
_CELL_LIMIT = 1 << 26
_PROBLEMS_AT_MOST = 10_000
_FIX = "Get the file again, or correct the value."


def stream_csv(path: Path, columns: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """Reads columns of a large CSV in batches of about 4 MB of text, every value as text.

    A file in which anything is wrong is read again, slowly, to say where.

    Args:
        path: a CSV with a header, separated by `,` `;` or tab, UTF-8 or (with a byte-order mark)
            UTF-16; further columns are dropped.
        columns: for each column the regular expression (RE2) its values match in full.

    Yields:
        Batches with these columns, in this order.

    Raises:
        InputError: a column missing, a row with too few or too many cells, a value that does not
            match, a file cut short; all listed (up to 10,000).
    """
    encoding = _encoding(path)
    header, separator = _header(path, encoding)
    missing = [column for column in columns if column not in header]
    fix = "Add it to the header."
    refuse(Problem(path, "column missing:", fix, row=1, column=column) for column in missing)
    wrong = ""
    size = path.stat().st_size
    try:
        with (
            pacsv.open_csv(
                path,
                pacsv.ReadOptions(
                    block_size=_BLOCK,
                    column_names=header,
                    skip_rows=1,
                    encoding="utf8" if encoding == "utf-8-sig" else encoding,
                ),
                pacsv.ParseOptions(delimiter=separator),
                pacsv.ConvertOptions(
                    column_types=dict.fromkeys(columns, pa.string()), include_columns=list(columns)
                ),
            ) as reader,
            track(size if size >= _LARGE else 0, f"reading {path.name}", "bytes") as tracker,
        ):
            for batch in reader:
                tracker.advance(_BLOCK)
                for column, pattern in columns.items():
                    fits = pc.match_substring_regex(batch[column], rf"\A(?:{pattern})\z")
                    if not pc.all(fits).as_py():
                        wrong = f"a value of {column} is wrong"
                if wrong:
                    break
                yield batch
    except pa.ArrowInvalid as error:
        wrong = str(error)
    if not wrong and not _ended(path, encoding):
        wrong = "the last line has no line end"
    if wrong:
        problems = list(_problems(path, encoding, separator, header, columns))
        raise InputError(problems or Problem(path, f"not CSV ({wrong})", "Get the file again."))


def _encoding(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(2)
    except OSError as error:
        raise InputError(Problem(path, f"cannot be read ({error.strerror})", "Check it.")) from None
    return "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _header(path: Path, encoding: str) -> tuple[list[str], str]:
    with path.open(encoding=encoding, errors="replace") as file:
        line = file.readline(1 << 16)
    separator = max(",;\t", key=line.count)
    cells = next(csv.reader([line], delimiter=separator), [])
    return [cell.strip().casefold() for cell in cells], separator


def _ended(path: Path, encoding: str) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 2))
        tail = file.read()
    # In UTF-16 the line end is one of the last two bytes.
    return any(mark in (tail if encoding == "utf-16" else tail[-1:]) for mark in (b"\n", b"\r"))


def _problems(
    path: Path, encoding: str, separator: str, header: list[str], columns: Mapping[str, str]
) -> Iterator[Problem]:
    """Every problem of the file, with its row."""
    checks = [(name, header.index(name), re.compile(columns[name], re.ASCII)) for name in columns]
    found = cut_at = 0
    limit = csv.field_size_limit(_CELL_LIMIT)
    try:
        with path.open(encoding=encoding, errors="replace", newline="") as file:
            reader = csv.reader(file, delimiter=separator, strict=True)
            next(reader)
            while found < _PROBLEMS_AT_MOST:
                row = reader.line_num + 1
                try:
                    cells = next(reader)
                except StopIteration:
                    break
                except csv.Error as error:
                    what = f"not CSV ({error})"
                    yield Problem(path, what, "Correct the quotation marks.", row=row)
                    return
                if not cells:
                    continue
                if len(cells) != len(header):
                    found, cut_at = found + 1, reader.line_num
                    what = f"{len(cells)} cells where the header has {len(header)}"
                    yield cut_short(path, row, what)
                    continue
                for name, at, pattern in checks:
                    if not pattern.fullmatch(cells[at]):
                        found += 1
                        yield Problem(path, "cannot be:", _FIX, row, name, cells[at])
            else:
                what = f"more than {_PROBLEMS_AT_MOST} problems; the rest was not read"
                yield Problem(path, what, "Get the file again.")
                return
            rows = reader.line_num
    finally:
        csv.field_size_limit(limit)
    if cut_at < rows and not _ended(path, encoding):
        yield cut_short(path, rows, "the last line has no line end")
