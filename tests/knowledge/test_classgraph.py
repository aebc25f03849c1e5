"""Class chains: nearest node, ties, stops, loops; against networkx on random graphs."""

from __future__ import annotations

import networkx as nx
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from pipeline.knowledge import ClassGraph


def graph(
    edges: list[tuple[int, int]], placed: dict[int, str], stops: dict[int, str] | None = None
) -> ClassGraph:
    nodes = sorted({n for edge in edges for n in edge})
    frame = pd.DataFrame(
        {
            "qid": [f"Q{n}" for n in nodes],
            "parent_qids": [[f"Q{b}" for a, b in edges if a == n] for n in nodes],
        }
    )
    return ClassGraph(
        frame,
        {f"Q{n}": node for n, node in placed.items()},
        {f"Q{n}": why for n, why in (stops or {}).items()},
    )


def test_the_nearest_node_over_all_classes_wins_and_the_others_are_kept() -> None:
    verdict = graph([(1, 2), (2, 3), (4, 5)], {3: "church", 5: "museum"}).reach(["Q1", "Q4"])
    assert (verdict.node, verdict.reason, verdict.distance) == ("museum", "reached", 1)
    assert [way.path for way in verdict.others] == [("Q1", "Q2", "Q3")]


def test_ties_are_reported_with_all_paths() -> None:
    verdict = graph([(1, 2), (1, 3)], {2: "palace", 3: "museum"}).reach(["Q1"])
    assert (verdict.node, verdict.reason) == ("palace", "tie")
    assert {way.node: way.path for way in verdict.ties} == {
        "palace": ("Q1", "Q2"),
        "museum": ("Q1", "Q3"),
    }


def test_a_node_above_another_is_no_tie() -> None:
    verdict = graph([(1, 9), (9, 8)], {9: "city", 8: "settlement"}).reach(["Q8", "Q9"])
    assert (verdict.node, verdict.reason) == ("city", "reached")


def test_a_chain_stops_before_absurd_ancestors() -> None:
    edges = [(1, 2), (2, 3)]
    assert graph(edges, {3: "settlement"}, {2: "abstract"}).reach(["Q1"]).reason == "unknown"
    verdict = graph(edges, {3: "settlement"}, {2: "outside"}).reach(["Q1"])
    assert (verdict.node, verdict.reason, verdict.path) == (None, "outside", ("Q1", "Q2"))


def test_only_a_decisive_class_overrules_the_others() -> None:
    placed = {1: "island"}
    assert graph([], placed, {2: "outside"}).reach(["Q2", "Q1"]).node == "island"
    assert graph([], placed, {2: "decisive"}).reach(["Q1", "Q2"]).reason == "outside"


def test_outside_needs_every_class_to_be_known() -> None:
    assert graph([], {}, {1: "outside"}).reach(["Q1", "Q404"]).reason == "unknown"
    assert graph([], {}, {1: "outside"}).reach([]).reason == "unknown"


@given(
    edges=st.lists(st.tuples(st.integers(1, 25), st.integers(1, 25)), max_size=60),
    loop=st.lists(st.integers(1, 25), min_size=2, max_size=5, unique=True),
    placed=st.dictionaries(st.integers(1, 25), st.sampled_from(["a", "b", "c"]), max_size=6),
    stopped=st.sets(st.integers(1, 25), max_size=6),
)
def test_distances_equal_networkx_on_random_graphs_with_planted_loops(
    edges: list[tuple[int, int]], loop: list[int], placed: dict[int, str], stopped: set[int]
) -> None:
    edges = sorted({*edges, *zip(loop, loop[1:] + loop[:1], strict=True)})
    stops = dict.fromkeys(stopped - set(placed), "abstract")
    ours = graph(edges, placed, stops)
    cut = nx.DiGraph((a, b) for a, b in edges if a not in stops and a not in placed)
    for start in range(1, 26):
        known = nx.single_source_shortest_path_length(cut, start) if start in cut else {start: 0}
        at = {n: d for n, d in known.items() if n in placed}
        verdict = ours.reach([f"Q{start}"])
        if not at:
            assert (verdict.node, verdict.reason) == (None, "unknown")
            continue
        nearest = {placed[n] for n, d in at.items() if d == min(at.values())}
        assert verdict.distance == min(at.values())
        assert verdict.node in nearest
        if verdict.reason == "tie":
            assert {way.node for way in verdict.ties} <= nearest
        steps = list(zip(verdict.path, verdict.path[1:], strict=False))
        assert all((int(a[1:]), int(b[1:])) in edges for a, b in steps)
