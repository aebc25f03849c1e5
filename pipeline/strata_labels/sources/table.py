"""A data set of the user's own: one table of items with whatever labels are known."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, time
from pathlib import Path, PurePosixPath

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from strata_labels.errors import Problem, refuse
from strata_labels.people_csv import (
    clean_cell,
    clean_cells,
    is_row_numbers,
    read_header,
    read_people_csv,
)
from strata_labels.pictures import PICTURES, is_picture
from strata_labels.sources.contract import Counts, Metadata, count_labels, label_rows
from strata_labels.sources.image_folder import folder_levels, has_pictures, read_image_folder
from strata_labels.sources.known_labels import read_labels as read_labels  # of `Source`
from strata_labels.tables import read_parquet

#: What the table may be called in its folder, in the order it is looked for; `data` is a folder
#: of Parquet files.
FILES = ("items.csv", "items.parquet", "items.xlsx", "items.jsonl", "data")
DATASET = "table"
BASE_URL = ""  # published nowhere
DOWNLOADS: Mapping[str, Sequence[str]] = {}

_REQUIRED = ("id",)
_OPTIONAL = ("name", "split", "image", "qid", "title", "url")
_ITEM = "item_id"  # of the tables in a workspace: data set, split and id
# Further columns of our own exports, which hold no labels where all of a group are there; then
# neither do `_ALSO_EXPORTED` and the confidences, which exports before them do not have.
_EXPORTED = (
    ("status", "node_id", "origin", "confidence", "accepted"),
    ("wikidata", "country", "latitude", "longitude"),
)
_ALSO_EXPORTED = ("origin", "accepted_level")
_CONFIDENCE = "_confidence"
# Columns whose cells may hold several values.
_LISTS = ("image",)
_SPLIT = "train"
_BETWEEN = "|"
_SHORTENED = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE]\+[0-9]+")
_QID = re.compile(r"(?:Q[1-9][0-9]*)?")


#: Splits whose images can be fetched.
IMAGE_SPLITS: tuple[str, ...] = ()


def image_archives(splits: Sequence[str] = ()) -> list[tuple[str, str]]:
    """None: archives of one's own lie in a folder."""
    return []


def files(folder: Path) -> list[Path]:
    """The table: a file, or those of its folder; none of a folder of pictures."""
    path = _path(Path(folder))
    found = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    return [file for file in found if file.is_file()]


def levels(folder: Path) -> tuple[str, ...]:
    """Names of the table's further columns, in their order: finest first.

    Columns of lists, of other nested values, or of bytes are none.
    """
    path = _path(Path(folder))
    if is_image_folder(path):
        return folder_levels(path)
    if path.suffix == ".parquet" or path.is_dir():
        table = read_parquet(path)
        named = zip(_header(path, table), table.columns, strict=True)
        return tuple(_label_columns(name for name, cells in named if _may_be_labels(cells)))
    return tuple(_label_columns(read_header(path, only_texts=True)))


def image_root(folder: Path) -> Path:
    """The folder of the table, or the folder of pictures."""
    path = _path(Path(folder))
    return path if is_image_folder(path) else path.parent


def is_image_folder(folder: Path) -> bool:
    """Whether the items are the pictures below a folder, and no table says what they are."""
    path = _path(Path(folder))
    return path.is_dir() and not _has_parquet(path)


