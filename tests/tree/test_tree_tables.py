"""The tables of a tree: nothing is lost between items and assignments, and the nodes are a tree."""

from __future__ import annotations

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import LEVELS, VOCABULARY, decisions, item, items, proposals
from strata_labels.review import replay
from strata_labels.tables import LABELLED, SCHEMAS, assignments_schema, load, save
from strata_labels.tree import LabelTree, tree_tables


def build(*rows: tuple, things: pd.DataFrame | None = None) -> tuple:
    resolution = replay(decisions(*rows), proposals(), VOCABULARY)
    things = items() if things is None else things
    return tree_tables(things, resolution.rows, resolution.tree)


def test_every_item_is_there_with_a_status():
    nodes, assignments, report = build()
    assert sorted(assignments.item_id) == sorted(items().item_id)
    assert report["items"] == report["labelled"] + sum(report["set_aside"].values()) == 8
    assert report["set_aside"] == {"no_evidence": 1, "no_place": 1}
    without = assignments[assignments.status != LABELLED]
    assert (
        without[[f"level{n}_{w}" for n in (1, 2, 3) for w in ("id", "name")]].isna().all(axis=None)
    )
    assert report["origin"] == {"class": 6}
    assert report["nodes"] == {"0": 6, "1": 4, "2": 3, "3": 2}
    assert report["empty_nodes"] == {"1": 1, "2": 1}
    assert report["accepted"] == 2
    assert report["open"] == 5
    assert set(nodes.node_id[nodes.level == 0]) == set(
        assignments.item_id[assignments.status == LABELLED]
    )


def test_an_item_nothing_was_proposed_for_is_counted():
    more = items().iloc[[0]].assign(item_id="gldv2/train/50", source_id=50)
    _, assignments, report = build(things=pd.concat([items(), more], ignore_index=True))
    row = assignments.set_index("item_id").loc["gldv2/train/50"]
    assert (row.status, row.accepted, row.confidence) == ("not_proposed", False, 0)
    assert report["set_aside"]["not_proposed"] == 1
    assert report["open"] == 5


def test_train_and_index_ids_do_not_meet():
    assignments = build()[1].set_index("item_id")
    assert assignments.level1_name[item(1)] == "church building"
    assert assignments.level1_name[item(1, "index")] == "mountain"


def test_rows_are_sorted_by_split_and_number():
    more = items().iloc[[0]].assign(item_id="gldv2/train/10", source_id=10)
    things = pd.concat([more, items()]).sample(frac=1, random_state=0)
    found = build(things=things)[1].item_id.tolist()
    assert found == [item(1, "index"), *(item(n) for n in (1, 2, 3, 4, 5, 6, 7, 10))]


def test_tables_fit_their_contracts_and_bytes_repeat(tmp_path):
    for folder in (tmp_path / "a", tmp_path / "b"):
        nodes, assignments, _ = build((item(4), 1, "stop", "natural"))
        save(folder, "nodes", nodes)
        save(folder, "assignments", assignments, assignments_schema(len(LEVELS)))
    for name in ("nodes", "assignments"):
        assert (tmp_path / "a/tables" / f"{name}.parquet").read_bytes() == (
            tmp_path / "b/tables" / f"{name}.parquet"
        ).read_bytes()
    assert list(load(tmp_path / "a", "nodes").columns) == SCHEMAS["nodes"].names
    assert LabelTree.checked(load(tmp_path / "a", "nodes")).path(item(4)) == [item(4), "3/natural"]


DECISIONS = [
    (item(2), 1, "move", "2/lake"),
    (item(3), 1, "stop", ""),
    (item(7), 1, "move", "castle"),
    (item(5), 1, "exclude", ""),
    (item(6), 1, "move", "natural"),
    ("1/Q2977", 2, "move", "2/castle"),
    ("1/Q8502", 2, "stop", "3/natural"),
    ("1/Q16970", 2, "merge", "1/Q2977"),
    ("1/Q3624078", 2, "move", "lake"),
    ("2/castle", 3, "merge", "2/church"),
    ("2/mountain", 3, "exclude", ""),
    ("2/church", 3, "stop", ""),
    ("2/lake", 3, "move", "human-made"),
    ("2/church", 3, "rename", "house of prayer"),
]


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.sampled_from(DECISIONS), unique_by=lambda row: (row[0], row[2])))
def test_any_decisions_leave_a_tree_that_agrees_with_the_assignments(rows):
    seen = {(row[0], row[2] == "rename") for row in rows}
    if len(seen) < len(rows):  # two placements of one node: refused, see test_replay
        return
    nodes, assignments, report = build(*rows)
    assert report["items"] == report["labelled"] + sum(report["set_aside"].values()) == 8
    labelled = assignments[assignments.status == LABELLED]
    if labelled.empty:
        assert nodes.empty
        return
    tree = LabelTree.checked(nodes)
    for row in labelled.itertuples():
        path = [getattr(row, f"level{n}_id") for n in (1, 2, 3)]
        assert tree.path(row.item_id)[1:] == [node for node in path if not pd.isna(node)]
        for n in (1, 2, 3):
            node = getattr(row, f"level{n}_id")
            if not pd.isna(node):
                assert tree.name[node] == getattr(row, f"level{n}_name")
    below = tree.items_below(labelled.item_id.map(tree.parent).value_counts().to_dict())
    assert set(below) == {node for node, level in tree.level.items() if level}
