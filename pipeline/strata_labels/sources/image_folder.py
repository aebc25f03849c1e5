"""Folders of pictures as a table of items: `class/.../image.jpg` at any depth is a tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from strata_labels.errors import Problem, refuse
from strata_labels.pictures import is_picture

# What folders at the top are called that hold the parts of a split, and not classes.
_SPLITS = {
    "train", "training", "val", "valid", "validation", "test", "testing", "dev", "query",
    "gallery", "index",
}  # fmt: skip
# Folders that operating systems and archives leave.
_NO_CLASSES = {"__macosx", "@eadir"}


@dataclass(frozen=True)
class _Listing:
    """The files below a folder; hidden ones are left out.

    Attributes:
        pictures: steps of the path of each picture below the folder, sorted.
        others: number of files that are no pictures.
    """

    pictures: list[tuple[str, ...]]
    others: int

    @property
    def has_splits(self) -> bool:
        """Whether the folders at the top are parts of a split."""
        tops = {steps[0].casefold() if len(steps) > 1 else "" for steps in self.pictures}
        return bool(tops) and tops <= _SPLITS

    @property
    def depth(self) -> int:
        """The most classes above a picture."""
        most = max((len(steps) - 1 for steps in self.pictures), default=0)
        return most - self.has_splits


def has_pictures(folder: Path) -> bool:
    """Whether there is a picture anywhere below a folder."""
    return any(is_picture(name) for _, name in _files(folder))


def picture_paths(folder: Path) -> list[str]:
    """The pictures below a folder, relative to it, sorted."""
    return ["/".join(steps) for steps in _listing(folder).pictures]


def folder_levels(folder: Path) -> tuple[str, ...]:
    """Names of the levels, finest first: `folder_2, folder_1` of `a/b/c.jpg`.

    The number counts from the top, so that a level keeps its name when a deeper one is added.
    """
    return tuple(f"folder_{n}" for n in range(_listing(folder).depth, 0, -1))


def read_image_folder(folder: Path) -> tuple[pd.DataFrame, int]:
    """Reads the pictures below a folder as the table that a person would write of them.

    The id and the image are the path below the folder. The folders above a picture are its labels;
    one that lies higher than others has labels of the coarse levels alone. The name is the file's
    own: with its folders in it, a given label would confirm itself. Folders at the top that are
    called `train`, `test` and the like are the split, if there are no others.

    Returns:
        The text columns `id, name, split, image`, then the levels, finest first; and the number of
        files that are no pictures.

    Raises:
        InputError: file or folder names that are not UTF-8.
    """
    listing = _listing(folder)
    problems = [
        Problem(folder, "a name that is not UTF-8:", "Rename it.", value="/".join(steps))
        for steps in listing.pictures
        if not _is_utf8("/".join(steps))
    ]
    refuse(problems)
    rows = []
    for steps in listing.pictures:
        split, classes = "", list(steps[:-1])
        if listing.has_splits:
            split, *classes = classes
        labels = [""] * (listing.depth - len(classes)) + classes[::-1]
        path = "/".join(steps)
        name = Path(steps[-1]).stem.replace("_", " ").replace("-", " ")
        rows.append((path, name, split, path, *labels))
    columns = ["id", "name", "split", "image", *folder_levels(folder)]
    return pd.DataFrame(rows, columns=columns, dtype=str), listing.others


def _listing(folder: Path) -> _Listing:
    pictures, others = [], 0
    for steps, name in _files(folder):
        if is_picture(name):
            pictures.append((*steps, name))
        else:
            others += 1
    return _Listing(sorted(pictures), others)


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in name)


def _files(folder: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every file below a folder, with the folders above it; links are followed, loops are not."""
    waiting: list[tuple[tuple[str, ...], Path, tuple[str, ...]]] = [
        ((), folder, (os.path.realpath(folder),))
    ]
    while waiting:
        steps, place, above = waiting.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.casefold() in _NO_CLASSES:
                    continue
                if not entry.is_dir():
                    yield steps, entry.name
                elif (real := os.path.realpath(entry.path)) not in above:
                    waiting.append(((*steps, entry.name), Path(entry.path), (*above, real)))
