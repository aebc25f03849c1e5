"""Folders of images as torchvision's `ImageFolder` reads them: `train/CLASS/ITEM_N.jpg`.

A class is the finest node above the item (the item itself in a tree without one). Images are links,
or copies where those are asked for. `classes.csv` says what each folder stands for.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from strata_labels.errors import InputError, Problem
from strata_labels.export.export_input import ExportInput, one_row_an_image, safe_name
from strata_labels.export.export_result import (
    ExportResult,
    compare_people_csv,
    set_aside,
)
from strata_labels.people_csv import write_people_csv
from strata_labels.tables import LABELLED

#: How to open it, in Markdown.
USAGE = (
    'Images by class: `torchvision.datasets.ImageFolder("train")`, and so for every split. '
    "`classes.csv` says what each folder stands for, and what is above it."
)

CLASSES = "classes.csv"
# Those that torchvision opens.
_SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}


def _unique(texts: list[str]) -> list[str]:
    """Names for folders and files, none like another one in any case."""
    found, taken = [], set[str]()
    for text in texts:
        name, number = safe_name(text), 1
        while name.casefold() in taken:
            number += 1
            name = f"{safe_name(text)}-{number}"
        taken.add(name.casefold())
        found.append(name)
    return found


def _files(given: ExportInput) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """Images (`path, file`, the image's own file), classes, and the items left out."""
    rows = given.split_rows()
    has_class = given.num_levels > 1
    rows = rows.assign(node=rows.level1_id if has_class else rows.item_id)
    unlabelled = rows.status != LABELLED
    none, early = rows.image_ids.str.len() == 0, rows.node.isna()
    outside = rows.split.isna()
    rows, left = set_aside(
        rows,
        no_label=unlabelled,
        label_stops_early=early,
        not_in_the_split=outside,
        no_images=none,
    )
    tree = given.tree
    nodes = sorted(rows.node.unique())
    classes = pd.DataFrame({"node_id": nodes, "name": [tree.name[node] for node in nodes]})
    classes["folder"] = _unique(classes["name"].tolist())
    for n in range(2, given.num_levels):
        above = [{tree.level[step]: step for step in tree.path(node)}.get(n, "") for node in nodes]
        classes[f"level{n}_name"] = [tree.name.get(node, "") for node in above]
    folder = dict(zip(classes.node_id, classes.folder, strict=True))
    splits = sorted(rows.split.unique())
    split_folder = dict(zip(splits, _unique(splits), strict=True))
    images = one_row_an_image(rows)
    find = given.find_image
    files = [find(image) if find else None for image in images.image]
    images["file"] = pd.Series(files, images.index, dtype=object)
    pairs = zip(images.file, images.image, strict=True)
    suffix = [Path(file or image).suffix for file, image in pairs]
    opened = pd.Series([text.lower() in _SUFFIXES for text in suffix], images.index, dtype=bool)
    images = images.assign(suffix=suffix)[images.file.notna() & opened]
    nth = images.groupby("item_id").cumcount()
    # An id may hold anything; its number in the list keeps two alike apart.
    things = rows.drop_duplicates("item_id")
    number = dict(zip(things.item_id, _unique(things.id.astype(str).tolist()), strict=True))
    images["path"] = [
        f"{split_folder[split]}/{folder[node]}/{number[item]}_{n}{end}"
        for split, node, item, n, end in zip(
            images.split, images.node, images.item_id, nth, images.suffix, strict=True
        )
    ]
    if lost := len(set(rows.item_id) - set(images.item_id)):
        left["image_files_missing"] = lost
    classes = classes[classes.node_id.isin(images.node)].reset_index(drop=True)
    return images[["item_id", "path", "file"]], classes, left


def write(folder: Path, given: ExportInput) -> ExportResult:
    """Labelled items whose images are there.

    Raises:
        InputError: there is no image to link.
    """
    images, classes, left = _files(given)
    if images.empty:
        fix = "Build with `--images FOLDER`, or take another format."
        raise InputError(Problem("imagefolder", "no image of a labelled item is there", fix))
    for path, file in zip(images.path, images.file, strict=True):
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if given.copy_images:
            shutil.copyfile(file, place)
        else:
            place.symlink_to(file.resolve())
    write_people_csv(folder / CLASSES, classes)
    rows = {CLASSES: len(classes)}
    return ExportResult([folder / CLASSES], rows, images.item_id.nunique(), left)


def check(folder: Path, given: ExportInput) -> None:
    """Every image is in place, and the classes are as written."""
    images, classes, _ = _files(given)
    for path, file in zip(images.path, images.file, strict=True):
        place = folder / path
        if not place.is_file() or place.stat().st_size != file.stat().st_size:
            raise ValueError(f"{place}: not the image {file}")
    compare_people_csv(folder / CLASSES, classes)