def read(folder: Path, levels: Sequence[str]) -> Metadata:
    """Reads a table: `id`, and where there are such columns `name, split, image, qid, title, url`.

    `image` names a picture or a folder of pictures relative to the table's own folder, several
    apart by `|`. A blank name is the id. `title` is the item's Commons category. A further column
    holds the labels of the level that it is named for; others are counted and not read.

    Args:
        folder: the table (CSV, Parquet, .xlsx or JSON Lines), a folder that holds it as one of
            `FILES`, or a folder of pictures, see `read_image_folder`.
        levels: names of the tree's levels, the item's first.

    Raises:
        InputError: no table, a missing column, a blank id, one that appears twice in its split or
            that a spreadsheet has shortened, a wrong Wikidata id, an image in both splits, a folder
            without pictures, a cell that is no single text in a column that is read.
    """
    path = _path(Path(folder))
    pictures = is_image_folder(path)
    of_levels = {level.casefold() for level in levels[1:]}
    frame = _frame(path, {*_REQUIRED, *_OPTIONAL, *of_levels})
    if pictures and len(own_names := folder_levels(path)) == len(levels) - 1:
        frame = frame.rename(
            columns=dict(zip(own_names, map(str.casefold, levels[1:]), strict=True))
        )
    problems: list[Problem] = []
    images: list[list[str]] = []
    owner: dict[str, tuple[str, int]] = {}
    for row, split, cell in zip(frame.index, frame.split, frame.image, strict=True):
        found = [cell] if pictures else _pictures(path, int(row), cell, problems)
        images.append(found)
        for image in found:
            before, line = owner.setdefault(image, (split, int(row)))
            if before != split:
                what = f"image in both splits (first in row {line}, {before}):"
                problems.append(Problem(path, what, "Keep one.", int(row), "image", image))
    refuse(problems)
    ids = frame.id.tolist()
    # Numbers of the user's own are kept; any other ids (007 too) are numbered in their order.
    own = all(text.isdecimal() and len(text) < 19 and str(int(text)) == text for text in ids)
    items = pd.DataFrame(
        {
            "item_id": frame.item_id.tolist(),
            "dataset": DATASET,
            "split": frame.split.tolist(),
            "source_id": [int(text) for text in ids] if own else range(1, len(ids) + 1),
            "title": frame.title.tolist(),
            "name": frame["name"].where(frame["name"] != "", frame.id).tolist(),
            "qualifier": "",
            "source_url": frame.url.tolist(),
            "image_ids": images,
            "qid": [qid or None for qid in frame.qid],
        }
    )
    items = items.sort_values(["split", "source_id"], ignore_index=True)
    read = [name for name in _label_columns(frame.columns) if name in of_levels]
    wide = frame[[_ITEM, *read]]
    wide = wide.rename(columns={level.casefold(): level for level in levels})
    counts: Counts = {"items": {}, "labels": count_labels(wide)}
    named = {*_REQUIRED, *_OPTIONAL, _ITEM, *(level.casefold() for level in levels)}
    if others := frame.attrs.get("files_not_read"):
        counts["files_not_read"] = others
    unread = [name for name in frame.columns if name and name not in named]
    if number := frame.attrs.get("unnamed", 0):
        unread.append(f"{number} without a name")
    if unread:
        counts["columns_not_read"] = ", ".join(dict.fromkeys(unread))
    for name, part in items.groupby("split", sort=True):
        number = len(part)
        counts["items"][str(name)] = {
            "in": number,
            "out": number,
            "set_aside": {},
            "without_images": int((part.image_ids.str.len() == 0).sum()),
        }
    return Metadata(items, label_rows(wide, levels, "published"), counts)


def _label_columns(columns: Iterable[str]) -> list[str]:
    names = [str(column) for column in columns]
    others = {*_REQUIRED, *_OPTIONAL, _ITEM, ""}
    groups = [group for group in _EXPORTED if set(group) <= set(names)]
    if groups:
        confidences = {f"{name}{_CONFIDENCE}" for name in names}
        others |= {*_ALSO_EXPORTED, *confidences, *(name for group in groups for name in group)}
    return [name for name in names if name not in others and not is_row_numbers(name)]


def _path(given: Path) -> Path:
    """The table: the path that was given, or what its folder holds."""
    if not given.is_dir() or (given.name == FILES[-1] and _has_parquet(given)):
        return given
    for name in FILES:
        if (found := given / name).is_file() or _has_parquet(found):
            return found
    return given if has_pictures(given) else given / FILES[0]


def _has_parquet(folder: Path) -> bool:
    return any(folder.glob("*.parquet"))


def _frame(path: Path, wanted: Collection[str]) -> pd.DataFrame:
    """The table as text with `item_id`; the index is the row."""
    frame = _text_table(path, wanted)
    problems = [
        Problem(path, "blank id", "Give every item an id.", int(row), "id")
        for row in frame.index[frame.id == ""]
    ]
    fix = "Format the column as text, and enter the id again."
    problems += [
        Problem(path, "a spreadsheet has shortened the id:", fix, int(row), "id", value)
        for row, value in zip(frame.index, frame.id, strict=True)
        if _SHORTENED.fullmatch(value)
    ]
    fix = "Write a Wikidata id such as Q90, or leave the cell blank."
    problems += [
        Problem(path, "not a Wikidata id:", fix, int(row), "qid", value)
        for row, value in zip(frame.index, frame.qid, strict=True)
        if not _QID.fullmatch(value)
    ]
    if _ITEM in frame:
        fix = "Rename the column, for instance to `id` or to the name of its level."
        problems.append(Problem(path, "Strata uses this name itself:", fix, column=_ITEM))
    frame["split"] = frame.split.where(frame.split != "", _SPLIT)
    # Splits may be numbered each on its own.
    frame[_ITEM] = [
        f"{DATASET}/{split}/{number}" for split, number in zip(frame.split, frame.id, strict=True)
    ]
    first: dict[str, int] = {}
    for row, item, number in zip(frame.index, frame.item_id, frame.id, strict=True):
        before = first.setdefault(item, int(row))
        if before != row and number:
            what = f"id appears twice (first in row {before}):"
            fix = "Keep one; name all pictures of an item in one row, with | between them."
            problems.append(Problem(path, what, fix, int(row), "id", number))
    if frame.empty:
        problems.append(Problem(path, "holds no item", "Add a row for each item."))
    refuse(problems)
    return frame


