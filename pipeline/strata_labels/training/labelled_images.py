"""Reads the images of a training with their path in the tree and their split."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from strata_labels.errors import InputError, Problem
from strata_labels.label_tensors import MAX_LEVELS
from strata_labels.people_csv import UNKNOWN_LABEL, read_people_csv
from strata_labels.pictures import picture_file, why_no_picture
from strata_labels.tables import LABELLED, load, table_path
from strata_labels.tree import divide

TRAIN, TEST, QUERY, GALLERY = "train", "test", "query", "gallery"
# evaluate ranks the first ten at least.
_FEWEST = 11


@dataclass(frozen=True)
class LabelledImages:
    """Images with labels.

    Attributes:
        table: `path, split, level0 ... level{L-1}` (text, 0 the finest), in order; the index is
            the row in the file it comes from.
        root: folder the paths are relative to.
        source: file or table, for messages.
        set_aside: number of images or items that were left out, by reason.
    """

    table: pd.DataFrame
    root: Path
    source: Path
    set_aside: dict[str, int] = field(default_factory=dict)

    @property
    def levels(self) -> list[str]:
        """The label columns, finest first."""
        return [name for name in self.table.columns if name.startswith("level")]

    @property
    def labels(self) -> Tensor:
        """`[n, L]` int64: each level's classes numbered in the order of their names."""
        columns = [np.unique(self.table[name], return_inverse=True)[1] for name in self.levels]
        return torch.from_numpy(np.stack(columns, axis=1))

    @property
    def paths(self) -> list[Path]:
        """The image files."""
        return [self.root / path for path in self.table.path]

    @property
    def digest(self) -> str:
        """Fingerprint of paths, splits and labels."""
        text = self.table.to_csv(index=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def part(self, *splits: str) -> LabelledImages:
        """The images of some splits, in order."""
        chosen = self.table[self.table.split.isin(splits)]
        return LabelledImages(chosen, self.root, self.source, self.set_aside)

    def without(self, reasons: Mapping[int, str], skip: bool) -> LabelledImages:
        """Without unreadable images.

        Args:
            reasons: `missing` or what is wrong, by position.
            skip: whether to leave them out; else they are an error.

        Raises:
            InputError: unreadable images that are not to be skipped (each by name), none readable,
                or what is left has problems of its own.
        """
        if not reasons:
            return self
        if len(reasons) == len(self.table):
            what = f"none of the {len(self.table):,} images can be read below"
            first = next(iter(reasons.values()))
            fix = f"Check --images; of {self.table.path.iloc[0]}: {first}."
            raise InputError(Problem("--images", what, fix, value=str(self.root)))
        if not skip:
            fix = "Restore the image, or pass --skip-damaged to train without."
            raise InputError(
                Problem(self.root / self.table.path.iloc[at], f"image not readable ({why})", fix)
                for at, why in reasons.items()
            )
        kept = self.table.drop(self.table.index[list(reasons)])
        aside = {**self.set_aside, "unreadable image": len(reasons)}
        rest = LabelledImages(kept, self.root, self.source, aside)
        check(rest)
        return rest


def read_labels_csv(path: Path, root: Path) -> LabelledImages:
    """Reads `path, split, level0 ... levelN`.

    Args:
        path: the CSV; splits are `train` and `test`, or `train`, `query` and `gallery`.
        root: folder of the images.

    Raises:
        InputError: no such folder, and whatever is wrong in the file, all of it.
    """
    frame = read_people_csv(path, ["path", "split", "level0"], further=True)
    numbers = sorted(
        int(name.removeprefix("level"))
        for name in frame.columns
        if re.fullmatch(r"level\d{1,3}", name)
    )
    problems = _root_problems(root)
    if numbers != list(range(len(numbers))):
        fix = "Name them level0 (the finest), level1, ... without a gap."
        shown = ", ".join(f"level{number}" for number in numbers)
        problems.append(Problem(path, "levels with a gap:", fix, value=shown))
    if len(numbers) > MAX_LEVELS:
        what = f"more than {MAX_LEVELS} levels:"
        problems.append(Problem(path, what, "Leave some out.", value=len(numbers)))
    frame["split"] = frame.split.str.casefold()
    images = LabelledImages(
        frame[["path", "split", *(f"level{number}" for number in numbers)]], root, path
    )
    problems += _row_problems(images)
    if problems:
        raise InputError(problems)
    check(images)
    return images


def read_workspace(
    workspace: Path,
    root: Path,
    class_level: int = 0,
    split: pd.DataFrame | None = None,
) -> LabelledImages:
    """Labels of a built workspace: level 0 is the item, above it the tree's nodes.

    Where an item is one photograph, its level says nothing: with `class_level` k, the nodes of the
    tree's level k are the finest classes, levels below are left out, and classes take the place of
    items in what follows.

    Of a split that `strata split` has made, the images are used that are in it. Without one, items
    in `train` are trained on, those of all other splits tested on; where all are in `train`, the
    classes are divided, half of each node's to the test. Items without a label, without
    an image, or with one image only (nothing could be retrieved for it) are set aside, counted.

    Args:
        workspace: the folder, with `tables/assignments.parquet` and `tables/items.parquet`.
        root: folder of the images.
        class_level: the tree's level whose nodes are level 0 here.
        split: the table `split`, of classes of that level.

    Raises:
        InputError: no such folder or table, or too little to train or to test on.
    """
    if problems := _root_problems(root):
        raise InputError(problems)
    assigned = load(workspace, "assignments")
    items = load(workspace, "items").set_index("item_id").loc[assigned.item_id]
    source = table_path(workspace, "assignments")
    labelled = assigned.status.to_numpy() == LABELLED
    aside = {"no label": int((~labelled).sum())}
    own: Sequence[Iterable[str]] = items.image_ids.tolist()
    if split is not None:
        within = split[split.image.notna()].groupby("item_id").image.agg(set).to_dict()
        own = [
            [image for image in images if image in within.get(item, ())]
            for item, images in zip(assigned.item_id, own, strict=True)
        ]
        outside = labelled & (np.array([len(list(images)) for images in own]) == 0)
        aside["not in the split"] = int(outside.sum())
        labelled &= ~outside
    listed = [_files(root, ids) if has else [] for ids, has in zip(own, labelled, strict=True)]
    number = np.array([len(files) for files in listed])
    aside["no image file"] = int((labelled & (number == 0)).sum())
    finest = assigned.item_id.to_numpy()
    if class_level:
        finest = assigned[f"level{class_level}_id"].fillna("").to_numpy()
        aside["no label at the class level"] = int(((finest == "") & labelled).sum())
        number = np.where(finest == "", 0, number)
    alone = pd.Series(number).groupby(finest).transform("sum").to_numpy() == 1
    aside["one image only"] = int((alone & (number == 1)).sum())
    kept = np.flatnonzero((number > 0) & ~alone)
    if not len(kept):
        what = "no labelled item has two image files below"
        fix = "Check --images: its paths are the image ids, or a/b/c/abc....jpg."
        if aside["one image only"] and not class_level:
            what = "every labelled item has one image file only below"
            fix = "Where a row is one photograph, name the level: strata train --class-level LEVEL."
        raise InputError(Problem("--images", what, fix, value=str(root)))
    chosen = assigned.iloc[kept].reset_index(drop=True)
    levels = {"level0": finest[kept]}
    for at in range(1, sum(name.endswith("_id") for name in chosen.columns) - class_level):
        nodes = chosen[f"level{at + class_level}_id"].fillna("")
        # Where a label stops early, the class has no sibling at the levels left out.
        levels[f"level{at}"] = nodes.where(nodes != "", finest[kept]).to_numpy()
    side = np.where(chosen.split == TRAIN, TRAIN, TEST)
    if (side == TRAIN).all():
        every = assigned[labelled].assign(class_id=finest[labelled])
        every = every[every.class_id != ""].sort_values("item_id").drop_duplicates("class_id")
        above = f"level{class_level + 1}_id"
        stratum = every[above].fillna("") if above in every else ""
        classes = every[["class_id"]].assign(stratum=stratum, tie=range(len(every)))
        found = divide(classes, {TRAIN: 0.5, TEST: 0.5})
        side = found.loc[finest[kept]].to_numpy()
    files = [listed[at] for at in kept]
    table = pd.DataFrame({"split": side, **levels, "file": files, "item": chosen.item_id})
    table = table.explode("file", ignore_index=True)
    table["path"] = table.file.str[1]
    if split is not None:
        keys = pd.MultiIndex.from_arrays([table.item, table.file.str[0]])
        table["split"] = split.set_index(["item_id", "image"]).split.loc[keys].to_numpy()
    table = table[["path", "split", *levels]]
    images = LabelledImages(table, root, source, {k: v for k, v in aside.items() if v})
    check(images)
    return images


def check(images: LabelledImages) -> None:
    """Checks that the images can be trained and tested on.

    Raises:
        InputError: a class on both sides of the split, or with one image; labels that are not
            nested; nothing to train on or to test on; all problems listed.
    """
    table, source, finest = images.table, images.source, images.table["level0"]
    problems = []
    train = table.split == TRAIN
    both = sorted(set(finest[train]) & set(finest[~train]))
    problems += [
        Problem(
            source,
            "class on both sides of the split:",
            "Put all its images on one side.",
            _row(table, train & (finest == name)),
            "level0",
            name,
        )
        for name in both
    ]
    alone = train | (table.split == TEST)
    counts = finest[alone].value_counts()
    problems += [
        Problem(
            source,
            "class with one image, for which nothing can be retrieved:",
            "Add an image of it, or leave it out.",
            _row(table, finest == name),
            "level0",
            name,
        )
        for name in sorted(counts.index[counts == 1])
    ]
    for fine, coarse in zip(images.levels, images.levels[1:], strict=False):
        parents = table.groupby(fine, sort=True)[coarse].unique()
        problems += [
            Problem(
                source,
                f"class under several of {coarse} ({', '.join(sorted(above)[:3])}):",
                "Give one class of a level one parent.",
                _row(table, table[fine] == name),
                fine,
                name,
            )
            for name, above in parents[parents.map(len) > 1].items()
        ]
    if finest[train].nunique() < 2:
        fix = "Mark the images of two classes at least as `train`."
        problems.append(Problem(source, "fewer than two classes to train on", fix, column="split"))
    splits = set(table.split)
    if {QUERY, GALLERY} & splits and (TEST in splits or not {QUERY, GALLERY} <= splits):
        fix = "Mark what is not `train` as `test`, or as `query` and `gallery`."
        shown = ", ".join(sorted(splits))
        problems.append(Problem(source, "splits do not go together:", fix, None, "split", shown))
    # A query of the test split does not rank itself.
    ranked = int((table.split == (GALLERY if GALLERY in splits else TEST)).sum())
    if ranked < _FEWEST - (GALLERY in splits):
        fix = f"Mark {_FEWEST} images at least as `test`, or 10 as `gallery`."
        problems.append(Problem(source, "too few images to test on", fix, column="split"))
    if problems:
        raise InputError(problems)


def _row_problems(images: LabelledImages) -> list[Problem]:
    """What is wrong in single rows."""
    table, source = images.table, images.source
    problems = [
        Problem(source, "blank cell", "Fill it in.", int(row), column)
        for column in table.columns
        for row in table.index[table[column] == ""].tolist()
    ]
    fix = "Fill in the class, or leave the row out."
    what = "stands for an unknown label, which is no class:"
    for name in images.levels:
        unknown = table[name][table[name].str.fullmatch(UNKNOWN_LABEL)]
        problems += [
            Problem(source, what, fix, int(row), name, value)
            for row, value in zip(unknown.index.tolist(), unknown, strict=True)
        ]
    known = (TRAIN, TEST, QUERY, GALLERY)
    fix = f"Write one of {', '.join(known)}."
    wrong = table.split[~table.split.isin([*known, ""])]
    problems += [
        Problem(source, "no such split:", fix, int(row), "split", value)
        for row, value in zip(wrong.index.tolist(), wrong, strict=True)
    ]
    fix = "Move the image below the root, or allow its folder."
    problems += [
        Problem(source, f"{why}:", fix, int(row), "path", path)
        for row, path in zip(table.index.tolist(), table.path, strict=True)
        if path and picture_file(images.root, path) is None
        if (why := why_no_picture(images.root, path)).startswith("outside")
    ]
    # One file may be written in several ways: a.jpg, ./a.jpg, b/../a.jpg, and from the root on.
    root = images.root.absolute()
    files = table.path.map(lambda path: os.path.normpath(root / path))
    again = files.duplicated() & (table.path != "")
    first = table.index.to_series().groupby(files).transform("first")
    problems += [
        Problem(source, f"image listed twice (first in row {at}):", "Keep one.", row, "path", path)
        for row, at, path in zip(
            table.index[again].tolist(), first[again], table.path[again], strict=True
        )
    ]
    return problems


def _root_problems(root: Path) -> list[Problem]:
    if root.is_dir():
        return []
    fix = "Give the folder that the images' paths start from."
    return [Problem("--images", "no such folder:", fix, value=str(root))]


def _files(root: Path, ids: Iterable[str]) -> list[tuple[str, str]]:
    """An item's images that have a file, with its path below the root."""
    return [
        (image, str(path.relative_to(root)))
        for image in ids
        if (path := picture_file(root, image)) is not None
    ]


def _row(table: pd.DataFrame, where: pd.Series) -> int | None:
    """Line of the first such row, where lines are known."""
    return int(table.index[where.to_numpy()][0]) if table.index.name == "line" else None
