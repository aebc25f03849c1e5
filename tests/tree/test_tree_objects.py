"""Trees pruned, merged, measured and split."""

from __future__ import annotations

from collections import Counter

import networkx as nx
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strata_labels.tree import (
    LabelTree,
    agreement,
    diff,
    distance,
    keep_nodes_with_images,
    lowest_common_ancestor,
    merge_small,
    prune_chains,
    split_classes,
)
from trees import build_table, tables


def make(*paths: str) -> LabelTree:
    """A tree of paths such as `a p x`: item, its class, its top."""
    rows: dict[str, tuple] = {}
    for path in paths:
        steps = path.split()
        nodes = [steps[0], *(f"{n}/{step}" for n, step in enumerate(steps[1:], start=1))]
        for level, (node, name) in enumerate(zip(nodes, steps, strict=True)):
            above = nodes[level + 1] if level + 1 < len(nodes) else None
            rows[node] = (node, level, name, above, None)
    return LabelTree(
        pd.DataFrame(rows.values(), columns=["node_id", "level", "name", "parent_id", "qid"])
    )


TREE = make("a p x", "b p x", "c q x", "d r y", "e s z", "f s z")
QUICK = settings(deadline=None, max_examples=30)


def test_chains_are_pruned():
    graph = prune_chains(TREE)
    assert set(TREE.graph) - set(graph) == {"1/q", "1/r", "1/s"} - {"1/s"}
    assert set(graph.successors("2/x")) == {"1/p", "c"}
    assert list(graph.successors("2/y")) == ["d"]
    assert graph.nodes["1/p"]["name"] == "p"


@QUICK
@given(tables())
def test_pruned_graphs_keep_items_and_order(table):
    tree = build_table(*table).tree
    graph = prune_chains(tree)
    assert nx.is_forest(graph) and set(tree.graph) >= set(graph)
    for node in graph:
        assert nx.ancestors(graph, node) == nx.ancestors(tree.graph, node) & set(graph)
        inner = graph.in_degree(node) and tree.graph.nodes[node]["level"]
        assert not inner or graph.out_degree(node) > 1
    assert {n for n in graph if tree.graph.nodes[n]["level"] == 0} == {
        n for n in tree.graph if tree.graph.nodes[n]["level"] == 0
    }


def test_nodes_need_images():
    images = {"a": 1, "b": 5, "c": 3, "d": 4, "e": 2, "f": 2}
    tree, aside = keep_nodes_with_images(TREE, images, 3)
    assert sorted(tree.nodes.node_id[tree.nodes.level == 0]) == ["b", "c", "d"]
    assert "2/z" not in tree.graph and "1/p" in tree.graph
    assert aside.set_index("node_id").images.to_dict() == {
        "a": 1,
        "e": 2,
        "f": 2,
        "1/s": 0,
        "2/z": 0,
    }
    assert keep_nodes_with_images(TREE, {}, 0)[0].nodes.equals(TREE.nodes)
    assert keep_nodes_with_images(TREE, {}, 1)[0].nodes.empty


def test_small_nodes_are_merged_into_another():
    tree, merged = merge_small(TREE, 2, levels=[1])
    # p has two items, q is alone among the small nodes of x, r and s have no sibling.
    assert merged == {} and diff(TREE, tree).changes.empty
    tree, merged = merge_small(TREE, 3)
    assert merged == {
        "2/y": "2/other",
        "2/z": "2/other",
        "1/p": "1/x/other",
        "1/q": "1/x/other",
        "1/r": "1/other/other",
        "1/s": "1/other/other",
    }
    assert tree.path("c") == ["c", "1/x/other", "2/x"]
    assert [tree.name(node) for node in tree.path("c")] == ["c", "other x", "x"]
    assert [tree.name(node) for node in tree.path("d")] == ["d", "other", "other"]


@QUICK
@given(tables(2), st.integers(0, 6))
def test_merging_loses_no_item_and_leaves_at_most_one_small_node(table, minimum):
    tree = build_table(*table).tree
    found, merged = merge_small(tree, minimum)
    items = set(tree.nodes.node_id[tree.nodes.level == 0])
    assert set(found.nodes.node_id[found.nodes.level == 0]) == items
    assert found.levels == tree.levels and not set(merged) & set(found.graph)
    count = found.items_below()
    own = set(tree.graph)
    small = Counter(
        found.parent(node) or ""
        for node in found.graph
        if found.graph.nodes[node]["level"] > 0 and count[node] < minimum and node in own
    )
    assert max(small.values(), default=0) <= 1
    for item in items:
        for before, after in zip(tree.path(item), found.path(item), strict=True):
            assert after == merged.get(before, before)


