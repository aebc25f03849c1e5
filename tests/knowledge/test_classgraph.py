"""Class chains: nearest node, ties, stops, loops; against networkx on random graphs."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from strata_labels.knowledge import ClassGraph


def graph(
    edges: list[tuple[int, int]],
    placed: dict[int, str],
    stops: dict[int, str] | None = None,
    deepest: int = 16,
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
        deepest,
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


def test_a_loop_counts_as_one_class_and_is_logged() -> None:
    loop = [(1, 2), (2, 3), (3, 1), (3, 4), (1, 5), (5, 6)]
    ours = graph(loop, {4: "church", 6: "museum"})
    verdict = ours.reach(["Q1"])
    assert (verdict.node, verdict.distance) == ("church", 1)
    assert verdict.path == ("Q1", "Q2", "Q3", "Q4")
    assert [cut[:3] for cut in ours.cuts(["Q1"])] == [
        ("Q1", "Q2", "loop"), ("Q2", "Q3", "loop"), ("Q3", "Q1", "loop"),
    ]  # fmt: skip
    assert ours.reach(["Q2"]).distance == 1


def test_a_mapped_class_in_a_loop_keeps_its_node() -> None:
    ours = graph([(1, 2), (2, 1), (2, 3)], {1: "church", 3: "museum"})
    assert ours.reach(["Q1"]).node == "church"
    # As near as the museum, but more specific: the museum lies above it.
    assert ours.reach(["Q2"]).node == "church"


def test_a_class_beyond_the_cap_is_not_reached_and_the_cut_is_logged() -> None:
    chain = [(n, n + 1) for n in range(1, 6)]
    assert graph(chain, {5: "church"}, deepest=4).reach(["Q1"]).node == "church"
    cut = graph(chain, {5: "church"}, deepest=3)
    assert cut.reach(["Q1"]).reason == "unknown"
    assert cut.cuts(["Q1"]) == [("Q4", "Q5", "depth", "3")]


def test_what_lies_above_a_stop_is_logged() -> None:
    ours = graph([(1, 2), (2, 3), (2, 4)], {3: "settlement"}, {2: "abstract"})
    assert ours.reach(["Q1"]).path == ("Q1", "Q2")
    assert ours.cuts(["Q1"]) == [
        ("Q2", "Q3", "stop", "abstract"),
        ("Q2", "Q4", "stop", "abstract"),
    ]


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
    cut.add_nodes_from(range(1, 26))
    levels = nx.condensation(cut)  # networkx's own contraction of the loops
    of = levels.graph["mapping"]
    for start in range(1, 26):
        known = nx.single_source_shortest_path_length(levels, of[start])
        at = {n: known[of[n]] for n in placed if of[n] in known}
        verdict = ours.reach([f"Q{start}"])
        if not at:
            assert (verdict.node, verdict.reason) == (None, "unknown")
            continue
        nearest = {placed[n] for n, d in at.items() if d == min(at.values())}
        assert verdict.distance == min(at.values())
        assert verdict.node in nearest
        if verdict.reason == "tie":
            assert {way.node for way in verdict.ties} <= nearest
            assert all(way.distance == verdict.distance for way in verdict.ties)
        steps = list(zip(verdict.path, verdict.path[1:], strict=False))
        assert all((int(a[1:]), int(b[1:])) in edges for a, b in steps)


@given(
    edges=st.lists(st.tuples(st.integers(1, 15), st.integers(1, 15)), max_size=40),
    loops=st.lists(st.lists(st.integers(1, 15), min_size=2, max_size=4, unique=True), max_size=3),
    placed=st.dictionaries(st.integers(1, 15), st.sampled_from(["a", "b"]), max_size=3),
    stopped=st.sets(st.integers(1, 15), max_size=3),
    deepest=st.integers(0, 4),
)
def test_a_walk_to_its_end_climbs_a_statement_or_logs_it(
    edges: list[tuple[int, int]],
    loops: list[list[int]],
    placed: dict[int, str],
    stopped: set[int],
    deepest: int,
) -> None:
    planted = (pair for loop in loops for pair in zip(loop, loop[1:] + loop[:1], strict=True))
    edges = sorted({*edges, *planted})
    stops = dict.fromkeys(stopped - set(placed), "abstract")
    ours = graph(edges, placed, stops, deepest)
    cut = nx.DiGraph((a, b) for a, b in edges if a not in stops and a not in placed)
    cut.add_nodes_from(range(1, 16))
    levels = nx.condensation(cut)
    of = levels.graph["mapping"]
    for start in range(1, 16):
        if ours.reach([f"Q{start}"]).node:
            continue  # the walk ended at a node, not where nothing was left
        far = nx.single_source_shortest_path_length(levels, of[start])
        met = {n for n in range(1, 16) if far.get(of[n], deepest + 1) <= deepest}
        expected = set()
        for a, b in edges:
            if a not in met:
                continue
            if a in stops:
                expected.add((a, b, "stop"))
            elif of[a] == of[b]:
                expected.add((a, b, "loop"))
            elif b not in met:
                expected.add((a, b, "depth"))
        found = {
            (int(c.from_qid[1:]), int(c.to_qid[1:]), c.reason) for c in ours.cuts([f"Q{start}"])
        }
        assert found == expected


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), max_size=60))
def test_ancestors_equal_networkx(edges: list[tuple[int, int]]) -> None:
    ours, whole = graph(edges, {}), nx.DiGraph(edges)
    for n in whole:
        reached = nx.transitive_closure(whole).successors(n)
        assert ours.ancestors(f"Q{n}") == {f"Q{m}" for m in reached if m != n}


def test_the_recorded_closure_is_the_recorded_subclass_graphs(shared: Path) -> None:
    wikidata = shared / "wikidata"
    edges = pd.read_csv(wikidata / "derived.P279.tsv.gz", sep="\t", dtype=str)
    star = pd.read_csv(wikidata / "derived.P279star.tsv.gz", sep="\t", dtype=str)
    parents = edges.groupby("node1")["node2"].agg(list)
    frame = pd.DataFrame({"qid": parents.index, "parent_qids": parents.to_list()})
    ours = ClassGraph(frame, {}, {})
    closure = {(qid, above) for qid in ours.graph for above in {qid, *ours.ancestors(qid)}}
    recorded = set(zip(star["node1"], star["node2"], strict=True))
    assert recorded <= closure
    # They differ in what a class without parents is: the closure counts every class among those
    # above itself; the record has no row at all for 229 of the 243 classes that are only parents.
    differ = closure - recorded
    assert all(a == b for a, b in differ)
    only_parents = set(edges["node2"]) - set(edges["node1"])
    assert {a for a, _ in differ} == only_parents - set(star["node1"])
    assert len(differ) == 229
