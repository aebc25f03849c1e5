"""Reads and checks a tree (a path per item) and embedded images with their items."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from strata_labels.errors import Problem, gathered, refuse
from strata_labels.people_csv import UNKNOWN_LABEL, read_people_csv
from strata_labels.tables import load, read_parquet, table_path

ITEM = ("level0", "item_id")
# The evaluation ranks ten images at least.
FEWEST = 11
# What torch divides by at least when it scales a vector to unit length.
_SHORTEST = 1e-12
_TRAINING_FILES = "test_frozen.npy", "test_items.parquet"
_FOLDER_FILES = "vectors.npy", "items.parquet"


@dataclass(frozen=True)
class ItemPaths:
    """The path of each item in a tree.

    Attributes:
        paths: `level1 ... levelN` (text, node ids), indexed by item; an item whose label stops
            early is alone at the levels left out.
        names: of nodes, where the tree has them.
        source: what was read.
    """

    paths: pd.DataFrame
    names: dict[str, str]
    source: Path

    def labels(self, items: pd.Series) -> Tensor:
        """`[n, L]` int64 of images by their items, column 0 the item."""
        columns = [items, *(items.map(self.paths[name]) for name in self.paths)]
        return torch.from_numpy(np.stack([codes(column)[0] for column in columns], axis=1))

    def name(self, node: str) -> str:
        """A node's name, its id where it has none."""
        return self.names.get(node, node)


