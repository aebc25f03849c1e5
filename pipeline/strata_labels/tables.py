"""Column contracts of the workspace's tables, and the one checker for them.

A workspace holds `tables/<name>.parquet`; `SCHEMAS` says what a row of each is. People's own files
(CSV) are read by `read_people_csv`, which forgives what spreadsheets do and collects the rest.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from strata_labels.errors import InputError, Problem
from strata_labels.evidence import ALTERNATIVE_LIST, EVIDENCE_LIST, REASON_LIST, decode, encode
from strata_labels.files import write_table

# A cell may hold a million characters; the row with it is read, or refused, like any other.
csv.field_size_limit(2**31 - 1)

_TEXT, _TEXTS = pa.string(), pa.list_(pa.string())
# Types of the columns that hold lists of `Evidence`, `Reason`, `Alternative`.
_TYPED = (EVIDENCE_LIST, REASON_LIST, ALTERNATIVE_LIST)
_NODES = pa.schema(
    [
        ("node_id", _TEXT),
        ("level", pa.int8()),
        ("name", _TEXT),
        ("parent_id", _TEXT),
        ("qid", _TEXT),
    ]
)

SCHEMAS: dict[str, pa.Schema] = {
    # One row is a thing to be labelled. `title` is the knowledge base's page title (Commons
    # category without its prefix), `name` the clean name, `qualifier` what stood behind it.
    "items": pa.schema(
        [
            ("item_id", _TEXT),
            ("dataset", _TEXT),
            ("split", _TEXT),
            ("source_id", pa.int64()),
            ("title", _TEXT),
            ("name", _TEXT),
            ("qualifier", _TEXT),
            ("source_url", _TEXT),
            ("image_ids", _TEXTS),
        ]
    ),
    # A label that came with the data: `node` is the name of the item's node at a level above 0.
    # `origin` is `published` for labels in the metadata, `known` for those of `--known-labels`.
    # Any level may be missing for any item.
    "labels": pa.schema(
        [("item_id", _TEXT), ("level", pa.int8()), ("node", _TEXT), ("origin", _TEXT)]
    ),
    # What the knowledge base answered for an item.
    "entities": pa.schema(
        [
            ("item_id", _TEXT),
            ("status", _TEXT),
            ("qid", _TEXT),
            ("label", _TEXT),
            ("class_qids", _TEXTS),
            ("lat", pa.float64()),
            ("lon", pa.float64()),
            ("country", _TEXT),
            ("revision", pa.int64()),
            ("linked_by", _TEXT),
            ("other_qids", _TEXTS),
        ]
    ),
    # A class of the knowledge base and its parents (P279).
    "classes": pa.schema([("qid", _TEXT), ("label", _TEXT), ("parent_qids", _TEXTS)]),
    # A subclass statement that was met on the way up and not climbed (see `knowledge.Cut`).
    "class_cuts": pa.schema([(name, _TEXT) for name in ("from_qid", "to_qid", "reason", "detail")]),
    # The knowledge base's taxa above an item that was matched by its taxon name: a row for each of
    # a rank; several of one rank where parents differ.
    "taxa": pa.schema([(name, _TEXT) for name in ("item_id", "rank", "name", "qid")]),
    # Words that speak for a node, from the classes of the knowledge base.
    "lexicon": pa.schema(
        [(name, _TEXT) for name in ("node", "qid", "language", "term", "strength")]
    ),
    # A proposed parent for a subject (item, class or node) at one level. `confidence` is the
    # calibrated probability that the parent is right; `accepted` means no review is asked. `score`,
    # 0 to 1 (1 is clean), is the confidence lowered by what speaks against the row. `evidence`,
    # `reasons` and `alternatives` (best first) are lists as `strata_labels.evidence` says.
    "proposals": pa.schema(
        [
            ("row_id", _TEXT),
            ("subject", _TEXT),
            ("level", pa.int8()),
            ("status", _TEXT),
            ("parent", _TEXT),
            ("origin", _TEXT),
            ("confidence", pa.float32()),
            ("margin", pa.float32()),
            ("accepted", pa.bool_()),
            ("score", pa.float32()),
            ("evidence", EVIDENCE_LIST),
            ("reasons", REASON_LIST),
            ("suggestion", _TEXT),
            ("alternatives", ALTERNATIVE_LIST),
            ("evidence_hash", _TEXT),
        ]
    ),
    # What retrieval says against a place (see the room `validation`): `gain` is what H-AP of the
    # subject's images would rise by under the suggestion (`total`: the mean over all images),
    # `expected` that times the chance of the move being right, `here` and `there` the shares of its
    # nearest images under either parent; `images` are of the subject, `nearest` of the suggestion.
    # By `expected`, highest first.
    "doubts": pa.schema(
        [
            ("row_id", _TEXT),
            ("subject", _TEXT),
            ("level", pa.int8()),
            ("current", _TEXT),
            ("suggestion", _TEXT),
            ("alternatives", _TEXTS),
            ("gain", pa.float64()),
            ("total", pa.float64()),
            ("expected", pa.float64()),
            ("here", pa.float64()),
            ("there", pa.float64()),
            ("num_images", pa.int32()),
            ("images", _TEXTS),
            ("nearest", _TEXTS),
        ]
    ),
    # An item row that was accepted without review and drawn for a person to check, and the parent
    # it had been accepted with.
    "audit": pa.schema([("row_id", _TEXT), ("parent", _TEXT)]),
    # A node of the label tree; level 0 is the item.
    "nodes": _NODES,
    # Every node a decision may name, in use or not; none of level 0.
    "vocabulary": _NODES,
}

DECISION_COLUMNS = [
    "row_id",
    "subject",
    "level",
    "decision",
    "target",
    "reviewer",
    "note",
    "decided_at",
    "evidence_hash",
    "seen",
]


#: Status of an item that has a label; other statuses are reasons for having none.
LABELLED = "labelled"


def assignments_schema(num_levels: int) -> pa.Schema:
    """An item's path: per level above 0 a node id and a name (`level1_id, level1_name, ...`).

    Args:
        num_levels: number of levels, the item's own level 0 included.
    """
    path = [(f"level{n}_{what}", _TEXT) for n in range(1, num_levels) for what in ("id", "name")]
    return pa.schema(
        [
            ("item_id", _TEXT),
            ("split", _TEXT),
            ("name", _TEXT),
            ("status", _TEXT),
            *path,
            ("origin", _TEXT),
            ("confidence", pa.float32()),
            ("accepted", pa.bool_()),
        ]
    )


def save(folder: Path, name: str, frame: pd.DataFrame, schema: pa.Schema | None = None) -> Path:
    """Writes `frame` as `folder/tables/<name>.parquet` under its contract; returns the path.

    Raises:
        InputError: a contract column is missing (all missing ones listed).
    """
    schema = schema or SCHEMAS[name]
    missing = [field.name for field in schema if field.name not in frame.columns]
    if missing:
        raise InputError(
            Problem(f"table {name}", "column missing:", "Add it.", column=column)
            for column in missing
        )
    path = folder / "tables" / f"{name}.parquet"
    typed = [field for field in schema if field.type in _TYPED]
    plain = pa.schema([field for field in schema if field.type not in _TYPED])
    table = pa.Table.from_pandas(frame[plain.names], plain, preserve_index=False)
    for field in typed:
        table = table.append_column(field, encode(frame[field.name], field.type))
    write_table(path, table.select(schema.names))
    return path


def load(folder: Path, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Reads `folder/tables/<name>.parquet`.

    Args:
        folder: the workspace.
        name: of the table.
        columns: read these only. Lists of evidence are slow to read in a large table.

    Raises:
        InputError: the table is not there or is not a Parquet file, or has not these columns.
    """
    path = folder / "tables" / f"{name}.parquet"
    if not path.exists():
        raise InputError(
            Problem(path, "table not found", "Run `strata build` on this workspace first.")
        )
    if name == "proposals" and "score" not in pq.read_schema(path).names:
        frame = _upgraded(load_file(path))
        return frame[list(columns)] if columns else frame
    return load_file(path, columns)


