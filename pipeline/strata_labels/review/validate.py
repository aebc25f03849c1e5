"""Validating decisions: which of the active ones can be applied, and everything wrong with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from strata_labels.errors import Problem, refuse
from strata_labels.evidence import (
    NAME_REASONS,
    has_reason,
    is_old_hash,
    read_seen,
    same_hash,
)
from strata_labels.review.carry_over import (
    LostNode,
    carry_over,
    follow_made,
    made_nodes,
    rename_nodes,
    saw_the_same,
)
from strata_labels.review.conflicts import agreed, without_conflicts
from strata_labels.review.decisions import (
    MAKES_NODE,
    ONLY_NODES,
    SAME,
    WITHDRAW,
    Decision,
    active_decisions,
    join_members,
    order,
    read_decisions,
)
from strata_labels.tree import UNKNOWN_NODE, LabelTree, NodeFinder

_NEEDS_TARGET = {"move", "merge", "rename", "describe", *MAKES_NODE, SAME}
#: What can be decided on a node that is not in the tree any more.
_ON_LOST = (SAME, "exclude", "unsure")
#: Without a target these mean the place that their reviewer saw.
_MEANS_PLACE_SEEN = {"keep", "stop"}
_NEEDED = {
    "rename": "Write the new name.",
    "describe": "Write what belongs to the node: words and phrases, with commas between.",
    "split": "Write the new node's name and what goes there: name|member|member.",
    "create": "Write the new node's name, and what goes there, if anything: name|member|member.",
}


@dataclass(frozen=True)
class Validated:
    """Decisions by what becomes of them. `effective` has at most one per subject and aspect.

    Attributes:
        effective: to be applied.
        disputed: decisions of reviewers who differ, in groups that contradict each other.
        stale: made on evidence that has changed.
        gone: whose subject is not in the data any more.
        lost: nodes that decisions name and that are not in the tree any more, by id.
        renamed: id of now by former id, of nodes that were found or that people have named.
        problems: what is wrong with the others.
        read: all that were read, also those that are not active, with ids of now.
    """

    effective: list[Decision]
    disputed: list[list[Decision]]
    stale: list[Decision]
    gone: list[Decision]
    lost: dict[str, LostNode]
    renamed: dict[str, str]
    problems: list[Problem]
    read: list[Decision]


class Checker:
    """Checks decisions against the tree and the rows they are on.

    Args:
        tree: all nodes.
        rows: proposals, indexed by `row_id`: `evidence_hash, proposed, own, suggestion, evidence`.
            Before a build nothing is proposed yet: without these columns, nothing is checked
            against them.
        decisions: all that were read; those that make or rename a node, also those that are not
            active, give nodes and names that other decisions may use.
        lost: nodes that are not in the tree any more, by id.

    Attributes:
        tree: with the nodes that decisions make.
        made: these nodes by the decision that makes them.
    """

    def __init__(
        self,
        tree: LabelTree,
        rows: pd.DataFrame,
        decisions: Iterable[Decision] = (),
        lost: Mapping[str, LostNode] | None = None,
    ) -> None:
        decisions, self._lost = list(decisions), lost or {}
        self.made = made_nodes(tree.level, decisions)
        new = {node: d for node, d in self.made.items() if node not in tree.level}
        if new:
            level, parent = {**tree.level}, {**tree.parent}
            for node, decision in new.items():
                beside = decision.decision == "split"
                level[node] = level[decision.subject] - (not beside)
                parent[node] = parent[decision.subject] if beside else decision.subject
            name = {**tree.name, **{node: d.new_name for node, d in new.items()}}
            tree = LabelTree(level, name, parent, {**tree.qid, **dict.fromkeys(new, "")})
        self.tree = tree
        names = [(d.subject, d.target) for d in decisions if d.decision == "rename" and d.target]
        names = [pair for pair in names if pair[0] in tree.level]
        self._find = NodeFinder(tree, names).find
        self._at = {row: n for n, row in enumerate(rows.index)}
        self._columns: dict[str, list[str]] | None = None
        # Rows that ask for a node's name, and may have no parent to keep.
        self._names = {f"{level + 1}:{n}" for n, level in tree.level.items() if level == tree.top}
        if "reasons" in rows:
            self._names |= set(rows.index[has_reason(rows.reasons, *NAME_REASONS)])
        if "evidence_hash" in rows:
            names_of = ("evidence_hash", "proposed", "own", "suggestion")
            self._columns = {name: rows[name].fillna("").tolist() for name in names_of}
            self._evidence = rows["evidence"].tolist() if "evidence" in rows else [()] * len(rows)

    def is_stale(self, decision: Decision) -> bool:
        """Whether a row's evidence has changed since a decision; a blank hash never has.

        A hash of version 0.1.0 may have been made of sentences, which no hash is made of now: if it
        is not the row's, the decision is stale only if the place its reviewer saw is not the
        proposed one. A `keep` or `stop` without a target is stale too if the place that was seen is
        not in the tree any more.
        """
        if self.names_lost(decision):
            return True
        at = self._at.get(decision.row_id)
        if at is None or self._columns is None:
            return False
        if not decision.target and decision.decision in _MEANS_PLACE_SEEN:
            saw = read_seen(decision.seen)
            if saw is not None and saw.place and saw.place not in self.tree.level:
                return True
        if not decision.evidence_hash or same_hash(
            decision.evidence_hash, self._columns["evidence_hash"][at]
        ):
            return False
        if not is_old_hash(decision.evidence_hash):
            digest = self._columns["evidence_hash"][at]
            return not saw_the_same(decision, digest, self._evidence[at])
        saw = read_seen(decision.seen)
        return saw is None or saw.place != self._columns["proposed"][at]

    def is_gone(self, decision: Decision) -> bool:
        """Whether a decision that was made on a real row or node has lost its subject."""
        if decision.decision == SAME or decision.subject in self._lost:
            return True
        known = decision.row_id in self._at or decision.subject in self.tree.level
        return bool(decision.evidence_hash) and not known

    def names_lost(self, decision: Decision) -> bool:
        """Whether a decision needs a node that is not in the tree any more."""
        return any(node in self._lost for node in (decision.target, *decision.members))

    def check(self, decision: Decision) -> Decision | Problem:
        """The decision with its target found, or what is wrong with subject or target."""
        tree, target, wrong = self.tree, decision.target, decision.problem
        if decision.subject in self._lost:
            return self._on_lost(decision)
        is_node = decision.subject in tree.level
        if decision.decision == SAME:
            fix = "Decide it on a node that decisions name and that is not in the tree any more."
            return wrong("nothing is the same as:", fix, "subject", decision.subject)
        if not is_node and f"1:{decision.subject}" not in self._at:
            fix = "Name an item or a node that is in the tables."
            return wrong("unknown subject:", fix, "subject", decision.subject)
        own = tree.level[decision.subject] if is_node else 0
        if decision.level != own + 1:
            what = f"the wrong level for a subject of level {own}:"
            return wrong(what, f"Write {own + 1}.", "level", decision.level)
        if decision.decision in ONLY_NODES and not is_node:
            fix = "Decide keep, move, stop, exclude or unsure on an item."
            return wrong("only nodes can have this decision:", fix, "decision", decision.decision)
        if decision.decision in {"exclude", "unsure"} and target:
            fix = "Empty the cell; the note is free."
            return wrong(f"{decision.decision} takes no target:", fix, "target", target)
        if not target and decision.decision in _NEEDS_TARGET:
            fix = _NEEDED.get(decision.decision, "Name a node.")
            return wrong(f"{decision.decision} needs a target", fix, "target")
        if decision.decision == "create" and own < 2:
            fix = "Create a node below one of level 2 or above; items are moved there."
            return wrong("only items are below a node of level 1:", fix, "decision", "create")
        if decision.decision in {"rename", "describe", "exclude", "unsure", WITHDRAW}:
            return decision
        if decision.decision in MAKES_NODE:
            return self._makes_node(decision, own - (decision.decision == "create"))
        if not target:
            found = self._place_seen(decision, own)
            if found is None and decision.decision == "keep" and decision.row_id in self._names:
                return decision
            if found is None:
                fix = "Decide move with a target, or unsure."
                return wrong(f"nothing is proposed to {decision.decision}", fix, "target")
            return decision._replace(target=found)
        levels = self._levels(decision, own)
        if not levels:
            return wrong("no level is above this one", "Decide something else.", "decision", "stop")
        found, what, fix = self._find(target, levels)
        if not found:
            return wrong(what, fix, "target", target)
        if found == decision.subject:
            what = f"a node cannot {decision.decision} onto itself:"
            return wrong(what, "Name another node.", "target", target)
        return decision._replace(target=found)

    def _on_lost(self, decision: Decision) -> Decision | Problem:
        """As `check`, on a node that is not in the tree any more."""
        column, value, target = "decision", decision.decision, decision.target
        what, fix = "the node is not in the tree any more:", f"Decide {', '.join(_ON_LOST)}."
        if value == SAME:
            level = self._lost[decision.subject].level
            levels = sorted(range(1, self.tree.top + 1), key=lambda one: (one != level, one))
            found, what, fix = self._find(target, levels)
            if found or (target in self._lost and target != decision.subject):
                return decision._replace(target=found or target)
            column, value = "target", target
            if not target:
                what, fix = "same needs a target", "Name the node that takes its place."
        elif value in _ON_LOST and target:
            what, fix = f"{value} takes no target:", "Empty the cell; the note is free."
            column, value = "target", target
        elif value in _ON_LOST:
            return decision
        return decision.problem(what, fix, column, value or None)

    def _makes_node(self, decision: Decision, own: int) -> Decision | Problem:
        """A `split` or `create` of a node of level `own`, with its members as ids, in order."""
        name = decision.new_name
        members = [part.strip() for part in decision.target.split("|")[1:]]
        if not decision.made:
            fix = _NEEDED[decision.decision]
            return decision.problem("no name for the new node:", fix, "target", decision.target)
        found = set()
        for written, member in zip(members, decision.members, strict=True):
            if not written:
                continue
            # An id may hold what stands for a bar.
            as_written = f"1:{written}" in self._at or written in self.tree.level
            member = written if as_written else member.strip()
            if f"1:{member}" in self._at:
                found.add(member)
                continue
            node, what, fix = self._find(member, range(own - 1, 0, -1))
            if not node and own == 1:
                what, fix = "unknown item:", "Name an item below the node, by its id."
            if not node:
                fix += " Write %7C for a | in an id or a name."
                return decision.problem(what, fix, "target", written)
            found.add(node)
        return decision._replace(target=join_members(name, sorted(found)))

    def _levels(self, decision: Decision, own: int) -> range:
        if decision.decision == "merge":
            return range(own, own + 1)
        # An item that stops at its own class would only be moved there.
        first = 2 if decision.decision == "stop" and own == 0 else own + 1
        return range(first, self.tree.top + 1)

    def _place_seen(self, decision: Decision, own: int) -> str | None:
        """What a blank target means: the place that the reviewer saw.

        If the ledger does not say it, the row's present parent, or its suggestion. "" if it is not
        known: before a build, or if the place is not in the tree any more (the decision is stale
        then). None if there is no place; a node to merge with, of the same level `own`, is none.
        """
        tree, at = self.tree, self._at.get(decision.row_id)
        saw = read_seen(decision.seen)
        if saw is not None and saw.place:
            if saw.place not in tree.level:
                return ""
            place = saw.place
        elif self._columns is None:
            return ""
        elif at is None:
            place = tree.parent.get(decision.subject, "")
        else:
            place = self._columns["own"][at] or self._columns["suggestion"][at]
        # Where an item's label stops above the first level, no finer is not coarser.
        on_item = decision.subject not in tree.level and tree.level.get(place) == 1
        if decision.decision == "stop" and on_item:
            place = tree.parent.get(place, "")
        return place if tree.level.get(place, 0) > own else None


def validate(
    decisions: pd.DataFrame, tree: LabelTree, rows: pd.DataFrame
) -> tuple[Validated, Checker]:
    """Sorts the decisions of ledgers by what becomes of them.

    What they name is found in the data of now, see `carry_over`. A decision whose evidence has
    changed, or that names a lost node, is stale and one whose subject is not there any more is
    gone: neither is applied. A decision `same` on a lost node brings back those that name it.
    Where active decisions of several reviewers differ, it is a dispute and none of them is
    applied; `unsure` gives way to any other decision. The order of the rows does not matter.

    Args:
        decisions: `Ledger.decisions`.
        tree: all nodes.
        rows: see `Checker`.

    Returns:
        The decisions, and the checker of the tree with the nodes that splits make.
    """
    read, problems = read_decisions(decisions)
    carried = carry_over(read, tree, rows)
    active, without = active_decisions(carried.decisions)
    problems += without
    checker = Checker(tree, rows, carried.decisions, carried.lost)
    groups, replaced = _on_lost_nodes(active, checker, carried.lost)
    on_lost = {id(d) for d in active if d.subject in carried.lost and d.decision in _ON_LOST}
    read, lost_nodes, levels = carried.decisions, carried.lost, tree.level
    if replaced:
        named = replaced
        replaced, levels = follow_made(read, replaced, tree.level)
        read = [rename_nodes(decision, replaced, levels) for decision in read]
        # What was made below a lost node is found with it.
        lost_nodes = {n: lost for n, lost in lost_nodes.items() if n in named or n not in replaced}
        checker = Checker(tree, rows, read, lost_nodes)
    stale, gone, valid = [], [], []
    for decision in active:
        if id(decision) in on_lost:
            continue
        decision = rename_nodes(decision, replaced, levels) if replaced else decision
        checked = checker.check(decision)
        if checker.is_gone(decision):
            gone.append(decision)
        elif checker.is_stale(decision):
            stale.append(checked if isinstance(checked, Decision) else decision)
        elif isinstance(checked, Problem):
            problems.append(checked)
        else:
            valid.append(checked)
    effective, disputed = agreed(valid)
    found, more, wrong = without_conflicts(effective, checker.tree, checker.made)
    for group in groups:
        if len({decision.outcome for decision in group}) > 1:
            more.append(group)
        else:
            found.append(group[0])
    return Validated(
        effective=found,
        disputed=sorted(disputed + more, key=lambda group: order(group[0])),
        stale=sorted(stale, key=order),
        gone=sorted(gone, key=order),
        lost=lost_nodes,
        renamed={**carried.renamed, **replaced},
        problems=problems + wrong,
        read=read,
    ), checker


def _on_lost_nodes(
    active: list[Decision], checker: Checker, lost: Mapping[str, LostNode]
) -> tuple[list[list[Decision]], dict[str, str]]:
    """What is decided on lost nodes.

    Returns:
        The latest decision of each reviewer, those on one node together, without `unsure` where
        others are sure; and the node that takes a lost one's place, where they agree on one.
    """
    latest: dict[str, dict[str, Decision]] = defaultdict(dict)
    for decision in sorted(active, key=lambda d: d.when):
        if decision.subject in lost and decision.decision in _ON_LOST:
            checked = checker.check(decision)
            if isinstance(checked, Decision):
                latest[decision.subject][decision.reviewer] = checked
    groups, step = [], {}
    for subject, by_reviewer in sorted(latest.items()):
        group = sorted(by_reviewer.values(), key=order)
        groups.append([d for d in group if d.decision != "unsure"] or group)
        if {d.decision for d in groups[-1]} == {SAME} and len({d.target for d in groups[-1]}) == 1:
            step[subject] = groups[-1][0].target
    return groups, {node: end for node in step if (end := _end(step, node)) not in lost}


def _end(step: Mapping[str, str], node: str) -> str:
    """Where the steps from a node end; in a circle, any node of it."""
    seen = {node}
    while node in step and step[node] not in seen:
        node = step[node]
        seen.add(node)
    return node


def undisputed(decisions: pd.DataFrame, tree: LabelTree | None = None) -> list[Decision]:
    """The active decisions that no other reviewer contradicts, with targets as written.

    Args:
        decisions: `Ledger.decisions`; rows that cannot be read are left out.
        tree: nodes to which the decisions are carried over first, see `carry_over`.
    """
    read = read_decisions(decisions)[0]
    if tree is None:
        return agreed(active_decisions(read)[0])[0]
    carried = carry_over(read, tree, pd.DataFrame(index=pd.Index([], dtype=object)))
    active = active_decisions(carried.decisions)[0]
    checker = Checker(tree, pd.DataFrame(), lost=carried.lost)
    replaced = _on_lost_nodes(active, checker, carried.lost)[1]
    return agreed([rename_nodes(decision, replaced, tree.level) for decision in active])[0]


def check_before_build(
    decisions: pd.DataFrame, items: Iterable[str], tree: LabelTree, complete: bool
) -> None:
    """Checks a ledger against what is known before a build: items and nodes, but no proposals.

    Args:
        decisions: `Ledger.decisions`.
        items: ids of the items.
        tree: the nodes that are known.
        complete: whether no stage can find further nodes. If one can, a decision may name a node
            that is not known yet.

    Raises:
        InputError: everything that no stage can mend.
    """
    subjects = [f"1:{item}" for item in items]
    subjects += [f"{level + 1}:{node}" for node, level in tree.level.items() if level < tree.top]
    problems = validate(decisions, tree, pd.DataFrame(index=subjects))[0].problems
    if not complete:
        problems = [p for p in problems if p.what != UNKNOWN_NODE]
    refuse(problems)