def codes(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """A label column as numbers, in the order of the names, and the names."""
    names, numbers = np.unique(column.to_numpy(dtype=str), return_inverse=True)
    return numbers.astype(np.int64), names


def read_tree(path: Path) -> ItemPaths:
    """Reads a built workspace, or a table of paths (CSV or Parquet).

    A table has the item in `level0` or `item_id` and its nodes in `level1, level2, ...` or
    `level1_id, ...`; it may have several rows an item (one an image) if they agree.

    Raises:
        InputError: no such file, no level, a gap between levels, an item or a node under two
            parents, nothing labelled; all problems listed.
    """
    if path.is_dir():
        source, table = table_path(path, "assignments"), load(path, "assignments")
    else:
        source, table = path, read_item_table(path)
    item = next((name for name in ITEM if name in table), None)
    found = sorted(
        (int(m[1]), name) for name in map(str, table) if (m := re.fullmatch(_LEVEL, name))
    )
    problems = []
    if item is None:
        problems.append(Problem(source, "column missing:", "Name the items.", None, ITEM[0]))
    if [number for number, _ in found] != list(range(1, len(found) + 1)) or not found:
        fix = "Name the levels above the item level1, level2, ... without a gap."
        shown = ", ".join(name for _, name in found) or None
        problems.append(Problem(source, "no levels, or levels with a gap:", fix, value=shown))
    refuse(problems)
    assert item is not None
    names: dict[str, str] = {}
    for number, name in found:
        if name.endswith("_id") and f"level{number}_name" in table:
            pairs = table[[name, f"level{number}_name"]].dropna()
            names |= dict(zip(pairs.iloc[:, 0], pairs.iloc[:, 1], strict=True))
    paths = table[[item, *(name for _, name in found)]].astype(object)
    paths = paths.where(paths.notna(), "").map(str)
    paths.columns = pd.Index(["item", *(f"level{number}" for number, _ in found)])
    for name in paths.columns[1:]:
        if (unknown := paths[name].str.fullmatch(UNKNOWN_LABEL)).any():
            what = f"{int(unknown.sum())} cells stand for an unknown label, which is no node:"
            value = paths[name][unknown].iloc[0]
            fix = "Leave the cells blank."
            problems.append(Problem(source, what, fix, column=name, value=value))
    refuse(problems)
    # An item without any label has no path.
    paths = paths[(paths.drop(columns="item") != "").any(axis=1) & (paths["item"] != "")]
    for name in paths.columns[1:]:
        paths[name] = paths[name].where(paths[name] != "", paths["item"])
    paths = paths.drop_duplicates()
    problems = _several_parents(source, paths)
    if paths.empty:
        problems.append(Problem(source, "no item has a label", "Give a tree with labels."))
    refuse(problems)
    return ItemPaths(paths.set_index("item"), names, path)


_LEVEL = re.compile(r"level([1-9]\d{0,2})(?:_id)?")


def _several_parents(source: Path, paths: pd.DataFrame) -> list[Problem]:
    problems = []
    columns = list(paths.columns)
    for fine, coarse in itertools.pairwise(columns):
        above = paths.groupby(fine, sort=True)[coarse].unique()
        problems += [
            Problem(
                source,
                f"under several of {coarse} ({', '.join(sorted(parents)[:3])}):",
                "Give it one parent.",
                column="level0" if fine == "item" else fine,
                value=node,
            )
            for node, parents in above[above.map(len) > 1].items()
        ]
    return problems


def read_vectors(vectors: Path, items: Path | None = None) -> tuple[Tensor, pd.DataFrame]:
    """Reads embeddings and their items.

    Args:
        vectors: a folder of `strata embed --model`, a training's folder (its test split, before
            training), or `.npy` `[n, d]`.
        items: beside a `.npy`: table (CSV or Parquet), a row per vector, the item in `level0` or
            `item_id`, and the picture's `path` where there is one.

    Returns:
        `[n, d]` of unit length, and `item` and `path` in the same order.

    Raises:
        InputError: a missing or damaged file, vectors that are not finite floats, lengths that
            differ; all problems listed.
    """
    if vectors.is_dir():
        of_training = (vectors / "test_frozen.npy").is_file()
        one, other = _TRAINING_FILES if of_training else _FOLDER_FILES
        vectors, items = vectors / one, items or vectors / other
    problems: list[Problem] = []
    array, table = None, None
    if items is None:
        fix = "Give --items FILE: a row per vector, with a column level0 or item_id."
        problems.append(Problem("--items", f"the items of {vectors} are unknown", fix))
    try:
        array = np.load(vectors, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError, OverflowError) as error:
        problems.append(Problem(vectors, f"cannot be read ({error})", "Save the array again."))
    if items is not None:
        with gathered(problems):
            table = read_item_table(items)
    if array is not None:
        if array.ndim != 2 or array.dtype.kind != "f":
            what = f"not a table of floats [n, d], but {array.dtype} of shape"
            problems.append(Problem(vectors, what, "Save [n, d] floats.", value=array.shape))
        elif not len(array):
            problems.append(Problem(vectors, "holds no vector", "Save a row for each image."))
        elif (wrong := np.flatnonzero(~np.isfinite(array).all(axis=1) | ~array.any(axis=1))).size:
            what = (
                f"{wrong.size} of {len(array)} vectors are not finite or all zeros; the first, row"
            )
            problems.append(
                Problem(vectors, what, "Leave their images out.", value=int(wrong[0]) + 1)
            )
        if table is not None and len(table) != len(array):
            what = f"{len(table)} rows, {vectors.name} has {len(array)}"
            problems.append(Problem(str(items), what, "Give a row for each vector, in order."))
    item = next((name for name in ITEM if table is not None and name in table), None)
    if table is not None and item is None:
        fix = "Name the vectors' items."
        problems.append(Problem(str(items), "column missing:", fix, column=ITEM[0]))
    refuse(problems)
    assert array is not None and table is not None
    frame = pd.DataFrame({"item": table[item].astype(str).to_numpy()})
    frame["path"] = table["path"].astype(str).to_numpy() if "path" in table else ""
    return torch.nn.functional.normalize(torch.from_numpy(_single(array)), dim=1), frame


def _single(array: np.ndarray) -> np.ndarray:
    """Vectors in single precision; those whose length it cannot hold are scaled first."""
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
        lengths = np.linalg.norm(single, axis=1)
    odd = ~((lengths > _SHORTEST) & np.isfinite(lengths))
    if odd.any():
        some = array[odd].astype(np.float64)
        single[odd] = some / np.abs(some).max(axis=1, keepdims=True)
    return single


def read_item_table(path: Path) -> pd.DataFrame:
    """A table from CSV or Parquet.

    Raises:
        InputError: it cannot be read.
    """
    if path.suffix != ".parquet":
        return read_people_csv(path, [], further=True).reset_index(drop=True)
    return read_parquet(path).to_pandas()
