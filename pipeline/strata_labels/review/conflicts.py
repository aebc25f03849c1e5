"""Decisions that contradict each other: reviewers who differ, circles, names and members twice."""

from __future__ import annotations

from collections import defaultdict

from strata_labels.errors import Problem
from strata_labels.review.decisions import Decision, order
from strata_labels.tree import LabelTree, name_key

#: A group of decisions that cannot all hold, and the problem it is if one reviewer made them all.
Conflict = tuple[list[Decision], Problem]


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
        sure = [decision for decision in group if decision.decision != "unsure"] or group
        if len({decision.outcome for decision in sure}) > 1:
            disputed.append(sure)
        else:
            effective.append(sure[0])
    return effective, disputed


def without_conflicts(
    effective: list[Decision], tree: LabelTree, made: dict[str, Decision]
) -> tuple[list[Decision], list[list[Decision]], list[Problem]]:
    """Takes out decisions that contradict each other, see `find_conflicts`.

    Between reviewers it is a dispute (each was right alone, two ledgers were merged); of one
    reviewer, a problem.

    Returns:
        The decisions that can be applied together, disputes, and problems.
    """
    disputed: list[list[Decision]] = []
    while True:
        conflicts = find_conflicts(effective, tree, made)
        between = [group for group, _ in conflicts if len({d.reviewer for d in group}) > 1]
        if not between:
            return effective, disputed, [problem for _, problem in conflicts]
        # Taking a decision out may bring up another conflict (a name that is free no more).
        disputed += between
        out = {id(decision) for group in between for decision in group}
        effective = [decision for decision in effective if id(decision) not in out]


def find_conflicts(
    effective: list[Decision], tree: LabelTree, made: dict[str, Decision]
) -> list[Conflict]:
    """Merges in a cycle, a name twice on a level, a member that two new nodes claim.

    Args:
        effective: decisions that are right alone.
        tree: all nodes, those that decisions make among them.
        made: the nodes that decisions make, by the decision.
    """
    return [*_cycles(effective), *_same_names(effective, tree, made), *_claims(effective)]


def _cycles(effective: list[Decision]) -> list[Conflict]:
    merges = {d.subject: d for d in effective if d.decision == "merge"}
    found, visited = [], set[str]()
    for start in sorted(merges):
        path = [start]
        while path[-1] in merges and path[-1] not in visited:
            visited.add(path[-1])
            path.append(merges[path[-1]].target)
        if path[-1] in path[:-1]:
            cycle = [merges[node] for node in path[path.index(path[-1]) : -1]]
            rows = ", ".join(f"{d.file} row {d.row}" for d in cycle)
            last = max(cycle, key=order)
            what = f"merges go in a circle ({rows}):"
            text = " into ".join(path[path.index(path[-1]) :])
            fix = "Take one of them back: decide keep on its subject."
            found.append((cycle, last.problem(what, fix, "target", text)))
    return found


def _same_names(
    effective: list[Decision], tree: LabelTree, made: dict[str, Decision]
) -> list[Conflict]:
    renames = {d.subject: d for d in effective if d.decision == "rename"}
    makes = {d.made: d for d in effective if d.made}
    if not renames and not makes:
        return []
    merged = {d.subject for d in effective if d.decision == "merge"}
    names = {**tree.name, **{node: d.target for node, d in renames.items()}}
    taken: dict[tuple[int, str], list[str]] = defaultdict(list)
    for node, name in names.items():
        if node not in merged and (node not in made or node in makes):
            taken[tree.level[node], name_key(name)].append(node)
    found = []
    for node in sorted({*renames, *makes} & names.keys()):
        d = renames.get(node) or makes[node]
        others = sorted(taken[tree.level[node], name_key(names[node])])
        if len(others) > 1 and node in others:
            other = next(o for o in others if o != node)
            group = [x for o in others if (x := renames.get(o) or makes.get(o))]
            fix = f"Take another name, or decide on {other}."
            what = f"another node of the level, {other}, has this name:"
            if group[0] is d or len({x.reviewer for x in group}) == 1:
                found.append((group, d.problem(what, fix, "target", names[node])))
    return found


def _claims(effective: list[Decision]) -> list[Conflict]:
    claims: dict[str, list[Decision]] = defaultdict(list)
    for decision in effective:
        for member in decision.members:
            claims[member].append(decision)
    found = []
    for member, group in claims.items():
        if len(group) > 1:
            last = max(group, key=order)
            rows = ", ".join(f"{d.file} row {d.row}" for d in group)
            what = f"several new nodes claim it ({rows}):"
            fix = "Leave it to one of them."
            found.append((group, last.problem(what, fix, "target", member)))
    return found
