"""Stanford Online Products' lists, `Stanford_Online_Products/Ebay_{train,test}.txt`.

Ids count from 1 without gaps. `names.csv` says what they stand for, and `images.csv`, where our
images are called otherwise, which of them belongs at which path.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pandas as pd

from strata_labels.errors import InputError, Problem
from strata_labels.export.export_input import ExportInput, one_row_an_image, safe_name
from strata_labels.export.export_result import ExportResult, compare, set_aside, write_csv
from strata_labels.files import write_text
from strata_labels.tables import LABELLED

#: How to open it, in Markdown.
USAGE = (
    "Stanford Online Products' lists, for example for "
    "`pytorch_metric_learning.datasets.sop.StanfordOnlineProducts(root=FOLDER)`."
)

FOLDER = "Stanford_Online_Products"
COLUMNS = ["image_id", "class_id", "super_class_id", "path"]

# `<super-class>_final/<image>`; a space would end the cell.
_AS_PUBLISHED = re.compile(r"[^\s/]+_final/[^\s/]+")


def _frames(given: ExportInput) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """Lines of both lists with `split` and `image`, the names, and the items left out."""
    rows = given.split_rows(two_sided=True)
    none, outside = rows.image_ids.str.len() == 0, rows.split.isna()
    unlabelled = rows.status != LABELLED
    rows, left = set_aside(rows, no_label=unlabelled, not_in_the_split=outside, no_images=none)
    rows["split"] = rows.split.where(rows.split == "train", "test")
    rows["class_id"] = range(1, len(rows) + 1)
    nodes = given.nodes
    nodes = nodes[nodes.node_id.isin(rows.level1_id)].sort_values(["name", "node_id"])
    numbers = dict(zip(nodes.node_id, range(1, len(nodes) + 1), strict=True))
    rows["super_class_id"] = rows.level1_id.map(numbers)
    images = one_row_an_image(rows)
    images["image_id"] = range(1, len(images) + 1)
    published = all(_AS_PUBLISHED.fullmatch(image) for image in images.image)
    if published and images.image.is_unique:
        images["path"] = images.image
    else:
        nth = images.groupby("class_id").cumcount()
        images["path"] = [
            f"{safe_name(name)}_final/{number}_{n}{PurePosixPath(image).suffix or '.JPG'}"
            if not re.search(r"\s", PurePosixPath(image).suffix)
            else f"{safe_name(name)}_final/{number}_{n}.JPG"
            for name, number, n, image in zip(
                images.level1_name, images.class_id, nth, images.image, strict=True
            )
        ]
    names = pd.concat(
        [
            pd.DataFrame({"level": 0, "id": rows.class_id, "name": rows["name"]}).assign(
                node=rows.item_id
            ),
            pd.DataFrame(
                {"level": 1, "id": nodes.node_id.map(numbers), "name": nodes["name"]}
            ).assign(node=nodes.node_id),
        ],
        ignore_index=True,
    )
    return images[[*COLUMNS, "split", "image"]], names, left


def write(folder: Path, given: ExportInput) -> ExportResult:
    """Labelled items with images; the split `train` and, as `test`, all others.

    Raises:
        InputError: no item has a label and images.
    """
    images, names, left = _frames(given)
    if images.empty:
        fix = "Give the items images, or take a format of items, such as landmarks."
        raise InputError(Problem("sop", "lists images, and no labelled item has one", fix))
    result = ExportResult([], {}, images.class_id.nunique(), left)
    for split in ("train", "test"):
        part = images[images.split == split]
        name = f"{FOLDER}/Ebay_{split}.txt"
        if part.empty:
            result.missing.append(name)
            continue
        cells = [part[column].tolist() for column in COLUMNS]
        lines = [" ".join(map(str, line)) for line in zip(*cells, strict=True)]
        write_text(folder / name, "\n".join([" ".join(COLUMNS), *lines]) + "\n")
        result.files.append(folder / name)
        result.rows[name] = len(part)
    write_csv(folder / FOLDER / "names.csv", names)
    result.files.append(folder / FOLDER / "names.csv")
    moved = images[images.path != images.image]
    if len(moved):
        write_csv(folder / FOLDER / "images.csv", moved[["path", "image"]])
        result.files.append(folder / FOLDER / "images.csv")
    return result


def check(folder: Path, given: ExportInput) -> None:
    """Reads the lists by position and by name, as the two kinds of loaders do."""
    images, _, _ = _frames(given)
    for split, part in images.groupby("split", sort=True):
        path = folder / FOLDER / f"Ebay_{split}.txt"
        compare(
            path,
            pd.read_csv(path, sep=" ", dtype=str, keep_default_na=False, quoting=3),
            part[COLUMNS],
        )
        lines = [
            line.strip().split() for line in path.read_text(encoding="utf-8").split("\n")[1:-1]
        ]
        by_position = pd.DataFrame(
            [(line[1], line[3]) for line in lines], columns=["class_id", "path"]
        )
        compare(path, by_position, part[["class_id", "path"]])
