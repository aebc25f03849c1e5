"""Published labels become proposals: homonyms stay apart, blanks are filled."""

from __future__ import annotations

import pandas as pd
from hypothesis import given, settings
from strata_labels.review import replay
from strata_labels.sources import published_tree
from strata_labels.sources.contract import label_rows
from strata_labels.tables import DECISION_COLUMNS, SCHEMAS, save
from strata_labels.tree import tree_tables
from trees import build_table, tables


def rows(*cells: tuple) -> list[dict[str, str]]:
    return [dict(zip(["id", "class", "group"], row, strict=True)) for row in cells]


def test_two_nodes_of_one_name_stay_two():
    built = build_table(
        rows(("1", "Oenanthe", "plant"), ("2", "Oenanthe", "bird"), ("3", "Iris", "plant")),
        ["class", "group"],
    )
    assert built.counts == {0: 3, 1: 3, 2: 2}
    assert built.tree.path("table/train/2") == ["table/train/2", "1/bird/Oenanthe", "2/bird"]
    assert built.report["labelled"] == built.report["accepted"] == 3
    assert set(built.assignments.origin) == {"published"}
    assert set(built.assignments.confidence) == {1.0}


def test_blanks_are_filled_by_an_explicit_node_and_no_label_stays_open():
    built = build_table(
        rows(("1", "", "plant"), ("2", "a", ""), ("3", "", ""), ("4", "a", "plant")),
        ["class", "group"],
    )
    names = built.assignments.set_index("item_id")
    assert names.loc["table/train/1", ["level1_name", "level2_name"]].tolist() == [
        "unspecified in plant",
        "plant",
    ]
    assert names.loc["table/train/2", ["level1_name", "level2_name"]].tolist() == [
        "a",
        "unspecified",
    ]
    assert names.loc["table/train/3", "status"] == "no_label"
    assert not names.loc["table/train/3", "accepted"]
    assert built.report["items"] == 4 and built.report["set_aside"] == {"no_label": 1}


def test_proposals_have_the_contract_and_decisions_apply():
    items = pd.DataFrame(
        {"item_id": ["t/1", "t/2"], "dataset": "t", "split": "train", "source_id": [1, 2]}
    ).assign(title="", name=["x", "y"], qualifier="", source_url="", image_ids=[[], []])
    wide = pd.DataFrame({"item_id": ["t/1", "t/2"], "a": ["p", "q"], "b": ["top", "top"]})
    proposals, nodes = published_tree(items, label_rows(wide, ["item", "a", "b"], "published"), 3)
    assert proposals.row_id.tolist() == ["1:t/1", "1:t/2", "2:1/top/p", "2:1/top/q"]
    assert proposals.evidence[0][0].ids == ("1/top/p", "2/top")
    assert proposals.evidence_hash.str.fullmatch("e2:[0-9a-f]{16}").all()
    decided = {
        "row_id": "1:t/1",
        "subject": "t/1",
        "level": "1",
        "decision": "move",
        "target": "q",
        "reviewer": "me",
        "note": "",
        "decided_at": "2026-01-31T12:00:00Z",
        "evidence_hash": proposals.evidence_hash[0],
        "seen": "",
    }
    ledger = pd.DataFrame([decided])[DECISION_COLUMNS].assign(file="d", row=2)
    resolution = replay(ledger, proposals, nodes)
    _, assignments, report = tree_tables(items, resolution.rows, resolution.tree)
    assert assignments.level1_id.tolist() == ["1/top/q", "1/top/q"]
    assert report["origin"] == {"human": 1, "published": 1}


def test_the_tables_can_be_saved(tmp_path):
    items = pd.DataFrame({"item_id": ["t/1"]})
    wide = pd.DataFrame({"item_id": ["t/1"], "a": ["p"]})
    proposals, nodes = published_tree(items, label_rows(wide, ["item", "a"], "published"), 2)
    save(tmp_path, "proposals", proposals)
    save(tmp_path, "vocabulary", nodes)
    assert nodes.columns.tolist() == SCHEMAS["vocabulary"].names


def test_known_labels_are_no_part_of_the_published_tree():
    items = pd.DataFrame({"item_id": ["t/1", "t/2"]})
    wide = pd.DataFrame({"item_id": ["t/1", "t/2"], "a": ["p", ""]})
    known = pd.DataFrame({"item_id": ["t/2"], "a": ["q"]})
    labels = [label_rows(w, ["item", "a"], o) for w, o in ((wide, "published"), (known, "known"))]
    proposals, nodes = published_tree(items, pd.concat(labels), 2)
    assert nodes.name.tolist() == ["p"]
    assert proposals.parent.tolist() == ["1/p", ""]


@settings(deadline=None, max_examples=60)
@given(tables())
def test_any_table_gives_a_tree_whose_paths_are_its_labels(table):
    given_rows, levels = table
    built = build_table(given_rows, levels)
    tree = built.tree
    assert set(tree.level.values()) == set(range(len(levels) + 1))
    for row in given_rows:
        item = f"table/{row['split']}/{row['id']}"
        names = [tree.name[node] for node in tree.path(item)]
        assert names == [row["name"], *(row[level] for level in levels)]
