"""From classes to vocabulary nodes: the nearest node above a class, or proof that there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import networkx as nx
import pandas as pd

REACHED, TIE, OUTSIDE, UNKNOWN = "reached", "tie", "outside", "unknown"


@dataclass(frozen=True)
class Reach:
    """A way up from a class: to a node's class, to a class without a place, or to where it ends.

    Attributes:
        node: vocabulary node, None if the way leads to none.
        path: classes from the item's own to the last, both included.
        reason: reached, outside or unknown.
    """

    node: str | None
    path: tuple[str, ...]
    reason: str

    @property
    def distance(self) -> int:
        """Number of P279 edges."""
        return len(self.path) - 1


@dataclass(frozen=True)
class ClassVerdict:
    """Where the classes of an item lead.

    Attributes:
        node: the nearest vocabulary node; under a tie that of the class stated first.
        path: the classes on the way, from the item's own to the last one, both included.
        distance: number of P279 edges on it.
        ties: under a tie, every nearest way, one for each node (a node above another is left out).
        reason: `reached`; `tie`; `outside` (proved to have no place; `path` ends in the class that
            proves it); `unknown` (the chain ends without knowing, or there is no class at all).
        others: what the other classes say: further nodes, classes without a place.
    """

    node: str | None
    path: tuple[str, ...]
    distance: int
    ties: tuple[Reach, ...]
    reason: str
    others: tuple[Reach, ...] = ()


class ClassGraph:
    """The subclass graph (P279) with the vocabulary's classes marked in it.

    A walk upwards ends at a placed class, at a stop, or at a class without parents, so the absurd
    ancestors of classes are never met. Loops are harmless: no class is passed twice, and a loop
    adds no edge to a shortest way.

    Args:
        classes: `qid, parent_qids`.
        placed: class -> vocabulary node, each node's main class first.
        stops: class -> `outside` (has no place; where nearer than any node, the class has none),
            `decisive` (the same, and it overrules the item's other classes) or `abstract` (leads
            nowhere).
    """

    def __init__(
        self, classes: pd.DataFrame, placed: Mapping[str, str], stops: Mapping[str, str]
    ) -> None:
        self._placed = dict(placed)
        self._stops = dict(stops)
        self._main: dict[str, str] = {}
        for qid, node in placed.items():
            self._main.setdefault(node, qid)
        self.graph = nx.DiGraph()
        for qid, parents in zip(classes["qid"], classes["parent_qids"], strict=True):
            self.graph.add_node(qid)
            self.graph.add_edges_from((qid, parent) for parent in parents)
        self._cache: dict[str, tuple[Reach, ...]] = {}
        self._above: dict[str, set[str]] = {}
        self._verdicts: dict[tuple[str, ...], ClassVerdict] = {}

    def reach(self, class_qids: Iterable[str]) -> ClassVerdict:
        """The nearest node over all classes of an item; a decisive class has the last word."""
        key = tuple(dict.fromkeys(class_qids))
        if key not in self._verdicts:
            self._verdicts[key] = self._verdict(key)
        return self._verdicts[key]

    def _verdict(self, class_qids: tuple[str, ...]) -> ClassVerdict:
        ways = [way for qid in class_qids for way in self._ways(qid)]
        decisive = [w for w in ways if self._stops.get(w.path[-1]) == "decisive"]
        reached = [w for w in ways if w.reason == REACHED]
        if decisive or not reached:
            unknown = [w for w in ways if w.reason == UNKNOWN]
            # One class that is not known may yet lead somewhere: only all together prove it.
            chosen = next(iter(decisive or unknown or ways), None)
            if chosen is None:
                return ClassVerdict(None, (), 0, (), UNKNOWN)
            others = tuple(w for w in ways if w is not chosen)
            return ClassVerdict(None, chosen.path, chosen.distance, (), chosen.reason, others)
        nearest = min(w.distance for w in reached)
        first: dict[str | None, Reach] = {}
        for way in reached:
            if way.distance == nearest:
                first.setdefault(way.node, way)
        ties = self._most_specific(tuple(first.values()))
        others = tuple(w for w in ways if w not in ties)
        best = ties[0]
        if len(ties) > 1:
            return ClassVerdict(best.node, best.path, nearest, ties, TIE, others)
        return ClassVerdict(best.node, best.path, nearest, (), REACHED, others)

    def _most_specific(self, ties: tuple[Reach, ...]) -> tuple[Reach, ...]:
        """Leaves out a node that lies above another of the ties (city: a human settlement)."""
        above = {
            way: {
                self._placed.get(qid)
                for end in (way.path[-1], self._main[way.node])
                for qid in self._ancestors(end)
            }
            for way in ties
            if way.node is not None
        }
        kept = tuple(
            way
            for way in ties
            if not any(
                way.node in above[other] and other.node not in above[way]
                for other in ties
                if other is not way
            )
        )
        return kept or ties

    def _ancestors(self, qid: str) -> set[str]:
        if qid not in self._above:
            self._above[qid] = nx.descendants(self.graph, qid) if qid in self.graph else set()
        return self._above[qid]

    def _ways(self, qid: str) -> tuple[Reach, ...]:
        """The nearest ways up from one class: one for each nearest node, or one dead end."""
        if qid not in self._cache:
            self._cache[qid] = self._walk(qid)
        return self._cache[qid]

    def _walk(self, start: str) -> tuple[Reach, ...]:
        came: dict[str, str | None] = {start: None}
        level, ends = [start], []
        while level:
            found = {q: self._placed[q] for q in level if q in self._placed}
            stops = [q for q in level if self._stops.get(q) in ("outside", "decisive")]
            stops.sort(key=lambda q: self._stops[q] != "decisive")
            if stops and (not found or self._stops[stops[0]] == "decisive"):
                return (Reach(None, _path(came, stops[0]), OUTSIDE),)
            if found:
                first: dict[str, str] = {}
                for qid, node in found.items():
                    first.setdefault(node, qid)
                return tuple(Reach(node, _path(came, q), REACHED) for node, q in first.items())
            above: list[str] = []
            for qid in level:
                parents = self._parents(qid)
                if not parents:
                    ends.append(qid)
                for parent in parents:
                    if parent not in came:
                        came[parent] = qid
                        above.append(parent)
            level = above
        end = ends[0] if ends else start
        return (Reach(None, _path(came, end), UNKNOWN),)

    def _parents(self, qid: str) -> list[str]:
        if qid in self._stops or qid not in self.graph:
            return []
        return sorted(self.graph.successors(qid), key=lambda q: int(q[1:]))


def _path(came: Mapping[str, str | None], end: str) -> tuple[str, ...]:
    path, qid = [], end
    while True:
        path.append(qid)
        before = came[qid]
        if before is None:
            return tuple(reversed(path))
        qid = before
