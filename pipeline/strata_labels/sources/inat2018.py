"""iNaturalist 2018: categories, lists of images, where they are published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from strata_labels.errors import Problem, refuse
from strata_labels.sources.contract import Counts, Metadata, count_labels, label_rows
from strata_labels.sources.inat2018_categories import (
    CATEGORIES,
    RANKS,
    find_json,
    read_categories,
    read_json,
)
from strata_labels.sources.known_labels import read_labels as read_labels  # of `Source`
from strata_labels.sources.packed import find

# The competition's page (github.com/visipedia/inat_comp, 2018) names these addresses.
BASE_URL = "https://ml-inat-competition-datasets.s3.amazonaws.com/2018"
FILES = ("categories.json.tar.gz", "train2018.json.tar.gz", "val2018.json.tar.gz")
#: The official archives of categories and annotations, which `read` reads packed.
DOWNLOADS: Mapping[str, Sequence[str]] = {name: (name,) for name in FILES}
DATASET = "inat2018"
LEVELS = (*RANKS, "supercategory")

_ANNOTATED = ("train2018.json", "val2018.json")
_LISTED = ("iNaturalist18_train.txt", "iNaturalist18_val.txt")
_SETS = {split: f"Inat_dataset_splits/Inaturalist_{split}_set1.txt" for split in ("train", "test")}
_NO_LIST = "train"


#: Splits whose images can be fetched.
IMAGE_SPLITS: tuple[str, ...] = ("train", "val")


def image_archives(splits: Sequence[str] = ()) -> list[tuple[str, str]]:
    """The archive of all train and validation images; its MD5 sum is in no file."""
    return [("train_val2018.tar.gz", "")]


def files(folder: Path) -> list[Path]:
    """Categories, annotations and lists, open or packed, as far as they are there."""
    folder = Path(folder)
    found = [find_json(folder, name) for name in (*CATEGORIES, *_ANNOTATED)]
    open_ones = [folder / name for name in (*_LISTED, *_SETS.values())]
    return sorted({*(file.path for file in found if file), *(p for p in open_ones if p.is_file())})


def levels(folder: Path) -> tuple[str, ...]:
    """Ranks, genus first, and the super-category."""
    return LEVELS


def image_root(folder: Path) -> Path:
    """The folder itself: lists name images by their path in it."""
    return Path(folder)


def read(folder: Path, levels: Sequence[str]) -> Metadata:
    """Reads categories and whatever lists of images there are; a species is an item.

    Images come from the annotations (`train2018.json`, `val2018.json`), the lists
    `iNaturalist18_*.txt` and the set lists `Inat_dataset_splits/Inaturalist_{train,test}_set1.txt`,
    each image once. The set lists also give a species' split; without them all are `train`.

    The labels are the ranks of every species and its super-category. Every rank has a name where
    the set has ranks (blank ones `incertae sedis in PARENT`), and names tell nodes apart below one
    parent; a node is its lineage of names.

    Args:
        folder: holds the files, open or as published.
        levels: names of the tree's levels, the item's first.

    Raises:
        InputError: see `read_categories`; an image of an unknown category, of two categories, in
            both set lists or under another category's folder; a species in both set lists.
    """
    folder = Path(folder)
    annotated = {
        name: read_json(found) for name in _ANNOTATED if (found := find_json(folder, name))
    }
    categories = read_categories(folder, annotated)
    problems: list[Problem] = []
    counts: Counts = {"images": {}}
    owner: dict[str, int] = {}
    known = set(categories.id.tolist())
    for path, listed in _lists(folder, annotated, problems):
        before = len(owner)
        for image, number, row in listed:
            if number not in known:
                fix = "Take lists and categories from one version."
                problems.append(
                    Problem(path, "image of an unknown category:", fix, row, value=image)
                )
            elif owner.setdefault(image, number) != number:
                what = f"image of two categories ({owner[image]} and {number}):"
                problems.append(Problem(path, what, "Keep one.", row, value=image))
        new = len(owner) - before
        seen = len(listed) - new
        aside = {"listed before": seen} if seen else {}
        counts["images"][path.name] = {"in": len(listed), "out": new, "set_aside": aside}
    split = _splits(folder, owner, problems)
    refuse(problems)
    images = pd.DataFrame({"path": list(owner), "source_id": list(owner.values())})
    images = images.sort_values(["source_id", "path"], ignore_index=True)
    lists = images.groupby("source_id").path.agg(list)
    wide = categories.assign(item_id=[item_id(number) for number in categories.id])
    items = pd.DataFrame(
        {
            "item_id": wide.item_id,
            "dataset": DATASET,
            "split": [split.get(number, _NO_LIST) for number in categories.id],
            "source_id": categories.id,
            "title": categories.name,
            "name": categories.name,
            "qualifier": categories.supercategory,
            "source_url": "",
            "image_ids": [lists.get(number, []) for number in categories.id],
        }
    )
    items = items.sort_values(["split", "source_id"], ignore_index=True)
    number = len(items)
    counts["species"] = {"in": number, "out": number, "set_aside": {}}
    counts["species"]["without_images"] = int((items.image_ids.str.len() == 0).sum())
    wide = wide[["item_id", *LEVELS]]
    counts["labels"] = count_labels(wide)
    return Metadata(items, label_rows(wide, levels, "published"), counts)


def item_id(number: int) -> str:
    """A species' id: categories have one numbering."""
    return f"{DATASET}/{number}"


