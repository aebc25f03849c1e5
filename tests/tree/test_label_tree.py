"""LabelTree: every fault is told, and its walks agree with networkx."""

from __future__ import annotations

import networkx as nx
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import VOCABULARY
from strata_labels.errors import InputError
from strata_labels.tables import read_people_csv
from strata_labels.tree import LabelTree, diff, node_problems


def frame(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["node_id", "level", "name", "parent_id"])


GOOD = [("a", 0, "A", "x"), ("b", 0, "B", "y"), ("x", 1, "X", "z"), ("y", 1, "Y", "z")]
GOOD += [("z", 2, "Z", None)]


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        ([("c", 0, "C", "nowhere")], ["unknown parent: 'nowhere'"]),
        ([("x", 1, "X", "z")], ["id stands twice: 'x'"]),
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
            ["blank name", "stands twice", "unknown parent"],
        ),
    ],
)
def test_every_fault_is_told(rows, parts):
    table = frame(*GOOD, *rows).assign(qid=None)
    with pytest.raises(InputError) as caught:
        LabelTree(table)
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == len(parts)
    for problem, part in zip(told, parts, strict=True):
        assert part in problem


def test_faults_of_a_file_have_rows(tmp_path):
    path = tmp_path / "vocabulary.csv"
    path.write_text("node_id,level,name,parent_id\nz,2,Z,\n\nx,1,X,x\ny,1,,z\n")
    table = read_people_csv(path, ["node_id", "level", "name", "parent_id"])
    told = sorted((p.row, p.column) for p in node_problems(table.astype({"level": int}), path))
    assert told == [(4, "parent_id"), (5, "name")]


def test_an_item_may_hang_higher():
    tree = LabelTree(frame(*GOOD, ("c", 0, "C", "z")).assign(qid=None))
    assert tree.path("c") == ["c", "z"]
    assert tree.items_below()["z"] == 3


def test_cut_keeps_ids_and_nearest_ancestors():
    tree = LabelTree(frame(*GOOD).assign(qid=None)).cut([0, 2])
    assert tree.counts() == {0: 2, 1: 1}
    assert tree.path("a") == ["a", "z"]
    with pytest.raises(ValueError, match=r"levels \[0, 5\]"):
        tree.cut([0, 5])


def test_the_vocabulary_is_a_tree_but_for_the_class_without_place():
    (problem,) = node_problems(VOCABULARY, "vocabulary")
    assert "no parent below the top" in str(problem)


def test_diff_tells_what_changed():
    before = LabelTree(frame(*GOOD).assign(qid=None))
    rows = [("a", 0, "A", "y"), ("c", 0, "C", "y"), ("y", 1, "Why", "z"), ("z", 2, "Z", None)]
    found = diff(before, LabelTree(frame(*rows).assign(qid=None)))
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
    return frame(*draw(st.permutations(rows))).assign(qid=None)


@settings(max_examples=60, deadline=None)
@given(nodes=trees())
def test_walks_agree_with_networkx(nodes):
    tree = LabelTree(nodes)
    assert nx.is_forest(tree.graph.to_undirected())
    below = tree.items_below()
    for node in nodes.node_id:
        assert set(tree.ancestors(node)) == nx.ancestors(tree.graph, node)
        items = [n for n in nx.descendants(tree.graph, node) | {node} if n.startswith("0/")]
        assert below[node] == len(items)
        assert [tree.parent(child) for child in tree.children(node)] == [node] * len(
            tree.children(node)
        )


@settings(max_examples=40, deadline=None)
@given(nodes=trees(min_levels=2), data=st.data())
def test_a_cut_keeps_ancestry(nodes, data):
    tree = LabelTree(nodes)
    top = max(tree.levels)
    kept = {top, *data.draw(st.sets(st.sampled_from(tree.levels)))}
    cut = tree.cut(kept)
    assert cut.counts() == {
        n: tree.counts()[level] for n, level in enumerate(sorted(kept)) if level in tree.counts()
    }
    for node in cut.nodes.node_id:
        assert cut.ancestors(node) == [n for n in tree.ancestors(node) if n in cut.graph]


@settings(max_examples=40, deadline=None)
@given(nodes=trees(min_levels=2), data=st.data())
def test_one_fault_is_found_where_it_is(nodes, data):
    at = data.draw(st.sampled_from(range(len(nodes))))
    broken = nodes.copy()
    broken.loc[at, "parent_id"] = broken.loc[at, "node_id"]
    told = [str(problem) for problem in node_problems(broken, "t")]
    assert any(f"{broken.loc[at, 'node_id']} under {broken.loc[at, 'node_id']}" in p for p in told)


@settings(max_examples=15, deadline=None)
@given(before=trees(), after=trees())
def test_diff_undoes_itself(before, after):
    """Applying the frame's additions and removals to one tree's ids gives the other's."""
    found = diff(LabelTree(before), LabelTree(after)).changes
    by = {change: set(part.node_id) for change, part in found.groupby("change")}
    assert (set(before.node_id) | by.get("added", set())) - by.get("removed", set()) == set(
        after.node_id
    )
    back = diff(LabelTree(after), LabelTree(before)).changes
    assert set(back.node_id[back.change == "moved"]) == by.get("moved", set())
