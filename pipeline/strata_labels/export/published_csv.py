"""A published CSV file read cell by cell, so that a patch changes the cells that it names only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from strata_labels.errors import InputError, Problem, refuse
from strata_labels.people_csv import clean_cell

_SEPARATORS = ",;\t"
_CONTEXT = 3


@dataclass(frozen=True)
class Cell:
    """A cell: where it is in the text, quotation marks included, and its value as it stands."""

    start: int
    end: int
    value: str


@dataclass(frozen=True)
class Row:
    """A row: its line in the file, from 1 on, and its cells."""

    line: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class PublishedCsv:
    """A file.

    Attributes:
        path: the file.
        text: its content, line ends and byte-order mark included.
        separator: of its cells.
        columns: the position of each column, by its name in lower case.
        rows: without header and blank lines.
    """

    path: Path
    text: str
    separator: str
    columns: Mapping[str, int]
    rows: tuple[Row, ...]


def read_published_csv(path: Path, wanted: Sequence[str]) -> PublishedCsv:
    """Reads a file in UTF-8; a cell may hold line breaks where it is quoted.

    Args:
        path: the file.
        wanted: names of columns in any case; the separator is the one under which most are found.

    Raises:
        InputError: everything that keeps cells from being told apart: another encoding, a column
            that is there twice, an open quotation mark, a row with too few or too many cells, lines
            that end in a carriage return alone.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InputError(Problem(path, f"cannot be read ({error.strerror})", "Check it.")) from None
    except UnicodeDecodeError as error:
        row = path.read_bytes()[: error.start].count(b"\n") + 1
        fix = "Take the file as it was published, or save it as UTF-8."
        raise InputError(Problem(path, "not UTF-8", fix, row)) from None
    names = {name.casefold() for name in wanted}
    first = text.removeprefix("\ufeff").partition("\n")[0].rstrip("\r")

    def found(separator: str) -> int:
        return len(
            names & {clean_cell(cell.strip('"')).casefold() for cell in first.split(separator)}
        )

    separator = max(_SEPARATORS, key=found)
    problems: list[Problem] = []
    rows = list(_rows(path, text, separator, problems))
    if not rows and not problems:
        raise InputError(Problem(path, "no row in it", "Take another file."))
    header, data = (rows or [Row(1, ())])[0], rows[1:]
    columns: dict[str, int] = {}
    for at, cell in enumerate(header.cells):
        name = clean_cell(cell.value).casefold()
        if name in columns:
            fix = "Remove one."
            problems.append(Problem(path, "column is there twice:", fix, header.line, None, name))
        columns.setdefault(name, at)
    problems += [
        Problem(
            path,
            f"{len(row.cells)} cells under {len(header.cells)} columns",
            "Quote the cell that holds a separator, or fill in what is missing.",
            row.line,
        )
        for row in data
        if len(row.cells) != len(header.cells)
    ]
    refuse(sorted(problems, key=lambda problem: problem.row or 0))
    return PublishedCsv(path, text, separator, columns, tuple(data))


@lru_cache
def _cell_pattern(separator: str) -> re.Pattern[str]:
    other = rf'"[^"]*(?:""[^"]*)*"|[^{re.escape(separator)}\r\n]*'
    return re.compile(rf"({other})({re.escape(separator)}|\r\n|\n|\r|\Z)")


def _rows(path: Path, text: str, separator: str, problems: list[Problem]) -> Iterator[Row]:
    """Every row with anything in it."""
    pattern = _cell_pattern(separator)
    at, line, cells = len(text) - len(text.removeprefix("\ufeff")), 1, list[Cell]()
    first = line
    while at < len(text) or cells:
        match = pattern.match(text, at)
        if match is None:  # text behind a closing quotation mark
            problems.append(Problem(path, "text beside a quoted cell", "Quote the cell.", line))
            return
        raw, ending = match.groups()
        is_quoted = len(raw) > 1 and raw[0] == raw[-1] == '"'
        if raw.startswith('"') and not is_quoted:
            problems.append(Problem(path, "open quotation mark", "Close it, or double it.", line))
            return
        value = raw[1:-1].replace('""', '"') if is_quoted else raw
        cells.append(Cell(match.start(1), match.end(1), value))
        line += raw.count("\n")
        at = match.end()
        if ending == separator:
            continue
        if ending == "\r":
            what, fix = (
                "a line that ends in a carriage return alone",
                "Save it with other line ends.",
            )
            problems.append(Problem(path, what, fix, line))
            return
        if len(cells) > 1 or cells[0].value:
            yield Row(first, tuple(cells))
        cells, line = [], line + 1
        first = line


def patch_of(file: PublishedCsv, name: str, changes: Mapping[int, Mapping[int, str]]) -> str:
    """A unified diff that changes cells of a file, and nothing else, for `patch -p1`.

    Args:
        file: the file.
        name: what it is called in the folder that the patch is applied in.
        changes: new values by position of the row and of the column.

    Returns:
        The patch; "" if nothing changes.
    """
    lines = file.text.split("\n")
    lines = [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    edits: list[tuple[int, int, list[str]]] = []
    for at in sorted(changes):
        row = file.rows[at]
        first = row.line - 1
        last = first + file.text.count("\n", row.cells[0].start, row.cells[-1].end) + 1
        new, done = [], starts[first]
        for column, value in sorted(changes[at].items()):
            cell = row.cells[column]
            new += [file.text[done : cell.start], _written(file, cell, value)]
            done = cell.end
        text = "".join([*new, file.text[done : starts[last]]])
        # Only a line feed ends a line of a patch.
        edits.append((first, last, [part for part in re.split(r"(?<=\n)", text) if part]))
    hunks = list(_hunks(lines, edits))
    if not hunks:
        return ""
    tab = "\t" if " " in name else ""
    return "".join([f"--- a/{name}{tab}\n+++ b/{name}{tab}\n", *hunks])


def _written(file: PublishedCsv, cell: Cell, value: str) -> str:
    """A value as a cell; quoted where it has to be, or where the cell was."""
    was_quoted = cell.end - cell.start != len(cell.value)
    if was_quoted or any(mark in value for mark in (file.separator, '"', "\n", "\r")):
        return '"' + value.replace('"', '""') + '"'
    return value


def _hunks(lines: Sequence[str], edits: list[tuple[int, int, list[str]]]) -> Iterator[str]:
    groups: list[list[tuple[int, int, list[str]]]] = []
    for edit in edits:
        if groups and edit[0] - groups[-1][-1][1] <= 2 * _CONTEXT:
            groups[-1].append(edit)
        else:
            groups.append([edit])
    shift = 0
    for group in groups:
        start, end = max(0, group[0][0] - _CONTEXT), min(len(lines), group[-1][1] + _CONTEXT)
        body, at, grown = [], start, 0
        for first, last, new in group:
            body += [_line(" ", line) for line in lines[at:first]]
            body += [_line("-", line) for line in lines[first:last]]
            body += [_line("+", line) for line in new]
            at = last
            grown += len(new) - (last - first)
        body += [_line(" ", line) for line in lines[at:end]]
        old = end - start
        where = f"@@ -{start + 1},{old} +{start + 1 + shift},{old + grown} @@\n"
        yield where + "".join(body)
        shift += grown


def _line(mark: str, line: str) -> str:
    return (
        f"{mark}{line}" if line.endswith("\n") else f"{mark}{line}\n\\ No newline at end of file\n"
    )