_Listed = list[tuple[str, int, int | None]]


def _lists(
    folder: Path, annotated: dict[str, Any], problems: list[Problem]
) -> Iterator[tuple[Path, _Listed]]:
    """Each file of images with `(image, category, row)` for each image."""
    for name, value in annotated.items():
        try:
            category = {a["image_id"]: a["category_id"] for a in value.get("annotations", [])}
            listed: _Listed = [
                (image["file_name"], category[image["id"]], None)
                for image in value.get("images", [])
            ]
        except (KeyError, TypeError, AttributeError) as error:
            fix = "It needs images (id, file_name) and annotations (image_id, category_id)."
            problems.append(Problem(folder / name, f"not a list of images ({error!r})", fix))
            continue
        yield folder / name, listed
    for name in (*_LISTED, *_SETS.values()):
        path, paired = folder / name, name in _LISTED
        if not path.is_file():
            continue
        what, fix = "not an image and its category:", "Write `path category`."
        if not paired:
            what = "the image's folder is no category id:"
            fix = "Paths are .../<super-category>/<category id>/<image>."
        listed = []
        for row, line in enumerate(_lines(path), start=1):
            image, number = line, PurePosixPath(line).parent.name
            if paired:
                image, number = ["", "", *line.rsplit(maxsplit=1)][-2:]
            if image and number.isdecimal() and len(number) <= 18:
                listed.append((image, int(number), row))
            elif line.strip() or not paired:
                problems.append(Problem(path, what, fix, row, value=line))
        yield path, listed


def _lines(path: Path) -> list[str]:
    """Lines of a list, without blank ones at its end."""
    found = find(path.parent, path.name)
    return found.text().rstrip("\r\n").splitlines() if found else []


def _splits(folder: Path, owner: dict[str, int], problems: list[Problem]) -> dict[int, str]:
    """The split of every species that the set lists name."""
    split: dict[int, str] = {}
    where: dict[str, str] = {}
    for name, relative in _SETS.items():
        path = folder / relative
        if not path.is_file():
            continue
        reported = set[int]()
        for row, line in enumerate(_lines(path), start=1):
            number = owner.get(line)
            if number is None:
                continue
            if where.setdefault(line, name) != name:
                what = "image in both splits:"
                problems.append(Problem(path, what, "Keep it in one.", row, value=line))
            elif split.setdefault(number, name) != name and number not in reported:
                reported.add(number)
                what = "species in both splits:"
                fix = "The splits share no class: keep it in one."
                problems.append(Problem(path, what, fix, row, value=number))
    return split
