"""LabelTree: every fault of a table is listed, and traversal agrees with networkx."""

from __future__ import annotations

import networkx as nx
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import VOCABULARY
from strata_labels.errors import InputError
from strata_labels.people_csv import read_people_csv
from strata_labels.tree import LabelTree, NodeFinder, diff
from strata_labels.tree.label_tree import node_problems


def frame(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["node_id", "level", "name", "parent_id"])


GOOD = [("a", 0, "A", "x"), ("b", 0, "B", "y"), ("x", 1, "X", "z"), ("y", 1, "Y", "z")]
GOOD += [("z", 2, "Z", None)]


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        ([("c", 0, "C", "nowhere")], ["unknown parent: 'nowhere'"]),
        ([("x", 1, "X", "z")], ["duplicate id: 'x'"]),
        ([("a", 0, "A", "y")], ["two parents: 'a'"]),
        ([("c", 0, " ", "x")], ["blank name"]),
        ([("", 0, "C", "x")], ["blank id"]),
        ([("c", 1, "C", "x")], ["wrong level: 'x'"]),
        ([("c", 1, "C", None)], ["no parent below the top level"]),
        ([("c", 0, "C", "b")], ["wrong level: 'b'"]),
        ([("c", 1, "C", "c")], ["a node under itself (c under c)"]),
        (
            [("c", 1, "C", "d"), ("d", 1, "D", "c")],
            ["under itself (c under d under c)", "under itself (c under d under c)"],
        ),
        (
            [("c", 1, "", "nowhere"), ("x", 1, "X", "z")],
            ["blank name", "duplicate id", "unknown parent"],
        ),
    ],
)
def test_every_fault_is_told(rows, parts):
    table = frame(*GOOD, *rows)
    with pytest.raises(InputError) as caught:
        LabelTree.checked(table)
    problems = [str(problem) for problem in caught.value.problems]
    assert len(problems) == len(parts)
    for problem, part in zip(problems, parts, strict=True):
        assert part in problem


def test_faults_of_a_file_have_rows(tmp_path):
    path = tmp_path / "vocabulary.csv"
    path.write_text("node_id,level,name,parent_id\nz,2,Z,\n\nx,1,X,x\ny,1,,z\n")
    table = read_people_csv(path, ["node_id", "level", "name", "parent_id"])
    problems = sorted((p.row, p.column) for p in node_problems(table.astype({"level": int}), path))
    assert problems == [(4, "parent_id"), (5, "name")]


def test_an_item_may_hang_higher():
    tree = LabelTree.checked(frame(*GOOD, ("c", 0, "C", "z")))
    assert tree.path("c") == ["c", "z"]
    assert tree.items_below({"x": 1, "y": 1, "z": 1}) == {"x": 1, "y": 1, "z": 3}


def test_rows_come_back_as_they_were_given():
    table = frame(*GOOD).astype(object).assign(qid=[None, None, "Q1", None, None])
    table["qid"] = table.qid.astype(object).where(table.qid.notna(), None)
    table["parent_id"] = table.parent_id.where(table.parent_id.notna(), None)
    found = LabelTree.checked(table.sample(frac=1, random_state=0)).nodes()
    assert found.to_dict("list") == table[found.columns].astype(object).to_dict("list")


def test_a_node_without_a_known_parent_ends_its_path():
    tree = LabelTree.from_nodes(frame(("x", 1, "X", "gone"), ("y", 1, "Y", None)))
    assert (tree.path("x"), tree.path("y"), tree.path("gone")) == (["x"], ["y"], [])
    assert tree.children("") == ["y"] and tree.path_name("x") == "X"


@pytest.mark.parametrize(
    ("text", "levels", "expected"),
    [
        ("2/lake", [2], "2/lake"),
        ("  LAKE ", [2], "2/lake"),
        ("lake › natural", [1, 2], "2/lake"),
        ("lake › human-made", [2], "unknown node"),
        ("lake", [1], "a node of level 2, but level 1 is needed"),
        ("2/lake", [1, 3], "a node of level 2, but level 1 or 3 is needed"),
        ("pond", [2], "unknown node"),
        ("mountain", [1, 2], "1/Q8502"),
        ("tarn", [2], "2/lake"),  # a further name
    ],
)
def test_a_node_is_found_by_what_a_person_writes(text, levels, expected):
    finder = NodeFinder(LabelTree.from_nodes(VOCABULARY), [("2/lake", "Tarn")])
    node, what, fix = finder.find(text, levels)
    assert node == expected if node else (expected in what and fix)


