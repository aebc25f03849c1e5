"""The difference between published labels and a workspace's, as patches for the published files.

A label of the workspace corrects a published one where it needs no review. Everything else stays
as it was published, byte for byte.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.errors import InputError, Problem, gathered, refuse
from strata_labels.export.export_input import About
from strata_labels.export.owned_folder import foreign_files, move_into_place_as_own
from strata_labels.export.published_csv import (
    PublishedCsv,
    Row,
    patch_of,
    read_published_csv,
)
from strata_labels.files import part_folder, write_text
from strata_labels.people_csv import clean_cell, read_integer, write_people_csv

CORRECTIONS, LEFT_OUT, README = "corrections.csv", "left_out.csv", "README.md"
_SPLIT = "split"
# What a correction does to the labels of a row.
FILLED, CHANGED, REMOVED, SPACES = "filled in", "changed", "removed", "only spaces"
_NOT_THERE = "not in the workspace"
_OPEN = "differs, and waits for review in the workspace"
_OTHER = "another address in the workspace"
_LACKING = "an item of the workspace that is in no published file"


@dataclass(frozen=True)
class Publication:
    """How a data set's labels are published.

    Attributes:
        id_column: the column with the ids.
        find: the files at a place that was named, each with the split of its ids; "" where a column
            `split` says it, or all ids are of one split.
        address_column: a column whose value has to be the item's `source_url`, where it is there.
        same_address: whether two of its values mean the same.
    """

    id_column: str
    find: Callable[[Path], dict[Path, str]]
    address_column: str = ""
    same_address: Callable[[str, str], bool] = str.__eq__


def table_files(place: Path) -> dict[Path, str]:
    """The file itself: a table of one's own."""
    if place.is_dir():
        fix = "Name the file."
        raise InputError(Problem(place, "a folder, where a table of labels is wanted", fix))
    return {place: ""}


@dataclass(frozen=True)
class Corrections:
    """What differs between published files and a workspace.

    Attributes:
        table: `file, row, id, item_id, change` and, for each level that the file has, `old_LEVEL`
            and `new_LEVEL`; by file and row.
        left_out: `file, row, id, item_id, reason`.
        patches: by name of the file; only of files that change.
        missing_columns: levels without a column, by file.
        rows: number of rows by file.
    """

    table: pd.DataFrame
    left_out: pd.DataFrame
    patches: dict[str, str]
    missing_columns: dict[str, list[str]]
    rows: dict[str, int]


def find_corrections(
    place: Path,
    publication: Publication,
    labels: pd.DataFrame,
    levels: Sequence[str],
    blank: str = "",
) -> Corrections:
    """Compares published files with the labels of a workspace.

    Args:
        place: the published file, or the folder of the files.
        publication: how they are laid out.
        labels: of the workspace, a row for each item: `item_id, id, split, source_url, accepted`
            and for each level a column with its name, "" where it has none.
        levels: names of the levels above the items.
        blank: how names of nodes begin that stand for a blank; they fill no blank in.

    Raises:
        InputError: no file; everything that is wrong with one of them, such as an id that is there
            twice.
    """
    files, problems = [], list[Problem]()
    for path, split in sorted(publication.find(place).items()):
        with gathered(problems):
            files.append((_read(path, publication, levels), split))
    ours = _Labels.of(labels, levels)
    differences = [_compare(file, split, publication, ours, levels, blank) for file, split in files]
    for difference in differences:
        problems += difference.problems
    refuse(problems)
    seen = {item for difference in differences for item in difference.seen}
    lacking = ~labels.item_id.isin(seen) & labels.accepted
    lacking &= (labels[list(levels)] != "").any(axis=1)
    left_out = [row for difference in differences for row in difference.left_out]
    for item, own_id in labels.loc[lacking, ["item_id", "id"]].itertuples(index=False):
        left_out.append(("", "", own_id, item, _LACKING))
    columns = ["file", "row", "id", "item_id", "change"]
    columns += [f"{which}_{level}" for level in levels for which in ("old", "new")]
    rows = [row for difference in differences for row in difference.rows]
    named = [(file.path.name, file) for file, _ in files]
    return Corrections(
        pd.DataFrame(rows, columns=columns).fillna(""),
        pd.DataFrame(left_out, columns=["file", "row", "id", "item_id", "reason"]),
        {
            name: patch_of(file, name, difference.changes)
            for (name, file), difference in zip(named, differences, strict=True)
            if difference.changes
        },
        {
            name: [level for level in levels if level.casefold() not in file.columns]
            for name, file in named
        },
        {name: len(file.rows) for name, file in named},
    )


