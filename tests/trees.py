"""Small trees for the tests of sources, trees and exports: built the whole way from a table."""

from __future__ import annotations

import csv
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from hypothesis import strategies as st
from strata_labels.people_csv import clean_cell
from strata_labels.review import replay
from strata_labels.sources import SOURCES, published_tree
from strata_labels.tables import DECISION_COLUMNS
from strata_labels.tree import LabelTree, tree_tables

RANKS = ("genus", "family", "order", "class", "phylum", "kingdom")


class Built(NamedTuple):
    """What a build leaves."""

    items: pd.DataFrame
    nodes: pd.DataFrame
    assignments: pd.DataFrame
    report: dict

    @property
    def tree(self) -> LabelTree:
        return LabelTree.checked(self.nodes)

    @property
    def counts(self) -> dict[int, int]:
        """Number of nodes by level, items included."""
        return dict(Counter(self.tree.level.values()))


def build(
    source: str,
    folder: Path,
    levels: Sequence[str],
    decisions: pd.DataFrame | None = None,
) -> Built:
    """Reads a folder and builds its published tree, as a flow does."""
    read = SOURCES[source].read(folder, ["item", *levels])
    items = read.items
    blank = "incertae sedis" if source == "inat2018" else "unspecified"
    proposals, nodes = published_tree(items, read.labels, len(levels) + 1, blank)
    if decisions is None:
        decisions = pd.DataFrame(columns=[*DECISION_COLUMNS, "file", "row"])
    resolution = replay(decisions, proposals, nodes)
    found = tree_tables(items, resolution.rows, resolution.tree, num_levels=len(levels) + 1)
    return Built(items, *found)


def build_table(rows: Sequence[dict[str, str]], levels: Sequence[str]) -> Built:
    """Builds the tree of a table of items."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "items.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return build("table", path, levels)


#: Names as people write them: any letters, quotes, separators, some very long.
NAMES = (
    st.one_of(
        st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=12),
        st.sampled_from(
            ["NA", "null", "1", "=1+1", "a,b;c", 'say "x"', "a/b", "50 %", "x_y", "()"]
        ),
        st.text("äé寺 _ab'", min_size=200, max_size=400),
    )
    .map(lambda text: clean_cell(text).lstrip("'"))
    .filter(lambda text: text and clean_cell(text) == text)
)


@st.composite
def tables(draw: st.DrawFn, min_levels: int = 1, max_levels: int = 8) -> tuple[list, list[str]]:
    """Rows of a table of items with a full random tree above, and its levels above the item."""
    depth = draw(st.integers(min_levels, max_levels)) - 1
    levels = [f"rank{n}" for n in range(1, depth + 1)]
    pool = draw(st.lists(NAMES, min_size=2, max_size=5, unique=True))
    paths = draw(
        st.lists(st.tuples(*[st.sampled_from(pool)] * depth), min_size=1, max_size=6, unique=True)
        if depth
        else st.just([()])
    )
    rows = []
    for number in range(1, draw(st.integers(1, 8)) + 1):
        path = draw(st.sampled_from(paths))
        images = draw(st.integers(1, 3))
        rows.append(
            {
                "id": str(number),
                "name": draw(NAMES),
                "split": draw(st.sampled_from(["train", "test"])),
                "image": "|".join(f"{number}/{n}.jpg" for n in range(images)),
                **dict(zip(levels, path, strict=True)),
            }
        )
    return rows, levels