def _upgraded(proposals: pd.DataFrame) -> pd.DataFrame:
    """Proposals of version 0.1.0, whose evidence is text: left out until the next build."""
    blank = pd.Series([()] * len(proposals), proposals.index, dtype=object)
    typed = {field.name: blank for field in SCHEMAS["proposals"] if field.type in _TYPED}
    upgraded = proposals.assign(**typed, score=proposals["confidence"])
    return upgraded[SCHEMAS["proposals"].names]


def load_file(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Reads a Parquet file; columns of evidence come as tuples of named tuples.

    Raises:
        InputError: it is not there, is not a Parquet file, or has not these columns.
    """
    try:
        table = pq.read_table(path, columns=None if columns is None else list(columns))
    except FileNotFoundError:
        raise InputError(Problem(path, "not found", "Check the path.")) from None
    except pa.ArrowInvalid as error:
        raise InputError(
            Problem(path, f"damaged table ({error})", "Delete it and run the build again.")
        ) from None
    missing = [name for name in columns or () if name not in table.column_names]
    if missing:
        fix = "Run the build again."
        raise InputError(Problem(path, "column missing:", fix, column=name) for name in missing)
    typed = [field.name for field in table.schema if field.type in _TYPED]
    frame = table.drop_columns(typed).to_pandas()
    for name in typed:
        frame[name] = pd.Series(decode(table[name]), frame.index, dtype=object)
    return frame[list(columns or table.column_names)]


def labels_at(labels: pd.DataFrame, items: pd.Series, level: int, origin: str) -> pd.Series:
    """Each item's label at a level, from the table `labels`.

    Args:
        labels: the table `labels`.
        items: item ids.
        level: the level, above 0.
        origin: `published` or `known`.

    Returns:
        Names with the index of `items`, "" where an item has no such label.
    """
    own = labels[(labels["level"] == level) & (labels["origin"] == origin)]
    return items.map(own.set_index("item_id")["node"]).fillna("").astype(object)


def own_ids(items: pd.DataFrame) -> list[str]:
    """Each item's id in its data set: `item_id` without the data set's name and the split."""
    columns = (items[name] for name in ("item_id", "dataset", "split"))
    return [
        item.removeprefix(f"{dataset}/").removeprefix(f"{split}/")
        for item, dataset, split in zip(*columns, strict=True)
    ]


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


def clean_cells(cells: Sequence[str]) -> list[str]:
    """`clean_cell` for a column: at once where nothing is to clean, else once for each text."""
    joined = "\n".join(["", *cells, ""])
    # A line end within a cell would hide what is beside it.
    whole = joined.isascii() and joined.count("\n") == len(cells) + 1
    if whole and not any(mark in joined for mark in _UNCLEAN):
        return list(cells)
    cleaned = {cell: clean_cell(cell) for cell in dict.fromkeys(cells)}
    return [cleaned[cell] for cell in cells]


_GUARDED = ("'=", "'+", "'-", "'@")
# What an ASCII column, joined by line ends, has where `clean_cell` would change a cell.
_UNCLEAN = ("  ", "\n ", " \n", *"\t\r\v\f\x1c\x1d\x1e\x1f", *("\n" + mark for mark in _GUARDED))
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

    Thousands may stand apart by spaces (any of them) or apostrophes, by commas or points where
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
) -> pd.DataFrame:
    """Reads a CSV that a person or a spreadsheet program wrote, every cell as clean text.

    Accepts UTF-8 (with or without byte-order mark) and UTF-16, the separators `,` `;` and tab (also
    announced by a first line `sep=;`), any line end, padded cells and header, columns in any order
    and further columns (dropped). Blank lines are skipped. The index is the 1-based line of each
    row in the file.

    Args:
        path: the file.
        required: columns that must be there.
        optional: columns added as blanks where they are not.
        ended: refuse a file whose last line has no line end. Programs end every line, so a file
            without is one cut short; a person's editor may leave it out.
        ended_after: refuse such a file only where one of these columns stands last and the last
            cell, not quoted, may be cut: what is left of it could mean something else.
        further: keep the file's other named columns too.

    Returns:
        Text columns `required + optional`, then the others in the file's order where asked for;
        blank cells are "".

    Raises:
        InputError: not a file, undecodable, a column missing or doubled, a row with too few or too
            many cells, an open quotation mark; all of them listed.
    """
    required, optional = list(required), list(optional)
    text = _decoded(path)
    separator, skipped = _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    problems: list[Problem] = []
    header: list[str] | None = None
    rows: list[list[str]] = []
    lines: list[int] = []
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
            else:
                rows.append(cells)
                lines.append(line)
    except csv.Error as error:
        what = f"not CSV ({error})"
        problems.append(Problem(path, what, "Mend the quotation marks.", row=start))
    if header is None:
        problems.append(
            Problem(path, "the file is empty", f"It needs the columns {', '.join(required)}.")
        )
    elif (
        (
            ended
            or (header[-1] in ended_after and rows and clean_cell(rows[-1][-1]) and text[-1] != '"')
        )
        and not text.endswith(("\n", "\r"))
        and not (problems and problems[-1].row == reader.line_num)
    ):
        problems.append(cut_short(path, reader.line_num, "the last line has no line end"))
    if header is None or problems:
        raise InputError(problems)
    columns = {}
    others = [name for name in header if name and name not in {*required, *optional}]
    for name in required + optional + (others if further else []):
        at = header.index(name) if name in header else None
        columns[name] = clean_cells([row[at] for row in rows]) if at is not None else ""
    return pd.DataFrame(columns, index=pd.Index(lines, name="line", dtype=int), dtype=str)


def read_header(path: Path) -> list[str]:
    """Column names of a CSV that a person made, cleaned and in lower case.

    Raises:
        InputError: not a file, undecodable.
    """
    text = _decoded(path)
    separator, skipped = _separator(text)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header = (
        cells for n, cells in enumerate(lines) if n >= skipped and any(map(clean_cell, cells))
    )
    return [clean_cell(cell).casefold() for cell in next(header, [])]


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
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        row = raw[: error.start].count(b"\n") + 1
        raise InputError(
            Problem(
                path,
                f"not {encoding.removesuffix('-sig')} text ({error.reason})",
                "Save as UTF-8.",
                row=row,
            )
        ) from None


def _separator(text: str) -> tuple[str, int]:
    """The separator of a CSV text, and how many lines stand before the header to announce it."""
    first = re.search(r"[^\r\n]*[^\s][^\r\n]*", text)
    line = first[0] if first else ""
    announced = re.fullmatch(r"sep=([,;\t])\s*", line, re.IGNORECASE)
    if first and announced:
        before = text[: first.end()]
        return announced[1], 1 + len(re.findall(r"\r\n|\r|\n", before))
    return max(",;\t", key=line.count), 0


def _header_problems(path: Path, header: list[str], required: list[str], row: int) -> list[Problem]:
    problems = [
        Problem(path, "column missing:", "Add it to the header.", row=row, column=column)
        for column in required
        if column not in header
    ]
    doubled = sorted({name for name in header if name and header.count(name) > 1})
    return problems + [
        Problem(path, "column stands twice:", "Keep one.", row=row, column=column)
        for column in doubled
    ]