@dataclass(frozen=True)
class _Labels:
    """The labels of a workspace: cells by column, and the position of each split and id."""

    cells: dict[str, list[Any]]
    known: dict[tuple[str, str], int]
    splits: list[str]

    @classmethod
    def of(cls, labels: pd.DataFrame, levels: Sequence[str]) -> _Labels:
        columns = ("item_id", "source_url", "accepted", *levels)
        keys = zip(labels.split, labels.id, strict=True)
        return cls(
            {name: labels[name].tolist() for name in columns},
            {key: n for n, key in enumerate(keys)},
            sorted(set(labels.split)),
        )

    def position(self, split: str, written: str) -> int | None:
        """The position of an id as it is written, or as a number."""
        if (split, written) in self.known:
            return self.known[split, written]
        try:
            return self.known.get((split, str(read_integer(written))))
        except ValueError:
            return None


@dataclass
class _Difference:
    """What differs in one file: see `Corrections`, and `patch_of` for `changes`."""

    changes: dict[int, dict[int, str]] = field(default_factory=dict)
    rows: list[dict[str, object]] = field(default_factory=list)
    left_out: list[tuple[object, ...]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)


def _compare(
    file: PublishedCsv,
    split: str,
    publication: Publication,
    ours: _Labels,
    levels: Sequence[str],
    blank: str,
) -> _Difference:
    found = _Difference(problems=_name_problems(file.path))
    columns = {
        level: at for level in levels if (at := file.columns.get(level.casefold())) is not None
    }
    first: dict[int | str, int] = {}
    for at, row in enumerate(file.rows):
        written = clean_cell(row.cells[file.columns[publication.id_column]].value)
        part = split or _split_of(file, row, ours.splits)
        number = ours.position(part, written)
        key = f"{part} {written}" if number is None else number
        if key in first:
            what = f"the id is there twice (first in row {first[key]}):"
            fix, column = "Keep one of the rows.", publication.id_column
            found.problems.append(Problem(file.path, what, fix, row.line, column, written))
            continue
        first[key] = row.line
        where = (file.path.name, row.line, written)
        if number is None:
            found.left_out.append((*where, "", _NOT_THERE))
            continue
        item = ours.cells["item_id"][number]
        found.seen.add(item)
        old = {level: row.cells[column].value for level, column in columns.items()}
        new = {level: ours.cells[level][number] for level in columns}
        if blank:
            unnamed = (level for level in columns if new[level].startswith(blank))
            new |= {level: "" for level in unnamed if not clean_cell(old[level])}
        if old == new:
            continue
        kind = _kind(old, new)
        if not _is_same_address(file, row, publication, ours.cells["source_url"][number]):
            found.left_out.append((*where, item, _OTHER))
        elif ours.cells["accepted"][number]:
            changed = {level: new[level] for level in columns if old[level] != new[level]}
            found.changes[at] = {columns[level]: value for level, value in changed.items()}
            both = {f"old_{level}": value for level, value in old.items()}
            both |= {f"new_{level}": value for level, value in new.items()}
            cells = dict(zip(("file", "row", "id", "item_id"), (*where, item), strict=True))
            found.rows.append({**cells, "change": kind, **both})
        elif kind != SPACES:
            found.left_out.append((*where, item, _OPEN))
    return found


def write_corrections(folder: Path, found: Corrections, table: pd.DataFrame, about: About) -> None:
    """Writes patches, `corrections.csv`, `left_out.csv` and `README.md` in place of earlier ones.

    Args:
        folder: it may hold nothing else.
        found: what differs.
        table: `found.table`, with further columns.
        about: title, licence, sources and citations.

    Raises:
        InputError: `folder` holds a file that is not of an earlier call.
    """
    what = "holds a file that `strata diff` did not write:"
    fix = "Name an empty folder, or move the file away."
    refuse(Problem(folder, what, fix, value=file) for file in foreign_files(folder))
    with part_folder(folder) as beside:
        for name, patch in found.patches.items():
            write_text(beside / f"{name}.patch", patch)
        write_people_csv(beside / CORRECTIONS, table)
        write_people_csv(beside / LEFT_OUT, found.left_out)
        write_text(beside / README, _readme(found, about))
        move_into_place_as_own(beside, folder, "corrections")


