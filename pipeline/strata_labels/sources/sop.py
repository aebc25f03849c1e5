"""Stanford Online Products: `Ebay_train.txt` and `Ebay_test.txt`, where they are published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.errors import Problem, refuse
from strata_labels.people_csv import read_people_csv
from strata_labels.sources.contract import Counts, Metadata, count_labels, label_rows
from strata_labels.sources.known_labels import read_labels as read_labels  # of `Source`
from strata_labels.sources.packed import Packed, find

# The project page (cvgl.stanford.edu/projects/lifted_struct) offers one zip.
BASE_URL = "https://cvgl.stanford.edu/projects/lifted_struct"
FILES = ("Stanford_Online_Products.zip",)
#: The official zip (2.9 GB, images included), from which `read` takes the lists.
DOWNLOADS: Mapping[str, Sequence[str]] = {name: (name,) for name in FILES}
DATASET = "sop"
LEVELS = ("superclass",)

#: Names of products and super-classes by id, which our own export writes beside the lists.
NAMES = "names.csv"

_SPLITS = ("train", "test")
_Line = dict[Hashable, Any]
_HEADER = ["image_id", "class_id", "super_class_id", "path"]
_FOLDER = "Stanford_Online_Products"


#: Splits whose images can be fetched.
IMAGE_SPLITS: tuple[str, ...] = ("train", "test")


def image_archives(splits: Sequence[str] = ()) -> list[tuple[str, str]]:
    """The official zip; no file with its MD5 sum is published."""
    return [(name, "") for name in FILES]


def files(folder: Path) -> list[Path]:
    """The two lists (or the archive they are in) and the names, as far as they are there."""
    found = [file.path for file in _lists(Path(folder)).values() if file]
    return sorted({*found, *_names_file(Path(folder))})


def levels(folder: Path) -> tuple[str, ...]:
    """The published level."""
    return LEVELS


def image_root(folder: Path) -> Path:
    """Where the lists lie."""
    return _place(Path(folder))


def read(folder: Path, levels: Sequence[str]) -> Metadata:
    """Reads the two lists: a product is an item, its split the list's, its super-class its label.

    A super-class is named by the folder its images lie in, without `_final`; by its number where
    it has no folder of its own.

    Args:
        folder: holds the lists, or the folder or zip `Stanford_Online_Products` with them.
        levels: names of the tree's levels, the item's first.

    Raises:
        InputError: a list missing, and every line that is wrong: too few cells, no id, an image in
            both splits or twice, a class in both splits or under two super-classes, ids with gaps.
    """
    frame = _read(Path(folder))
    names = _names(Path(folder), frame)
    products = frame.drop_duplicates("class_id").sort_values("class_id")
    stems = [Path(path).name.split("_")[0].removesuffix(".JPG") for path in products.path]
    ordered = frame.sort_values(["class_id", "image_id"])
    images = ordered.groupby("class_id", sort=True).path.agg(list)
    items = pd.DataFrame(
        {
            "item_id": [item_id(number) for number in products.class_id],
            "dataset": DATASET,
            "split": products.split.to_numpy(),
            "source_id": products.class_id.to_numpy(),
            "title": "",
            "name": [
                names[0].get(number, stem)
                for number, stem in zip(products.class_id, stems, strict=True)
            ],
            "qualifier": "",
            "source_url": "",
            "image_ids": images.reindex(products.class_id).to_numpy(),
        }
    )
    called = _super_classes(frame, names[1])
    wide = pd.DataFrame(
        {
            "item_id": items.item_id,
            LEVELS[0]: [called[number] for number in products.super_class_id],
        }
    )
    counts: Counts = {"images": {}, "products": {}, "labels": count_labels(wide)}
    for split, part in frame.groupby("split", sort=True):
        counts["images"][str(split)] = {"in": len(part), "out": len(part), "set_aside": {}}
        number = int(part.class_id.nunique())
        counts["products"][str(split)] = {"in": number, "out": number, "set_aside": {}}
    items = items.sort_values(["split", "source_id"], ignore_index=True)
    return Metadata(items, label_rows(wide, levels, "published"), counts)


def _super_classes(frame: pd.DataFrame, given: dict[int, str]) -> dict[int, str]:
    """Names of super-classes by id: given, else of the folder of their images where that is theirs
    alone and no other is called so."""
    folders = frame.assign(folder=[Path(name).parent.as_posix() for name in frame.path])
    folders = folders[["super_class_id", "folder"]].drop_duplicates()
    shared = folders.folder.duplicated(keep=False) | folders.super_class_id.duplicated(keep=False)
    names = {number: f"super-class {number}" for number in sorted(set(folders.super_class_id))}
    own = zip(folders.super_class_id[~shared], map(_plain, folders.folder[~shared]), strict=True)
    called = {number: name for number, name in own if name} | given
    count = Counter(called.values())
    alone = {number: name for number, name in called.items() if count[name] == 1}
    return names | alone | given


def item_id(class_id: int) -> str:
    """A product's id: classes are numbered through both splits."""
    return f"{DATASET}/{class_id}"


def _plain(folder: str) -> str:
    name = folder.rsplit("/", 1)[-1].removesuffix("_final")
    return "" if name in {"", "."} else name.replace("_", " ").strip()


def _lists(folder: Path) -> dict[str, Packed | None]:
    place = _place(folder)
    return {split: find(place, f"Ebay_{split}.txt", FILES) for split in _SPLITS}


def _place(folder: Path) -> Path:
    inside = folder / _FOLDER
    return inside if not (folder / "Ebay_train.txt").is_file() and inside.is_dir() else folder