def _text_table(path: Path, wanted: Collection[str]) -> pd.DataFrame:
    """The columns of `_REQUIRED` and `_OPTIONAL`, blank where they are not there, and others.

    Every cell is text; a list is joined by `|`. Cells of columns that are not wanted are not to be
    used. The index is the row. Of a folder of pictures, the attribute `files_not_read` is the
    number of other files.
    """
    if is_image_folder(path):
        frame, others = read_image_folder(path)
        for column in frame.columns.drop("image"):
            frame[column] = clean_cells(frame[column].tolist())
        frame = frame.assign(**{name: "" for name in _OPTIONAL if name not in frame})
        frame.attrs["files_not_read"] = others
        return frame
    if path.suffix != ".parquet" and not path.is_dir():
        return read_people_csv(
            path, _REQUIRED, _OPTIONAL, further=True, wanted=wanted, lists=_LISTS
        )
    table = read_parquet(path)
    frame = pd.DataFrame(index=pd.RangeIndex(1, table.num_rows + 1))
    problems: list[Problem] = []
    for name, column in zip(_header(path, table), table.columns, strict=True):
        if name not in wanted:
            frame[name] = ""
            continue
        cells = column.to_pylist()
        problems += _no_texts(path, name, cells)
        frame[name] = clean_cells([_text(cell) for cell in cells])
    refuse(problems)
    return frame.assign(**{name: "" for name in _OPTIONAL if name not in frame})


def _header(path: Path, table: pa.Table) -> list[str]:
    """The columns' names, cleaned as those of a CSV.

    Raises:
        InputError: a column is missing or there twice.
    """
    names = [clean_cell(name).casefold() for name in table.column_names]
    problems = [
        *(("column missing:", "Add it.", name) for name in _REQUIRED if name not in names),
        *(
            ("column appears twice:", "Keep one.", name)
            for name in sorted(set(names))
            if names.count(name) > 1
        ),
    ]
    refuse(Problem(path, what, fix, column=name) for what, fix, name in problems)
    return names


def _may_be_labels(column: pa.ChunkedArray) -> bool:
    """Whether a column's type is one of texts, numbers and the like, one in each cell."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        most = pc.max(pc.list_value_length(column)).as_py() or 0
        return most <= 1 and _may_be_labels(pc.list_flatten(column))
    if pa.types.is_nested(kind):
        return False
    of_bytes = getattr(kind, "value_type", kind)  # of a dictionary, its values'
    tests = ("binary", "large_binary", "fixed_size_binary", "binary_view")
    if any(getattr(pa.types, f"is_{name}")(of_bytes) for name in tests):
        return all(_is_utf8(cell.as_py()) for cell in column if cell.is_valid)
    return True


def _no_texts(path: Path, column: str, cells: list[object]) -> Iterator[Problem]:
    """What is in a column and cannot be written as one text: its first cell, and how many."""
    nested = "Write a text or a number, of a picture its path; or remove the column."
    fix_of = {
        "a value inside a value": nested,
        "several values": "Keep one, or remove the column.",
        "bytes that are no text": "Write a text, or remove the column.",
    }
    found: dict[str, list[int]] = {}
    for row, cell in enumerate(cells, start=1):
        entries = cell if isinstance(cell, list) else [cell]
        if any(isinstance(entry, dict | list) for entry in entries):
            found.setdefault("a value inside a value", []).append(row)
        elif len(entries) > 1 and column not in _LISTS:
            found.setdefault("several values", []).append(row)
        elif any(isinstance(entry, bytes) and not _is_utf8(entry) for entry in entries):
            found.setdefault("bytes that are no text", []).append(row)
    for what, (row, *more) in found.items():
        counted = f"{what} (in {len(more) + 1} rows):" if more else f"{what}:"
        yield Problem(path, counted, fix_of[what], row, column, cells[row - 1])


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _text(cell: object) -> str:
    """A cell as text: blank for a missing one; no needless decimals, and no time of a mere day."""
    if isinstance(cell, list):
        return _BETWEEN.join(map(_text, cell))
    if isinstance(cell, bytes):  # of a writer that does not say that they are text
        return cell.decode("utf-8", "replace")
    if cell is None or cell != cell:  # NaN
        return ""
    if isinstance(cell, datetime) and not cell.tzinfo and cell.time() == time():
        return str(cell.date())  # as pandas writes a day into a CSV
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _pictures(path: Path, row: int, cell: str, problems: list[Problem]) -> list[str]:
    found: list[str] = []
    for name in filter(None, (part.strip() for part in cell.split(_BETWEEN))):
        place = path.parent / name
        if not place.is_dir():
            # ./a.png is a.png; an address is listed as it is among the images that are not there.
            found.append(name if "://" in name else PurePosixPath(name).as_posix())
            continue
        inside = [
            file.relative_to(path.parent).as_posix()
            for file in sorted(place.rglob("*"))
            if is_picture(file.name) and file.is_file()
        ]
        if not inside:
            fix = f"Put pictures there ({', '.join(sorted(PICTURES))})."
            problems.append(Problem(path, "folder without pictures:", fix, row, "image", name))
        found += inside
    return found