def _read(path: Path, publication: Publication, levels: Sequence[str]) -> PublishedCsv:
    file = read_published_csv(path, [publication.id_column, *levels])
    problems = []
    if publication.id_column not in file.columns:
        fix = "Take the published file, or add the column."
        problems.append(Problem(path, "column missing", fix, 1, publication.id_column))
    if not any(level.casefold() in file.columns for level in levels):
        what, fix = "no column of labels; the levels are", "Name a column after a level."
        problems.append(Problem(path, what, fix, 1, value=", ".join(levels)))
    refuse(problems)
    return file


def _name_problems(path: Path) -> list[Problem]:
    """A name that the header of a patch cannot have without quotation marks."""
    if path.name.isprintable() and not {'"', "\\"} & set(path.name):
        return []
    fix = "Give the file another name."
    return [Problem(path.parent, "a name that no patch can hold:", fix, value=path.name)]


def _split_of(file: PublishedCsv, row: Row, splits: Sequence[str]) -> str:
    """The split of a row's id: of its cell, else the only one."""
    at = file.columns.get(_SPLIT)
    given = clean_cell(row.cells[at].value) if at is not None else ""
    return given or (splits[0] if len(splits) == 1 else "train")


def _is_same_address(file: PublishedCsv, row: Row, publication: Publication, ours: str) -> bool:
    at = file.columns.get(publication.address_column)
    theirs = clean_cell(row.cells[at].value) if at is not None else ""
    return not theirs or not ours or publication.same_address(theirs, ours)


def _kind(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    changed = [level for level in old if clean_cell(old[level]) != clean_cell(new[level])]
    if not changed:
        return SPACES
    if not any(clean_cell(old[level]) for level in changed):
        return FILLED
    return CHANGED if any(new[level] for level in changed) else REMOVED


def _readme(found: Corrections, about: About) -> str:
    table, left = found.table, found.left_out
    lines = [f"# Corrections of the labels of {about.title}", ""]
    if found.patches:
        lines += [
            "A patch for each published file. In the folder of the published files:",
            "",
            *(f"    patch -p1 < {shlex.quote(f'{name}.patch')}" for name in found.patches),
            "",
            "or `git apply FILE.patch`. A patch fits the files that it was made from. Rows that it "
            "does not name stay as they are, byte for byte.",
        ]
    else:
        lines.append("No published label is corrected.")
    lines += ["", "| file | rows | corrected | " + " | ".join(_KINDS) + " |"]
    lines.append("| --- | ---: | ---: |" + " ---: |" * len(_KINDS))
    for name, rows in found.rows.items():
        kinds = Counter(table.change[table.file == name])
        counts = " | ".join(f"{kinds[kind]:,}" for kind in _KINDS)
        lines.append(f"| {_cell(name)} | {rows:,} | {sum(kinds.values()):,} | {counts} |")
    lines += [
        "",
        f"`{CORRECTIONS}` has a row for each correction: old and new labels, the confidence of "
        "each level (0 to 1) and the finest level that is sure, where the label comes from, who "
        "decided it, and the evidence in words. A cell that a spreadsheet would run as a formula "
        "begins with an apostrophe.",
        "",
        "A row is corrected where it needs no review: a person decided it, or its confidence is "
        "high enough for the tree.",
    ]
    reasons = Counter(left.reason)
    if reasons:
        lines += ["", f"Left out (`{LEFT_OUT}` lists them):", ""]
        lines += [f"- {reason}: {reasons[reason]:,} rows" for reason in _REASONS if reasons[reason]]
    missing = {name: levels for name, levels in found.missing_columns.items() if levels}
    if missing:
        lines += ["", "Levels that a file has no column for, and that are not corrected in it:", ""]
        lines += [f"- {_cell(name)}: {', '.join(levels)}" for name, levels in missing.items()]
    if about.licence and about.licence != "other":
        lines += ["", "## Licence", "", f"The labels: {about.licence}."]
    if about.sources:
        lines += ["", "## Sources", ""]
        lines += [f"- {source.name}: {source.licence}" for source in about.sources]
    if about.citations:
        lines += ["", "## Citation", "", *(f"- {text}" for text in about.citations)]
    return "\n".join(lines) + "\n"


_KINDS = (CHANGED, FILLED, REMOVED, SPACES)
_REASONS = (_OPEN, _NOT_THERE, _OTHER, _LACKING)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
