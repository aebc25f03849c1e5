"""Export, build from the export: the same tree, for any tree a format carries."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
from exporting import export
from hypothesis import given, settings
from hypothesis import strategies as st
from strata_labels.sources import SOURCES, published_tree
from strata_labels.tree import diff
from trees import RANKS, Built, build, build_table, tables

QUICK = settings(deadline=None, max_examples=15)


def exported(built: Built, format: str, folder: Path, levels: list[str]) -> Path:
    export(format, folder, built.items, built.assignments, levels=["item", *levels])
    return folder


def paths(built: Built, levels: list[int] | None = None) -> dict[str, list]:
    """Names from each item to the top, by the item's own id and split."""
    tree = built.tree
    rows = zip(built.assignments.item_id, built.assignments.split, strict=True)
    found = {}
    for item, split in rows:
        names = [tree.name[node] for node in tree.path(item)]
        found[item.rsplit("/", 1)[-1]] = [split, *(names if levels is None else names[1:])]
    return found


@QUICK
@given(tables(), st.sampled_from(["croissant", "huggingface", "landmarks"]))
def test_tables_of_any_depth(table, format):
    rows, levels = table
    built = build_table(rows, levels)
    with tempfile.TemporaryDirectory() as folder:
        place = exported(built, format, Path(folder) / "out", levels)
        again = build("table", place / "landmarks.csv" if format == "landmarks" else place, levels)
        assert diff(built.tree, again.tree).changes.empty
        assert again.nodes.equals(built.nodes)
        if format != "landmarks":
            pd.testing.assert_frame_equal(again.items, built.items)


def unique_ids(rows: list[dict]) -> list[dict]:
    """Numbers that no other split has, 1 to n, train first, as SOP numbers its classes."""
    return [
        row | {"id": str(n)}
        for n, row in enumerate(sorted(rows, key=lambda row: row["split"] != "train"), start=1)
    ]


@QUICK
@given(tables(2, 2))
def test_sop(table):
    rows, levels = table
    built = build_table(unique_ids(rows), levels)
    with tempfile.TemporaryDirectory() as folder:
        place = exported(built, "sop", Path(folder) / "out", levels)
        names = [path.name for path in place.rglob("Ebay_*.txt")]
        if len(names) < 2:
            return  # A set without a test split is none that a build of SOP reads.
        again = build("sop", place, ["superclass"])
        assert paths(again) == paths(built)


@QUICK
@given(tables(7, 7) | tables(2, 2))
def test_inat2018(table):
    rows, levels = table
    built = build_table(unique_ids(rows), levels)
    with tempfile.TemporaryDirectory() as folder:
        place = exported(built, "inat2018", Path(folder) / "out", levels)
        again = build("inat2018", place, RANKS if len(levels) == 6 else ["supercategory"])
        assert paths(again) == paths(built)


@QUICK
@given(tables(4, 4))
def test_gldv2(table):
    rows, _ = table
    columns = ["supercategory", "hierarchical_label", "natural_or_human_made"]
    built = build_table(rows, ["rank1", "rank2", "rank3"])
    # The release has train and index, and names landmarks by the address of their category.
    built.assignments["split"] = built.assignments.split.replace("test", "index")
    base = "http://commons.wikimedia.org/wiki/Category:L_"
    built.items["source_url"] = [f"{base}{number}" for number in built.items.source_id]
    again: dict[tuple[str, int], list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = exported(built, "gldv2", Path(folder) / "out", columns)
        for path in place.glob("*.csv"):
            split = path.name.split("_")[0]
            read = SOURCES["gldv2"].read(path, ["landmark", *columns])
            items = read.items
            proposals, nodes = published_tree(items, read.labels, 4)
            parent = nodes.set_index("node_id").parent_id.to_dict()
            first = proposals[proposals.level == 1].set_index("subject").parent
            for number, item in zip(items.source_id, items.item_id, strict=True):
                second = parent[first[item]]
                again[split, number] = [first[item], second, parent[second]]
    ids = [f"level{n}_id" for n in (1, 2, 3)]
    own = built.assignments.merge(built.items[["item_id", "source_id"]], on="item_id")
    assert again == {
        (split, number): list(path)
        for split, number, path in zip(
            own.split, own.source_id, own[ids].to_numpy().tolist(), strict=True
        )
    }


@QUICK
@given(tables())
def test_open_metric_learning_carries_the_tree_in_its_labels(table):
    rows, levels = table
    built = build_table(rows, levels)
    with tempfile.TemporaryDirectory() as folder:
        place = exported(built, "oml", Path(folder) / "out", levels)
        names = pd.read_csv(place / "names.csv", dtype=str, keep_default_na=False)
        name = names.set_index(["level", "label"])["name"].to_dict()
        parent = names.set_index(["level", "label"])["parent"].to_dict()
        found = set()
        for label in pd.read_csv(place / "level0.csv", dtype=str).label:
            path = [name["0", label]]
            for level in range(len(levels)):
                label = parent[str(level), label]
                path.append(name[str(level + 1), label])
            found.add(tuple(path))
        tree = built.tree
        items = built.nodes.node_id[built.nodes.level == 0]
        assert found == {tuple(tree.name[node] for node in tree.path(item)) for item in items}
        for level in range(len(levels)):
            fine = pd.read_csv(place / f"level{level}.csv")
            above = pd.read_csv(place / f"level{level + 1}.csv")
            assert fine.category.tolist() == above.label.tolist()