def test_several_nodes_of_a_name_are_told_apart_by_their_path():
    rows = [("1/a", 1, "elm", "2/p"), ("1/b", 1, "elm", "2/q"), ("2/p", 2, "P", None)]
    tree = LabelTree.from_nodes(frame(*rows, ("2/q", 2, "Q", None)))
    assert NodeFinder(tree).find("elm", [1])[1:] == (
        "several nodes have this name:",
        "Write one of 1/a, 1/b.",
    )
    assert NodeFinder(tree).find("elm › Q", [1])[0] == "1/b"


def test_the_vocabulary_is_a_tree_but_for_the_class_without_place():
    (problem,) = node_problems(VOCABULARY, "vocabulary")
    assert "no parent below the top" in str(problem)


def test_diff_tells_what_changed():
    before = LabelTree.checked(frame(*GOOD))
    rows = [("a", 0, "A", "y"), ("c", 0, "C", "y"), ("y", 1, "Why", "z"), ("z", 2, "Z", None)]
    found = diff(before, LabelTree.checked(frame(*rows)))
    assert found.changes.to_numpy().tolist() == [
        ["removed", 1, "x", "Z", ""],
        ["renamed", 1, "y", "Y", "Why"],
        ["added", 0, "c", "", "Why › Z"],
        ["removed", 0, "b", "Y › Z", ""],
        ["moved", 0, "a", "X › Z", "Why › Z"],
    ]
    text = str(found)
    assert "level 0: 1 added, 1 removed, 1 moved" in text
    assert "moved a: X › Z → Why › Z" in text
    assert str(diff(before, before)) == "The trees are equal."


@st.composite
def trees(draw, min_levels=1):
    """Random valid nodes, 1 to 6 levels, items hanging anywhere above."""
    sizes = [draw(st.integers(1, 6)) for _ in range(draw(st.integers(min_levels, 6)))]
    rows = []
    for level, size in enumerate(sizes):
        for n in range(size):
            last = len(sizes) - 1
            above = level + 1 if level else draw(st.integers(min(1, last), last))
            parent = None
            if level < last:
                parent = f"{above}/{draw(st.integers(0, sizes[above] - 1))}"
            name = draw(st.text(min_size=1, max_size=5).filter(str.strip))
            rows.append((f"{level}/{n}", level, name, parent))
    return frame(*draw(st.permutations(rows)))


@settings(max_examples=60, deadline=None)
@given(nodes=trees())
def test_walks_agree_with_networkx(nodes):
    tree = LabelTree.from_nodes(nodes)
    graph = nx.DiGraph((tree.parent[node], node) for node in nodes.node_id if tree.parent[node])
    graph.add_nodes_from(nodes.node_id)
    assert nx.is_forest(graph.to_undirected())
    items = {node: 1 for node, level in tree.level.items() if level == 0}
    below = tree.items_below(items)
    for node in nodes.node_id:
        assert set(tree.path(node)[1:]) == nx.ancestors(graph, node)
        assert tree.children(node) == sorted(graph.successors(node))
        assert below.get(node, 0) == len(items.keys() & (nx.descendants(graph, node) | {node}))
    assert tree.children("") == sorted(node for node in graph if not graph.in_degree(node))


@settings(max_examples=40, deadline=None)
@given(nodes=trees(min_levels=2), data=st.data())
def test_one_fault_is_found_where_it_is(nodes, data):
    at = data.draw(st.sampled_from(range(len(nodes))))
    broken = nodes.copy()
    broken.loc[at, "parent_id"] = broken.loc[at, "node_id"]
    problems = [str(problem) for problem in node_problems(broken, "t")]
    assert any(
        f"{broken.loc[at, 'node_id']} under {broken.loc[at, 'node_id']}" in p for p in problems
    )


@settings(max_examples=15, deadline=None)
@given(before=trees(), after=trees())
def test_diff_undoes_itself(before, after):
    """Applying the frame's additions and removals to one tree's ids gives the other's."""
    found = diff(LabelTree.from_nodes(before), LabelTree.from_nodes(after)).changes
    by = {change: set(part.node_id) for change, part in found.groupby("change")}
    assert (set(before.node_id) | by.get("added", set())) - by.get("removed", set()) == set(
        after.node_id
    )
    back = diff(LabelTree.from_nodes(after), LabelTree.from_nodes(before)).changes
    assert set(back.node_id[back.change == "moved"]) == by.get("moved", set())
