"""Where every node of the tree is after the decisions on nodes."""

from __future__ import annotations

from collections.abc import Container

from strata_labels.review.decisions import Decision
from strata_labels.review.validate import Checker
from strata_labels.tree import LabelTree, name_key


class Placement:
    """Where every node is after the decisions on nodes; made from the top level down.

    Args:
        checker: the tree before, with the nodes that decisions make.
        place: the decision on the place of each subject that has one.
    """

    def __init__(self, checker: Checker, place: dict[str, Decision]) -> None:
        tree = checker.tree
        self.level, self.name = dict(tree.level), dict(tree.name)
        self.parent, self.qid = dict(tree.parent), dict(tree.qid)
        self._before = tree.parent
        self._top, self._place, self._made = tree.top, place, checker.made
        self.merged = self._merged()
        self._main: dict[tuple[str, int], str] = {}

    def _merged(self) -> dict[str, str]:
        """The node that each merged node is part of; `validate` has refused cycles."""
        step = {node: d.target for node, d in self._place.items() if d.decision == "merge"}
        ends = {}
        for node in step:
            end = step[node]
            while end in step:
                end = step[end]
            ends[node] = end
        return ends

    def tree(self, taken_back: Container[str], used: Container[str]) -> LabelTree:
        """The nodes that are left, without the merged ones.

        Args:
            taken_back: nodes that are left only where they have something below them.
            used: nodes that a row is under.
        """
        parents: dict[str, list[str]] = {}
        for node, parent in self.parent.items():
            if node not in self.merged:
                parents.setdefault(parent, []).append(node)
        empty: set[str] = set()
        for node in sorted(self.level, key=self.level.__getitem__):
            below = (child for child in parents.get(node, ()) if child not in empty)
            if node in taken_back and node not in used and not any(below):
                empty.add(node)
        kept = [node for node in self.level if node not in self.merged and node not in empty]
        return LabelTree(
            level={node: self.level[node] for node in kept},
            name={node: self.name[node] for node in kept},
            parent={node: self.parent[node] for node in kept},
            qid={node: self.qid[node] for node in kept},
        )

    def place_nodes(self) -> None:
        """Sets the parents that were decided, and follows merges."""
        for level in range(self._top - 1, 0, -1):
            for node in [node for node, own in self.level.items() if own == level]:
                decision = self._place.get(node)
                makes = self._made.get(node)
                if decision is None and makes and makes.decision == "split":
                    decision = self._place.get(makes.subject)  # it goes along
                target = self.parent[node]
                if decision and decision.decision in {"keep", "move"} and decision.target:
                    target = self.main_child(decision.target, level + 1)
                self.parent[node] = self.merged.get(target, target)
            self._merge_twins(level)

    def _merge_twins(self, level: int) -> None:
        """Merges nodes of one name that a merge of their parents has brought together.

        Nodes with a Wikidata id, or with a decision of their own, stay apart.
        """
        twins: dict[tuple[str, str], list[str]] = {}
        targets = set(self.merged.values())
        for node, own in self.level.items():
            free = own == level and not self.qid[node] and node not in self._place
            if free and node not in self.merged and self.parent[node] in targets:
                twins.setdefault((self.parent[node], name_key(self.name[node])), []).append(node)
        ends: dict[str, str] = {}
        before = self._before
        for group in twins.values():
            kept: list[str] = []
            for node in sorted(group, key=lambda one: (before[one] in self.merged, one)):
                # Two that were under one parent before are not brought together by the merge.
                others = [one for one in kept if before[one] != before[node]]
                others.sort(key=lambda one: self.name[one] != self.name[node])
                if before[node] in self.merged and others:
                    ends[node] = others[0]
                else:
                    kept.append(node)
        self.merged = {n: ends.get(end, end) for n, end in {**self.merged, **ends}.items()}

    def main_child(self, target: str, level: int) -> str:
        """The main node of `level` below `target`, which is at that level or above.

        Levels from `level` up have their parents by now, so a result stays right once found.
        """
        key = target, level
        if key not in self._main:
            target = self.merged.get(target, target)
            while self.level[target] > level:
                target = self._child(target)
            self._main[key] = target
        return self._main[key]

    def _child(self, target: str) -> str:
        below = self.level[target] - 1
        children = [
            node
            for node, level in self.level.items()
            if level == below and self.parent[node] == target
            if node not in self.merged and not self._left_out(node)
        ]
        same_qid = [n for n in children if self.qid[n] and self.qid[n] == self.qid[target]]
        same_name = [n for n in children if name_key(self.name[n]) == name_key(self.name[target])]
        if same_qid or same_name:
            return min(same_qid or same_name)
        made = f"{below}/{target.split('/', 1)[-1]}.general"
        self.level[made], self.name[made] = below, self.name[target]
        self.parent[made], self.qid[made] = target, ""
        return made

    def _left_out(self, node: str) -> bool:
        decision = self._place.get(node)
        return decision is not None and decision.decision in {"stop", "exclude"}

    def ends(self) -> dict[str, str]:
        """For each node, the node that an item under it finally is under; "" if it is excluded."""
        ends = {}
        for node in self.level:
            end = step = self.merged.get(node, node)
            while step:
                decision = self._place.get(step)
                word = decision.decision if decision else ""
                if word == "exclude":
                    end = ""
                    break
                if decision and word == "stop":
                    end = step = self.merged.get(decision.target, decision.target)
                else:
                    step = self.parent[step]
            ends[node] = end
        return ends