def _names_file(folder: Path) -> list[Path]:
    return [path for path in (folder / NAMES, folder / _FOLDER / NAMES) if path.is_file()][:1]


def _read(folder: Path) -> pd.DataFrame:
    """Both lists: `image_id, class_id, super_class_id, path, split`, checked."""
    found = _lists(folder)
    problems = [
        Problem(folder, f"holds no Ebay_{split}.txt", "Add the official list of that split.")
        for split, file in found.items()
        if file is None
    ]
    refuse(problems)
    rows: list[tuple[int, int, int, str, str, str, int]] = []
    for split, file in found.items():
        if file is not None:
            rows += _rows(file, split, problems)
    frame = pd.DataFrame(rows, columns=[*_HEADER, "split", "where", "row"])
    problems += _twice(frame, "image_id", "image id") + _twice(frame, "path", "image")
    problems += _two(frame, "split", "class in both splits") + _two(
        frame, "super_class_id", "class under two super-classes"
    )
    # A line that could not be read leaves gaps of its own, which are not worth reporting.
    if not problems:
        for column in _HEADER[:3]:
            problems += _gaps(folder, column, set(frame[column]))
    refuse(problems)
    return frame.drop(columns=["where", "row"])


def _rows(file: Packed, split: str, problems: list[Problem]) -> Iterable[Any]:
    lines = file.text().splitlines()
    where = str(file)
    if not lines or lines[0].split() != _HEADER:
        what = "the first line is not the header:"
        fix = f"It should be `{' '.join(_HEADER)}`."
        problems.append(Problem(where, what, fix, 1, value=lines[0] if lines else ""))
        return
    if not any(line.strip() for line in lines[1:]):
        problems.append(Problem(where, "lists no image", "Get the file again.", 1))
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != len(_HEADER):
            what = f"{len(cells)} cells where 4 are needed; is the file cut short?"
            problems.append(Problem(where, what, "Restore the line.", number, value=line))
            continue
        wrong = [
            Problem(where, "not an id:", "Write a whole number from 1 up.", number, column, cell)
            for column, cell in zip(_HEADER[:3], cells[:3], strict=True)
            if not (
                cell.isascii() and cell.isdecimal() and len(cell) <= 10 and 0 < int(cell) < 2**31
            )
        ]
        if wrong:
            problems += wrong
        else:
            yield int(cells[0]), int(cells[1]), int(cells[2]), cells[3], split, where, number


def _twice(frame: pd.DataFrame, column: str, what: str) -> list[Problem]:
    problems = []
    for late, early in _repeated(frame, column):
        both = "appears in both splits" if late["split"] != early["split"] else "appears twice"
        text = f"{what} {both} (first in {_where(early)}):"
        problems.append(
            Problem(late["where"], text, "Keep one.", late["row"], column, late[column])
        )
    return problems


def _two(frame: pd.DataFrame, column: str, what: str) -> list[Problem]:
    """One problem for each class and further value that a class has in `column`."""
    problems = []
    for late, early in _repeated(frame.drop_duplicates(["class_id", column]), "class_id"):
        text = f"{what} ({early[column]} in {_where(early)}, {late[column]} here):"
        fix, number = "Keep one of them.", late["class_id"]
        problems.append(Problem(late["where"], text, fix, late["row"], "class_id", number))
    return problems


def _repeated(frame: pd.DataFrame, column: str) -> Iterator[tuple[_Line, _Line]]:
    """Lines whose value in a column an earlier one has, and the first that has it."""
    again = frame[frame[column].duplicated()]
    first = frame.drop_duplicates(column).set_index(column).loc[again[column]]
    return zip(again.to_dict("records"), first.to_dict("records"), strict=True)


def _where(line: _Line) -> str:
    return f"{Path(line['where']).name}, row {line['row']}"


def _gaps(folder: Path, column: str, ids: set[int]) -> list[Problem]:
    """Loaders count ids from 1 without a gap; each missing range is one problem."""
    fix = "Number them from 1 without gaps over both lists, or restore the lines."
    problems, last = [], 0
    for number in sorted(ids):
        if number > last + 1:
            missing = str(last + 1) if number == last + 2 else f"{last + 1} to {number - 1}"
            problems.append(Problem(folder, "ids with gaps, missing:", fix, None, column, missing))
        last = number
    return problems


def _names(folder: Path, frame: pd.DataFrame) -> dict[int, dict[int, str]]:
    """Names of products (0) and super-classes (1) by id from `names.csv`, if there is one."""
    found = _names_file(folder)
    if not found:
        return {0: {}, 1: {}}
    path = found[0]
    table = read_people_csv(path, ["level", "id", "name"])
    have = {"0": set(frame.class_id), "1": set(frame.super_class_id)}
    problems, names = [], {0: dict[int, str](), 1: dict[int, str]()}
    for row, (level, number, name) in zip(table.index, table.to_numpy(), strict=True):
        if (
            level not in have
            or not number.isdecimal()
            or len(number) > 10
            or int(number) not in have[level]
        ):
            what, fix = "no such id in the lists:", "Correct the line or leave the file out."
            problems.append(Problem(path, what, fix, int(row), "id", number))
        elif name:
            names[int(level)][int(number)] = name
    doubled = Counter(names[1].values())
    problems += [
        Problem(
            path, "two super-classes have this name:", "Rename one of them.", None, "name", name
        )
        for name, count in doubled.items()
        if count > 1
    ]
    refuse(problems)
    return names
