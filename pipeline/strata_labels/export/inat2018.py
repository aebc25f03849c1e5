"""iNaturalist 2018: `train2018.json`, `val2018.json`, `categories.json` and the set lists.

Loaders key ranks by name, so the categories of the annotations carry names that no other node of
the level has; `categories.json` carries the names as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from strata_labels.export.export_input import ExportInput, one_row_an_image, safe_name, unique_names
from strata_labels.export.export_result import ExportResult, compare, set_aside, write_csv
from strata_labels.files import whole, write_text
from strata_labels.tables import LABELLED

#: How to open it, in Markdown.
USAGE = (
    "iNaturalist 2018's lists, for example for "
    "`pytorch_metric_learning.datasets.inaturalist2018.INaturalist2018(root=FOLDER)`."
)

RANKS = ("genus", "family", "order", "class", "phylum", "kingdom")
SETS = "Inat_dataset_splits/Inaturalist_{}_set1.txt"

_ROOT = "train_val2018"

#: Where loaders of the set expect images beside the lists.
IMAGE_FOLDERS = (_ROOT,)


def _frames(given: ExportInput) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """Categories (`id, plain` and `unique` ranks), images (`path, id, split, image`), left out."""
    rows = given.split_rows(two_sided=True)
    unlabelled, outside = rows.status != LABELLED, rows.split.isna()
    rows, left = set_aside(rows, no_label=unlabelled, not_in_the_split=outside)
    if rows.source_id.is_unique:
        rows["number"] = rows.source_id
    else:
        rows["number"] = range(len(rows))
    names = unique_names(given.tree)
    full = given.num_levels > 2
    levels = range(given.num_levels - 1, 0, -1)
    filled = rows[f"level{levels[0]}_name"]
    for level in levels:
        # A label that stops early leaves a rank blank, and a loader needs one.
        own, node = rows[f"level{level}_name"], rows[f"level{level}_id"]
        filled = own.where(
            own.notna(), "incertae sedis in " + filled.str.removeprefix("incertae sedis in ")
        )
        rows[f"plain{level}"] = filled
        rows[f"unique{level}"] = node.map(names).where(node.notna(), filled)
    top = rows[f"unique{given.num_levels - 1}"]
    group = rows.qualifier.fillna("")
    rows["supercategory"] = group.where(group != "", top) if full else rows.unique1
    rows["split"] = rows.split.where(rows.split == "train", "test")
    images = one_row_an_image(rows)
    in_place = [
        PurePosixPath(image).parent.name == str(number) and "\n" not in image
        for image, number in zip(images.image, images.number, strict=True)
    ]
    if all(in_place) and images.image.is_unique:
        images["path"] = images.image
    else:
        nth = images.groupby("number").cumcount()
        images["path"] = [
            f"{_ROOT}/{safe_name(name)}/{number}/{n}{PurePosixPath(image).suffix.strip() or '.jpg'}"
            for name, number, n, image in zip(
                images.supercategory, images.number, nth, images.image, strict=True
            )
        ]
    images = images.rename(columns={"number": "category"})
    return rows, images[["path", "category", "split", "image"]], left


def _categories(rows: pd.DataFrame, kind: str) -> list[dict[str, Any]]:
    levels = [n for n in range(1, 7) if f"{kind}{n}" in rows] if "plain2" in rows else []
    ranks = {RANKS[n - 1]: rows[f"{kind}{n}"] for n in levels}
    columns = {
        "id": rows.number,
        "name": rows["name"],
        "supercategory": rows.supercategory,
        **ranks,
    }
    if kind == "plain" and not levels:
        columns["supercategory"] = rows.plain1
    table = pd.DataFrame(columns).sort_values("id")
    return [
        {str(key): int(value) if key == "id" else value for key, value in row.items()}
        for row in table.to_dict("records")
    ]


def write(folder: Path, given: ExportInput) -> ExportResult:
    """Labelled items as categories with images; the split `train` and, as `test`, all others."""
    rows, images, left = _frames(given)
    result = ExportResult([], {}, len(rows), left)
    plain, unique = _categories(rows, "plain"), _categories(rows, "unique")
    _write_lists(folder / "categories.json", plain)
    result.rows["categories.json"] = len(plain)
    numbered = enumerate(zip(images.path, images.category, strict=True), start=1)
    entries = [(n, path, int(category)) for n, (path, category) in numbered]
    for name, listed in (("train2018.json", entries), ("val2018.json", [])):
        _write_lists(
            folder / name,
            {
                "annotations": (
                    {"category_id": category, "id": n, "image_id": n} for n, _, category in listed
                ),
                "categories": unique,
                "images": ({"file_name": path, "id": n} for n, path, _ in listed),
            },
        )
        result.rows[name] = len(listed)
    files = ["categories.json", "train2018.json", "val2018.json"]
    for split in ("train", "test"):
        name, part = SETS.format(split), images[images.split == split]
        if part.empty:
            result.missing.append(name)
            continue
        write_text(folder / name, "\n".join(part.path) + "\n")
        files.append(name)
        result.rows[name] = len(part)
    moved = images[images.path != images.image]
    if len(moved):
        write_csv(folder / "images.csv", moved[["path", "image"]])
        files.append("images.csv")
    result.files.extend(folder / name for name in files)
    return result


def _write_lists(path: Path, value: list[Any] | dict[str, Iterable[Any]]) -> None:
    """JSON, an entry a line, without holding the text in memory."""

    def entries(listed: Iterable[Any]) -> Iterator[str]:
        yield "["
        for n, entry in enumerate(listed):
            yield (",\n" if n else "\n") + json.dumps(entry, ensure_ascii=False)
        yield "\n]"

    with whole(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        if isinstance(value, list):
            file.writelines(entries(value))
        else:
            for n, (key, listed) in enumerate(value.items()):
                file.write(("{" if not n else ",\n") + json.dumps(key) + ": ")
                file.writelines(entries(listed))
            file.write("}")
        file.write("\n")


def check(folder: Path, given: ExportInput) -> None:
    """Reads lists, annotations and categories as loaders do and compares label by label."""
    rows, images, _ = _frames(given)
    paths = [folder / "train2018.json"]
    paths += [
        folder / SETS.format(split) for split in ("train", "test") if (images.split == split).any()
    ]
    found = json.loads(paths[0].read_text(encoding="utf-8"))
    if found["categories"] != _categories(rows, "unique"):
        raise ValueError(f"{paths[0]}: other categories than were written")
    category = {entry["image_id"]: entry["category_id"] for entry in found["annotations"]}
    label = {entry["file_name"]: category[entry["id"]] for entry in found["images"]}
    for split, part in images.groupby("split", sort=True):
        path = folder / SETS.format(split)
        lines = path.read_text(encoding="utf-8").split("\n")
        if lines.count("") != 1 or lines.pop() != "":
            raise ValueError(f"{path}: not exactly one line break at the end")
        unknown = [line for line in lines if line not in label]
        if unknown:
            raise ValueError(f"{path}: not in the annotations: {unknown[0]}")
        listed = pd.DataFrame({"path": lines, "category": [label[line] for line in lines]})
        compare(path, listed, part[["path", "category"]])
        folders = [PurePosixPath(line).parent.name for line in lines]
        compare(path, pd.DataFrame({"category": folders}), part[["category"]])
    rank_columns = [f"unique{n}" for n in range(1, given.num_levels)]
    for level, column in enumerate(rank_columns, start=1):
        pairs = rows[[f"level{level}_id", column]].dropna().drop_duplicates()
        if pairs[column].duplicated().any():
            raise ValueError(f"two nodes of level {level} have one name for loaders")