def test_common_ancestors_and_distances():
    assert lowest_common_ancestor(TREE, "a", "b") == "1/p"
    assert lowest_common_ancestor(TREE, "a", "1/p") == "1/p"
    assert lowest_common_ancestor(TREE, "a", "d") is None
    pairs = {("a", "a"): 0, ("a", "b"): 2, ("a", "c"): 4, ("a", "d"): 6, ("2/x", "2/y"): 2}
    assert {pair: distance(TREE, *pair) for pair in pairs} == pairs
    with pytest.raises(KeyError):
        distance(TREE, "a", "nobody")


@QUICK
@given(tables(), st.data())
def test_distance_is_that_of_networkx(table, data):
    tree = build_table(*table).tree
    graph = tree.graph.to_undirected()
    graph.add_edges_from(("root", node) for node in tree.graph if tree.parent(node) is None)
    one, other = (data.draw(st.sampled_from(sorted(tree.graph))) for _ in range(2))
    assert distance(tree, one, other) == nx.shortest_path_length(graph, one, other)
    assert lowest_common_ancestor(tree, one, other) == nx.lowest_common_ancestor(
        tree.graph, one, other
    )


def test_agreement_of_trees():
    same = agreement(TREE, TREE)
    assert same.levels.v_measure.tolist() == [1, 1]
    assert (same.precision, same.recall, same.edge_f1) == (1, 1, 1)
    # Other names for the same groups: the V-measure is 1, no edge is shared.
    renamed = make("a P X", "b P X", "c Q X", "d R Y", "e S Z", "f S Z")
    found = agreement(TREE, renamed)
    assert found.levels.v_measure.tolist() == [1, 1] and found.edge_f1 == 0
    # One item moved: of 10 edges each, its edge differs, and 1/q has no place in the other tree.
    moved = make("a p x", "b p x", "c p x", "d r y", "e s z", "f s z")
    found = agreement(TREE, moved)
    assert found.recall == 8 / 10 and found.precision == 8 / 9
    assert found.edge_f1 == pytest.approx(16 / 19)
    # All of q lies in p, so p is not homogeneous in them, yet each is complete.
    assert found.levels.completeness[0] == pytest.approx(1)
    assert found.levels.homogeneity[0] < 1
    with pytest.raises(ValueError, match="cut one"):
        agreement(TREE, TREE.cut([0, 2]))


def test_items_in_one_tree_only_are_counted():
    found = agreement(TREE, make("a p x", "b p x", "g q x"))
    assert found.levels["items"].tolist() == [2, 2]
    assert found.levels.only_one.tolist() == [5, 5]


def test_splits_share_no_class_and_keep_the_shares():
    paths = [f"i{n} c{n % 20} t{n % 5}" for n in range(400)]
    tree = make(*paths)
    split = split_classes(tree, {"train": 0.5, "val": 0.2, "test": 0.3}, strata=1)
    assert split.value_counts().to_dict() == {"train": 200, "val": 80, "test": 120}
    by_class = split.groupby([tree.parent(item) for item in split.index]).value_counts()
    assert by_class.unstack().to_numpy().min() >= 3
    halves = split_classes(tree, {"train": 0.5, "test": 0.5}, classes=1)
    per_class = halves.groupby([tree.parent(item) for item in halves.index]).nunique()
    assert per_class.max() == 1 and halves.value_counts().to_dict() == {"train": 200, "test": 200}


def test_splits_are_seeded_and_refuse_nonsense():
    tree = make(*[f"i{n} c{n % 3} t" for n in range(60)])
    shares = {"train": 0.5, "test": 0.5}
    again = LabelTree(tree.nodes.sample(frac=1, random_state=1))
    assert split_classes(tree, shares).equals(split_classes(again, shares))
    assert not split_classes(tree, shares).equals(split_classes(tree, shares, seed=1))
    for wrong in ({"train": 0.5}, {"train": 1.5, "test": -0.5}, {}):
        with pytest.raises(ValueError, match="shares of 1"):
            split_classes(tree, wrong)
    with pytest.raises(ValueError, match="strata 0"):
        split_classes(tree, shares, strata=0)
