"""What an export is made of, and the views of it that several formats share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.errors import InputError, Problem
from strata_labels.tables import own_ids
from strata_labels.tree import LabelTree, tree_of_assignments


@dataclass(frozen=True)
class About:
    """What people should know of a tree, for the formats that tell them.

    Attributes:
        title: the tree's name for people.
        description: a sentence or two.
        license: SPDX identifier or address of the labels' licence, "" where unknown.
        url: where the data set is described.
        citation: how to cite it.
        card: the tree's data card, Markdown.
    """

    title: str = "Label tree"
    description: str = "A label tree for image retrieval."
    license: str = ""
    url: str = ""
    citation: str = ""
    card: str = ""


@dataclass(frozen=True)
class Material:
    """A tree to export.

    Attributes:
        items: the table `items`.
        assignments: from `strata_labels.tree.build_tree`.
        levels: names of the levels, the item's first; `level0, level1, ...` where none are given.
        metadata: the data set's own files.
        entities: the table `entities`.
        about: what people should know.
    """

    items: pd.DataFrame
    assignments: pd.DataFrame
    levels: tuple[str, ...] = ()
    metadata: Path | None = None
    entities: pd.DataFrame | None = None
    about: About = field(default_factory=About)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "levels", self.levels or tuple(f"level{n}" for n in range(self.num_levels))
        )
        if len(self.levels) != self.num_levels:
            raise ValueError(f"{len(self.levels)} level names for {self.num_levels} levels")

    @property
    def num_levels(self) -> int:
        """Number of levels, the item's own included."""
        columns = self.assignments.columns
        return 1 + sum(bool(re.fullmatch(r"level\d+_id", str(column))) for column in columns)

    def rows(self) -> pd.DataFrame:
        """Assignments with the items' columns, by split (train first) and source id.

        `id` is the source's own id: the item's without data set and split.
        """
        columns = ["item_id", "dataset", "source_id", "qualifier", "source_url", "image_ids"]
        joined = self.assignments.merge(
            self.items.reindex(columns=columns), on="item_id", validate="one_to_one"
        )
        later = joined.split != "train"
        joined = joined.assign(later=later).sort_values(
            ["later", "split", "source_id", "item_id"], ignore_index=True
        )
        joined["id"] = own_ids(joined)
        joined["image_ids"] = [
            [] if images is None or images is pd.NA else list(images) for images in joined.image_ids
        ]
        return joined.drop(columns="later")

    @cached_property
    def tree(self) -> LabelTree:
        """The labelled items and the nodes above them."""
        return tree_of_assignments(self.assignments)

    def nodes(self) -> pd.DataFrame:
        """The nodes above the items: `node_id, level, name, parent_id`, by level and id."""
        nodes = self.tree.nodes()
        nodes = nodes[nodes.level > 0].reset_index(drop=True)
        return nodes[["node_id", "level", "name", "parent_id"]].astype({"level": int})

    def parents(self, rows: pd.DataFrame) -> pd.Series:
        """The node right above the item of each of `rows`; None where it has none."""
        found = rows.item_id.map(self.tree.parent).fillna("").astype(object)
        return found.where(found != "", None)

    def level_columns(self, reserved: Iterable[str]) -> dict[str, str]:
        """Column of each level's names, for tables whose other columns are `reserved`.

        Raises:
            InputError: a level is named like another column.
        """
        taken = {name.casefold() for name in reserved}
        problems = [
            Problem("levels", "a level is named like a column of the export:", fix, value=level)
            for level in self.levels[1:]
            if level.casefold() in taken
            for fix in ("Call the level otherwise in hierarchy.toml.",)
        ]
        if problems:
            raise InputError(problems)
        return {f"level{n}_name": level for n, level in enumerate(self.levels) if n}


def unique_names(tree: LabelTree) -> dict[str, str]:
    """A name for every node that no other node of its level has, for loaders that know names only.

    A homonym takes its parent's name along, `Oenanthe (Apiaceae)`, and as much of the path as it
    needs; at last a number.
    """
    found: dict[str, str] = {}
    for level in range(1, tree.top + 1):
        own = {node: tree.name[node] for node in sorted(tree.level) if tree.level[node] == level}
        above = {node: tree.parent[node] for node in own}
        while True:
            counts = Counter(own.values())
            homonyms = [node for node in own if counts[own[node]] > 1 and above[node]]
            if not homonyms:
                break
            for node in homonyms:
                own[node] += f" ({tree.name[above[node]]})"
                above[node] = tree.parent[above[node]]
        seen: set[str] = set()
        for node, text in own.items():
            number, unique = 2, text
            while unique in seen:
                unique, number = f"{text} #{number}", number + 1
            seen.add(unique)
            found[node] = unique
    return found


def slug(name: str) -> str:
    """A name as a folder: letters, digits, `.` and `-`; anything else is `_`; not too long."""
    return re.sub(r"[^\w.-]+", "_", name)[:60].strip("._") or "node"


def image_file(split: str, image: str) -> str:
    """Where an image lies below the root of images: a path as it is, an id as GLDv2 stores it."""
    if "/" in image or "." in image or len(image) < 3:
        return image
    return f"{split}/{image[0]}/{image[1]}/{image[2]}/{image}.jpg"


def exploded(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each image of each item, column `image`, in order."""
    images = rows.explode("image_ids", ignore_index=True).rename(columns={"image_ids": "image"})
    return images[images.image.notna()].reset_index(drop=True)


def aside(rows: pd.DataFrame, **reasons: Any) -> dict[str, int]:
    """Counts of rows by the first reason (a mask) that leaves them out, zero counts left out."""
    left = pd.Series(True, rows.index)
    counts = {}
    for reason, mask in reasons.items():
        counts[reason] = int((left & mask).sum())
        left &= ~mask
    return {reason: count for reason, count in counts.items() if count}
