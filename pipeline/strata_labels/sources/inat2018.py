"""iNaturalist 2018: categories, lists of images, where they are published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from strata_labels.errors import InputError, Problem
from strata_labels.sources.contract import Counts, Labels, Metadata
from strata_labels.sources.download import Fetched, download_named
from strata_labels.sources.images import write_images
from strata_labels.sources.packed import find
from strata_labels.sources.taxonomy import (
    CATEGORIES,
    INCERTAE,
    RANKS,
    find_json,
    read_categories,
    read_json,
)

__all__ = [
    "BASE_URL",
    "BLANK",
    "FILES",
    "fetch",
    "files",
    "image_root",
    "label_files",
    "levels",
    "read",
    "read_labels",
]

# The competition's page (github.com/visipedia/inat_comp, 2018) names these addresses.
BASE_URL = "https://ml-inat-competition-datasets.s3.amazonaws.com/2018"
FILES = ("categories.json.tar.gz", "train2018.json.tar.gz", "val2018.json.tar.gz")
DATASET = "inat2018"
LEVELS = (*RANKS, "supercategory")

#: The word for a blank rank.
BLANK = INCERTAE

_ANNOTATED = ("train2018.json", "val2018.json")
_LISTED = ("iNaturalist18_train.txt", "iNaturalist18_val.txt")
_SETS = {split: f"Inat_dataset_splits/Inaturalist_{split}_set1.txt" for split in ("train", "test")}
_NO_LIST = "train"


def fetch(
    folder: Path,
    base_url: str = BASE_URL,
    names: Sequence[str] | None = None,
) -> list[Fetched]:
    """Downloads the official archives of categories and annotations, which `read` reads packed.

    Args:
        folder: where they go.
        base_url: the bucket or a mirror of it.
        names: of `FILES`; all if None.

    Raises:
        InputError: an unknown name; the server has no such file.
        RetryError: a server out of reach or broken.
    """
    return download_named(folder, base_url, FILES if names is None else names, FILES)


def label_files(folder: Path) -> list[Path]:
    """The folder itself, if it has categories: names and tree may stand in different files."""
    folder = Path(folder)
    named = any(find_json(folder, name) for name in (*CATEGORIES, *_ANNOTATED))
    return [folder] if named else []


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


def read(folder: Path, images_table: Path | None = None) -> Metadata:
    """Reads categories and whatever lists of images there are; a species is an item.

    Images come from the annotations (`train2018.json`, `val2018.json`), the lists
    `iNaturalist18_*.txt` and the set lists `Inat_dataset_splits/Inaturalist_{train,test}_set1.txt`,
    each image once. The set lists also tell a species' split; without them all are `train`.

    Args:
        folder: holds the files, open or as published.
        images_table: Parquet file to write the images to.

    Raises:
        InputError: see `read_categories`; an image of an unknown category, of two categories, in
            both set lists or under another category's folder; a species in both set lists.
    """
    folder = Path(folder)
    annotated = {
        name: read_json(found) for name in _ANNOTATED if (found := find_json(folder, name))
    }
    categories, files = read_categories(folder, annotated)
    for name in annotated:
        files[name] = (find_json(folder, name) or find(folder, name)).path  # type: ignore[union-attr]
    problems: list[Problem] = []
    counts: Counts = {"images": {}}
    owner: dict[str, int] = {}
    known = set(categories.id.tolist())
    for name, listed in _lists(folder, annotated, files, problems):
        before = len(owner)
        for path, number, row in listed:
            if number not in known:
                fix = "Take lists and categories from one version."
                problems.append(
                    Problem(name, "image of an unknown category:", fix, row, value=path)
                )
            elif owner.setdefault(path, number) != number:
                what = f"image of two categories ({owner[path]} and {number}):"
                problems.append(Problem(name, what, "Keep one.", row, value=path))
        new = len(owner) - before
        seen = len(listed) - new
        aside = {"listed before": seen} if seen else {}
        counts["images"][Path(name).name] = {"in": len(listed), "out": new, "set_aside": aside}
    split = _splits(folder, owner, problems)
    if problems:
        raise InputError(problems)
    images = pd.DataFrame({"path": list(owner), "source_id": list(owner.values())})
    images = images.sort_values(["source_id", "path"], ignore_index=True)
    images["split"] = images.source_id.map(split).fillna(_NO_LIST)
    lists = images.groupby("source_id").path.agg(list)
    items = pd.DataFrame(
        {
            "item_id": [item_id(number) for number in categories.id],
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
    return Metadata(items, write_images(images_table, images), counts, files)


def read_labels(path: Path, items: pd.DataFrame | None = None) -> Labels:
    """Reads the ranks of every species, genus first, and its super-category.

    Every rank has a name where the set has ranks (blank ones `incertae sedis in PARENT`), and names
    tell nodes apart below one parent; a node is its lineage of names.

    Args:
        path: the folder of metadata, or one of its files.
        items: the metadata's items.

    Raises:
        InputError: see `read_categories`; a species that the items do not have.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    annotated = {}
    for name in _ANNOTATED:
        found = find_json(folder, name)
        if found:
            annotated[name] = read_json(found)
            break
    categories, _ = read_categories(folder, annotated)
    labels = categories.assign(item_id=[item_id(number) for number in categories.id])
    labels = labels[["item_id", *LEVELS]]
    if items is not None:
        strangers = sorted(set(labels.item_id) - set(items.item_id))
        if strangers:
            fix = "Take labels and metadata from one version."
            raise InputError(
                Problem(path, "species not in the metadata:", fix, value=value)
                for value in strangers
            )
    labelled = (labels[list(LEVELS)] != "").any(axis=1)
    out = labels[labelled].sort_values("item_id", ignore_index=True)
    aside = {"no label": int((~labelled).sum())} if not labelled.all() else {}
    return Labels(out, {"in": len(labels), "out": len(out), "set_aside": aside})


