"""Writes the review sheet as an Excel workbook: lists to choose from, links, shares as numbers."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.review.decisions import DECISIONS

# Widths in characters. Cells of text are wrapped; what people read first is wide.
_WIDTH = {"name": 32, "link": 28, "suggestion": 36, "target": 28, "note": 24, "current": 32}
_WIDTH |= {"alternatives": 36, "reasons": 44, "evidence": 60, "examples": 44}
_NARROW = 14
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
#: Excel drops the links of a sheet that has more than 65,530.
_LINKS = 65_000
#: The time of every part: the same input gives the same bytes.
_TIME = (2000, 1, 1, 0, 0, 0)
_STAMP = re.compile(rb"(<dcterms:\w+[^>]*>)[^<]*(</dcterms:)")


def write_workbook(
    path: Path, sheets: Mapping[str, pd.DataFrame], editable: Container[str]
) -> None:
    """Writes tables as the sheets of a workbook.

    Args:
        path: the file.
        sheets: by name; `decision` gets a list to choose from, `confidence` is shown in percent,
            and the addresses in `link` can be followed.
        editable: columns that people write in; their header has another colour.
    """
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    for title, table in sheets.items():
        _write(book.create_sheet(title), table, editable)
    packed = io.BytesIO()
    book.save(packed)
    with zipfile.ZipFile(packed) as found, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for part in found.infolist():
            text = _STAMP.sub(rb"\g<1>2000-01-01T00:00:00Z\g<2>", found.read(part))
            out.writestr(zipfile.ZipInfo(part.filename, _TIME), text, zipfile.ZIP_DEFLATED)


def _write(sheet: Any, table: pd.DataFrame, editable: Container[str]) -> None:
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    letters = {name: get_column_letter(n + 1) for n, name in enumerate(table.columns)}
    for name, letter in letters.items():
        sheet.column_dimensions[letter].width = _WIDTH.get(name, _NARROW)
    sheet.freeze_panes = "B2"
    sheet.auto_filter.ref = f"A1:{letters[table.columns[-1]]}{len(table) + 1}"
    words = f'"{",".join(DECISIONS)}"'
    choice = DataValidation(type="list", formula1=words, allow_blank=True, showErrorMessage=True)
    choice.errorTitle, choice.error = "decision", f"Write one of {', '.join(DECISIONS)}."
    if len(table):
        choice.add(f"{letters['decision']}2:{letters['decision']}{len(table) + 1}")
        sheet.data_validations.append(choice)

    wrapped = Alignment(wrap_text=True, vertical="top")
    followed = Font(color="0563C1", underline="single")
    header = []
    for name in table.columns:
        cell = WriteOnlyCell(sheet, name)
        cell.font = Font(bold=True)
        colour = "FFF2CC" if name in editable else "E7E6E6"
        cell.fill = PatternFill("solid", start_color=colour)
        header.append(cell)
    sheet.append(header)
    links = 0
    columns = [table[name].astype(object).where(table[name].notna(), None) for name in table]
    for values in zip(*columns, strict=True):
        row = []
        for name, value in zip(table.columns, values, strict=True):
            text = _CONTROL.sub("", value) if isinstance(value, str) else value
            cell = WriteOnlyCell(sheet, text or None if text != 0 else 0)
            cell.alignment = wrapped
            if isinstance(text, str):
                cell.data_type = "s"  # whatever it starts with
                if name == "link" and text.startswith(("http://", "https://")) and links < _LINKS:
                    cell.hyperlink, cell.font = text, followed
                    links += 1
            elif name == "confidence":
                cell.number_format = "0%"
            row.append(cell)
        sheet.append(row)
