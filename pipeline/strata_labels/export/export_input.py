"""The tree that an export writes, with the views of it that several formats share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from strata_labels.hierarchy import CardSource
from strata_labels.tables import own_ids
from strata_labels.tree import LabelTree, as_train_and_test, tree_of_assignments

#: End of the column with the confidence of a level's labels.
CONFIDENCE = "_confidence"


@dataclass(frozen=True)
class About:
    """What people should know of a tree, for the formats that can say it.

    Attributes:
        title: the tree's name for people.
        description: a sentence or two.
        licence: the labels' licence as data set hubs name it (`cc-by-4.0`); `other` where it has no
            such name, "" where it is unknown.
        sources: of the data.
        citations: what to cite, a publication each.
        card: files of the data card, which come along as they are.
    """

    title: str = "Labels"
    description: str = "A label tree for image retrieval."
    licence: str = ""
    sources: tuple[CardSource, ...] = ()
    citations: tuple[str, ...] = ()
    card: tuple[Path, ...] = ()


@dataclass(frozen=True)
class ExportInput:
    """A tree to export, and the views of it that several formats share.

    Attributes:
        items: the table `items`.
        assignments: from `strata_labels.tree.tree_tables`.
        levels: names of the levels, the item's first.
        metadata: the data set's own files, which some loaders read beside the labels.
        entities: the table `entities`, for places and Wikidata ids.
        about: what people should know.
        table_nodes: the table `nodes`; those that people made and that have no item are in it too.
            Without it, formats with a list of nodes have those with items.
        find_image: the file of an image reference, None where there is none.
        copy_images: images are copied, not linked.
        split: the table `split`, for the formats whose splits are a matter of choice.
    """

    items: pd.DataFrame
    assignments: pd.DataFrame
    levels: tuple[str, ...]
    metadata: Path | None = None
    entities: pd.DataFrame | None = None
    about: About = field(default_factory=About)
    table_nodes: pd.DataFrame | None = None
    find_image: Callable[[str], Path | None] | None = None
    copy_images: bool = False
    split: pd.DataFrame | None = None

    @property
    def num_levels(self) -> int:
        """Number of levels, the item's own included."""
        return len(self.levels)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Assignments with the items' columns, by split (train first) and source id; not to change.

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
        # A workspace of version 0.1.0 says how sure an item is, but not at which level.
        sure = ["accepted_level", *(f"level{n}_confidence" for n in range(1, self.num_levels))]
        for column in sure:
            if column not in joined:
                joined[column] = None
        return joined.drop(columns="later")

    def split_rows(self, two_sided: bool = False) -> pd.DataFrame:
        """As `rows`, with the splits of `split` in place of those that the data came with.

        An item with images in several splits has a row with its images in each; one that is in none
        has `split` None.

        Args:
            two_sided: of folds, the first is the test, the others are the train; queries and
                gallery are the test.
        """
        if self.split is None:
            return self.rows
        parts = self.split[["item_id", "image", "split"]]
        if two_sided:
            parts = parts.assign(split=as_train_and_test(parts.split))
            parts["split"] = parts.split.where(parts.split == "train", "test")
        sides = parts.groupby(["item_id", "split"], sort=False).image.agg(list).reset_index()
        rows = self.rows.rename(columns={"split": "given_split"})
        # The id of an item is its own in the split it came with only.
        if rows.id.duplicated().any():
            rows["id"] = rows.given_split + "/" + rows.id
        rows = rows.merge(sides, on="item_id", how="left")
        rows["split"] = rows.split.astype(object).where(rows.split.notna(), None)
        mine = [set(images) if isinstance(images, list) else () for images in rows.image]
        rows["image_ids"] = [
            [image for image in images if image in own]
            for images, own in zip(rows.image_ids, mine, strict=True)
        ]
        rows = rows.drop(columns=["image", "given_split"]).assign(later=rows.split != "train")
        order = ["later", "split", "source_id", "item_id"]
        return rows.sort_values(order, ignore_index=True).drop(columns="later")

    @cached_property
    def tree(self) -> LabelTree:
        """The labelled items and the nodes above them."""
        return tree_of_assignments(self.assignments)

    @cached_property
    def whole_tree(self) -> LabelTree:
        """As `tree`, with the nodes that people made and that have no item."""
        if self.table_nodes is None:
            return self.tree
        nodes = self.tree.nodes()
        more = self.table_nodes[~self.table_nodes.node_id.isin(nodes.node_id)]
        return LabelTree.from_nodes(pd.concat([nodes, more[more.level > 0]]))

    @cached_property
    def nodes(self) -> pd.DataFrame:
        """The nodes above the items, and those without: `node_id, level, name, parent_id`.

        Not to change. `description` is what people wrote of it, or None.
        """
        nodes = self.whole_tree.nodes()
        nodes = nodes[nodes.level > 0].reset_index(drop=True)
        nodes["description"] = [self.descriptions.get(node) for node in nodes.node_id]
        columns = ["node_id", "level", "name", "parent_id", "description"]
        return nodes[columns].astype({"level": int})

    @cached_property
    def descriptions(self) -> dict[str, str]:
        """What people wrote of nodes, by id."""
        table = self.table_nodes
        if table is None or "description" not in table:  # of an earlier version
            return {}
        told = table[["node_id", "description"]].dropna()
        return dict(told.itertuples(index=False, name=None))

    @cached_property
    def qids(self) -> dict[str, str]:
        """Wikidata ids of nodes, and of items, by id."""
        tables = [
            (self.table_nodes, "node_id"),
            (self.items, "item_id"),
            (self.entities, "item_id"),
        ]
        return {
            key: qid
            for table, column in tables
            if table is not None and "qid" in table
            for key, qid in table[[column, "qid"]].dropna().itertuples(index=False)
        }

    def parents(self, rows: pd.DataFrame) -> pd.Series:
        """The node right above the item of each of `rows`; None where it has none."""
        found = rows.item_id.map(self.tree.parent).fillna("").astype(object)
        return found.where(found != "", None)

    def level_columns(self, reserved: Iterable[str]) -> dict[str, str]:
        """Columns of an export for each level's names and confidences, by those of `assignments`.

        A level that is named like another column, in any case, or like the confidence of a level,
        is called `NAME_label`.

        Args:
            reserved: the table's other columns.
        """
        taken = {name.casefold() for name in (*reserved, *self.levels[1:])}
        fixed = {name.casefold() for name in reserved}
        columns = {}
        for n, level in enumerate(self.levels[1:], 1):
            column, key = level, level.casefold()
            if key in fixed or key.endswith(CONFIDENCE):
                column = f"{level}_label"
                while column.casefold() in taken:
                    column += "_label"
                taken.add(column.casefold())
            columns[f"level{n}_name"] = column
        names = list(columns.values())
        return columns | {
            f"level{n}_confidence": f"{name}{CONFIDENCE}" for n, name in enumerate(names, 1)
        }


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


def safe_name(name: str) -> str:
    """A name for folders and ids: letters, digits, `.` and `-`, else `_`; at most 60 long."""
    return re.sub(r"[^\w.-]+", "_", name)[:60].strip("._") or "node"


def image_file(split: str, image: str) -> str:
    """The path of an image below the root of images: a path as it is, an id as a/b/c/abc....jpg."""
    if "/" in image or "." in image or len(image) < 3:
        return image
    return f"{split}/{image[0]}/{image[1]}/{image[2]}/{image}.jpg"


def one_row_an_image(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each image of each item, column `image`, in order."""
    images = rows.explode("image_ids", ignore_index=True).rename(columns={"image_ids": "image"})
    return images[images.image.notna()].reset_index(drop=True)