def item_id(number: int) -> str:
    """A species' id: categories have one numbering."""
    return f"{DATASET}/{number}"


_Listed = list[tuple[str, int, int | None]]


def _lists(
    folder: Path, annotated: dict[str, Any], files: dict[str, Path], problems: list[Problem]
) -> Iterator[tuple[str, _Listed]]:
    """Each file of images with `(path, category, row)` for each image."""
    for name, value in annotated.items():
        entries = value if isinstance(value, dict) else {}
        try:
            category = {a["image_id"]: a["category_id"] for a in entries.get("annotations", [])}
            listed: _Listed = [
                (image["file_name"], category[image["id"]], None)
                for image in entries.get("images", [])
            ]
        except (KeyError, TypeError) as error:
            fix = "It needs images (id, file_name) and annotations (image_id, category_id)."
            problems.append(Problem(folder / name, f"an image lacks {error}", fix))
            continue
        yield str(folder / name), listed
    for name in _LISTED:
        path = folder / name
        if not path.is_file():
            continue
        files[name] = path
        listed = []
        for row, line in enumerate(find_text(path), start=1):
            cells = line.rsplit(maxsplit=1)
            if len(cells) == 2 and cells[1].isdecimal():
                listed.append((cells[0], int(cells[1]), row))
            elif cells:
                fix = "Write `path category`."
                problems.append(
                    Problem(path, "not an image and its category:", fix, row, value=line)
                )
        yield str(path), listed
    for name in _SETS.values():
        path = folder / name
        if not path.is_file():
            continue
        files[path.name] = path
        listed = []
        for row, line in enumerate(find_text(path), start=1):
            number = PurePosixPath(line).parent.name
            if number.isdecimal():
                listed.append((line, int(number), row))
            else:
                what = "the image's folder is no category id:"
                fix = "Paths are .../<super-category>/<category id>/<image>."
                problems.append(Problem(path, what, fix, row, value=line))
        yield str(path), listed


def find_text(path: Path) -> list[str]:
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
        told = set[int]()
        for row, line in enumerate(find_text(path), start=1):
            number = owner.get(line)
            if number is None:
                continue
            if where.setdefault(line, name) != name:
                what = "image in both splits:"
                problems.append(Problem(path, what, "Keep it in one.", row, value=line))
            elif split.setdefault(number, name) != name and number not in told:
                told.add(number)
                what = "species in both splits:"
                fix = "The splits share no class: keep it in one."
                problems.append(Problem(path, what, fix, row, value=number))
    return split
