"""Decisions that contradict each other: disputes between reviewers, slips of a single one."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from strata_labels.errors import Problem
from strata_labels.review.decision import Decision
from strata_labels.review.known import KnownNodes, fold


def order(decision: Decision) -> tuple[str, str, datetime, str, str, str, str, int]:
    """The order in which decisions are told; says nothing about which counts."""
    d = decision
    return d.subject, d.aspect, d.when, d.reviewer, d.decision, d.said, d.where, d.row or 0


def agreed(decisions: list[Decision]) -> tuple[list[Decision], list[list[Decision]]]:
    """One decision for each subject and aspect on which all agree, and the others by dispute."""
    about: dict[tuple[str, str], list[Decision]] = defaultdict(list)
    for decision in decisions:
        about[decision.subject, decision.aspect].append(decision)
    effective, disputed = [], []
    for key in sorted(about):
        group = about[key]
        if len(group) == 1:
            effective += group
            continue
        group.sort(key=order)
        settled = [decision for decision in group if decision.decision != "unsure"] or group
        if len({decision.outcome for decision in settled}) > 1:
            disputed.append(settled)
        else:
            effective.append(settled[0])
    return effective, disputed


class Conflicts:
    """What is wrong with decisions only as a whole.

    Merges in a circle, a name twice on a level, a member that two splits claim. Between reviewers
    it is a dispute (each was right alone, two ledgers were merged); of one reviewer, a problem.

    Args:
        known: all nodes, those made by splits among them.
        made: the splits' nodes by the decision that made them.
    """

    def __init__(self, known: KnownNodes, made: dict[str, Decision]) -> None:
        self._known, self._made = known, made

    def settle(
        self, effective: list[Decision]
    ) -> tuple[list[Decision], list[list[Decision]], list[Problem]]:
        """The decisions that hold together, disputes, and problems."""
        disputed: list[list[Decision]] = []
        while True:
            conflicts = self.find(effective)
            between = [group for group, _ in conflicts if len({d.reviewer for d in group}) > 1]
            if not between:
                return effective, disputed, [problem for _, problem in conflicts]
            # Taking a decision out may bring up another conflict (a name that is free no more).
            disputed += between
            out = {id(decision) for group in between for decision in group}
            effective = [decision for decision in effective if id(decision) not in out]

    def find(self, effective: list[Decision]) -> list[tuple[list[Decision], Problem]]:
        """Groups of decisions that cannot all hold, and what is wrong with each."""
        return [*self._circles(effective), *self._same_names(effective), *self._claims(effective)]

    def _circles(self, effective: list[Decision]) -> list[tuple[list[Decision], Problem]]:
        merges = {d.subject: d for d in effective if d.decision == "merge"}
        found, seen = [], set[str]()
        for start in sorted(merges):
            path = [start]
            while path[-1] in merges and path[-1] not in seen:
                seen.add(path[-1])
                path.append(merges[path[-1]].target)
            if path[-1] in path[:-1]:
                circle = [merges[node] for node in path[path.index(path[-1]) : -1]]
                rows = ", ".join(f"{d.where} row {d.row}" for d in circle)
                last = max(circle, key=order)
                what = f"merges go in a circle ({rows}):"
                text = " into ".join(path[path.index(path[-1]) :])
                fix = "Take one of them back: decide keep on its subject."
                found.append((circle, Problem(last.where, what, fix, last.row, "target", text)))
        return found

    def _same_names(self, effective: list[Decision]) -> list[tuple[list[Decision], Problem]]:
        renames = {d.subject: d for d in effective if d.decision == "rename"}
        splits = {d.made: d for d in effective if d.decision == "split"}
        merged = {d.subject for d in effective if d.decision == "merge"}
        names = self._known.name | {node: d.target for node, d in renames.items()}
        taken: dict[tuple[int, str], list[str]] = defaultdict(list)
        for node, name in names.items():
            if node not in merged and (node not in self._made or node in splits):
                taken[self._known.level[node], fold(name)].append(node)
        found = []
        for node in sorted({*renames, *splits}):
            d = renames.get(node) or splits[node]
            others = sorted(taken[self._known.level[node], fold(names[node])])
            if len(others) > 1 and node in others:
                other = next(o for o in others if o != node)
                group = [x for o in others if (x := renames.get(o) or splits.get(o))]
                fix = f"Take another name, or decide on {other}."
                what = f"another node of the level, {other}, has this name:"
                problem = Problem(d.where, what, fix, d.row, "target", names[node])
                if group[0] is d or len({x.reviewer for x in group}) == 1:
                    found.append((group, problem))
        return found

    @staticmethod
    def _claims(effective: list[Decision]) -> list[tuple[list[Decision], Problem]]:
        claims: dict[str, list[Decision]] = defaultdict(list)
        for decision in effective:
            for member in decision.members if decision.decision == "split" else ():
                claims[member].append(decision)
        found = []
        for member, group in claims.items():
            if len(group) > 1:
                last = max(group, key=order)
                rows = ", ".join(f"{d.where} row {d.row}" for d in group)
                what = f"several splits claim it ({rows}):"
                fix = "Leave it to one of them."
                found.append((group, Problem(last.where, what, fix, last.row, "target", member)))
        return found
