"""Which decisions of a ledger count, and everything that can be wrong with them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from strata_labels.errors import Problem
from strata_labels.evidence import is_old_hash, read_seen
from strata_labels.review.conflicts import Conflicts, agreed, order
from strata_labels.review.decision import Decision
from strata_labels.review.known import KnownNodes
from strata_labels.review.ledger import WITHDRAW
from strata_labels.review.standing import latest, not_withdrawn, read_decisions

_NEEDS_TARGET = {"move", "merge", "split", "rename"}
_ONLY_NODES = {"merge", "split", "rename"}
_NEEDED = {
    "rename": "Write the new name.",
    "split": "Write the new node's name and what goes there: name|member|member.",
}


@dataclass(frozen=True)
class Sorted:
    """Decisions by what becomes of them. `effective` has at most one per subject and aspect.

    Attributes:
        disputed: decisions of reviewers who differ, together as they contradict each other.
        made: the nodes that splits make, by the decision to make them.
    """

    effective: list[Decision]
    disputed: list[list[Decision]]
    stale: list[Decision]
    gone: list[Decision]
    made: dict[str, Decision]
    problems: list[Problem]


class Checker:
    """Reads rows of a ledger or a sheet against what is known.

    Args:
        known: all nodes.
        rows: proposals, indexed by `row_id`.
        parent: the parent that a blank `keep` keeps, by row.
    """

    def __init__(self, known: KnownNodes, rows: pd.DataFrame, parent: pd.Series) -> None:
        self.known = known
        self._at = {row: n for n, row in enumerate(rows.index)}
        self._hash = rows.evidence_hash.fillna("").tolist()
        proposed = rows.proposed if "proposed" in rows else rows.parent
        self._proposed = proposed.fillna("").tolist()
        self._parent = parent.fillna("").tolist()
        self._suggestion = rows.suggestion.fillna("").tolist()

    def sort(self, decisions: pd.DataFrame) -> Sorted:
        """Finds the decisions that count.

        Of one reviewer's decisions on a subject the latest counts that was not withdrawn; one whose
        evidence has changed is stale and one whose subject is not there any more is gone: neither
        is applied. Where what is left of several reviewers differs, it is a dispute and none of it
        is applied; `unsure` gives way to any other decision. The order of the rows does not matter.
        """
        read, problems = read_decisions(decisions)
        standing, lost = not_withdrawn(read)
        problems += lost
        made = self.make_nodes(read)
        stale, gone, valid = [], [], []
        for decision in latest(standing):
            checked = self.check(decision)
            if self._is_gone(decision):
                gone.append(decision)
            elif self.is_stale(decision.row_id, decision.evidence_hash, decision.seen):
                stale.append(checked if isinstance(checked, Decision) else decision)
            elif isinstance(checked, Problem):
                problems.append(checked)
            else:
                valid.append(checked)
        effective, disputed = agreed(valid)
        found, more, wrong = Conflicts(self.known, made).settle(effective)
        return Sorted(
            effective=found,
            disputed=sorted(disputed + more, key=lambda group: order(group[0])),
            stale=sorted(stale, key=order),
            gone=sorted(gone, key=order),
            made=made,
            problems=problems + wrong,
        )

    def make_nodes(self, read: list[Decision]) -> dict[str, Decision]:
        """Makes the new names and nodes of renames and splits known, also of those not in force.

        Other decisions may name a node either way, and people's moves to a node that a split made
        hold whatever becomes of the split.
        """
        made: dict[str, Decision] = {}
        naming = [
            decision
            for decision in read
            if decision.decision in {"rename", "split"}
            if decision.target and decision.subject in self.known.level
        ]
        for decision in sorted(naming, key=order):
            if decision.decision == "rename":
                self.known.add_name(decision.subject, decision.target)
            elif decision.aspect != "split ":
                made[decision.made] = decision
        for node, decision in made.items():
            if node not in self.known.level:
                self.known.add(node, decision.subject, decision.target.split("|")[0].strip())
        return made

    def is_stale(self, row_id: str, evidence_hash: str, seen: str) -> bool:
        """Whether the row's evidence is not what was seen; a blank hash saw nothing.

        A hash of version 0.1.0 matches no hash of now: such a decision is stale if the place its
        reviewer saw is not the proposed one.
        """
        at = self._at.get(row_id)
        if not evidence_hash or at is None or self._hash[at] == evidence_hash:
            return False
        saw = read_seen(seen) if is_old_hash(evidence_hash) else None
        return saw is None or saw.place != self._proposed[at]

    def _is_gone(self, decision: Decision) -> bool:
        """Whether a decision that was made on a real row has lost its subject."""
        known = decision.row_id in self._at or decision.subject in self.known.level
        return bool(decision.evidence_hash) and not known

    def check(self, decision: Decision) -> Decision | Problem:
        """The decision with its target found, or what is wrong with subject or target."""
        known, target = self.known, decision.target

        def wrong(what: str, fix: str, column: str, value: object) -> Problem:
            return Problem(decision.where, what, fix, decision.row, column, value)

        is_node = decision.subject in known.level
        if not is_node and f"1:{decision.subject}" not in self._at:
            fix = "Name an item or a node that is in the tables."
            return wrong("unknown subject:", fix, "subject", decision.subject)
        own = known.level[decision.subject] if is_node else 0
        if decision.level != own + 1:
            what = f"the wrong level for a subject of level {own}:"
            return wrong(what, f"Write {own + 1}.", "level", decision.level)
        if decision.decision in _ONLY_NODES and not is_node:
            fix = "Decide keep, move, stop, exclude or unsure on an item."
            return wrong("only nodes can have this decision:", fix, "decision", decision.decision)
        if decision.decision in {"exclude", "unsure"} and target:
            fix = "Empty the cell; the note is free."
            return wrong(f"{decision.decision} takes no target:", fix, "target", target)
        if not target and decision.decision in _NEEDS_TARGET:
            fix = _NEEDED.get(decision.decision, "Name a node.")
            return wrong(f"{decision.decision} needs a target", fix, "target", None)
        if decision.decision in {"rename", "exclude", "unsure", WITHDRAW}:
            return decision
        if decision.decision == "split":
            return self._split(decision, own)
        if not target:
            found = self._default(decision)
            if not found:
                fix = "Decide move with a target, or unsure."
                return wrong(f"nothing is proposed to {decision.decision}", fix, "target", None)
            return decision._replace(target=found)
        levels = self._levels(decision, own)
        if not levels:
            return wrong("no level is above this one", "Decide something else.", "decision", "stop")
        found, what, fix = known.find(target, levels)
        if not found:
            return wrong(what, fix, "target", target)
        if found == decision.subject:
            what = f"a node cannot {decision.decision} onto itself:"
            return wrong(what, "Name another node.", "target", target)
        return decision._replace(target=found)

    def _split(self, decision: Decision, own: int) -> Decision | Problem:
        """The split with its members as ids, in order."""

        def wrong(what: str, fix: str, value: object) -> Problem:
            return Problem(decision.where, what, fix, decision.row, "target", value)

        name, *members = (part.strip() for part in decision.target.split("|"))
        if decision.aspect == "split ":
            return wrong("no name for the new node:", _NEEDED["split"], decision.target)
        found = set()
        for member in filter(None, members):
            if f"1:{member}" in self._at:
                found.add(member)
                continue
            node, what, fix = self.known.find(member, range(own - 1, 0, -1))
            if not node and own == 1:
                what, fix = "unknown item:", "Name an item below the node, by its id."
            if not node:
                return wrong(what, fix, member)
            found.add(node)
        return decision._replace(target="|".join([name, *sorted(found)]))

    def _levels(self, decision: Decision, own: int) -> Iterable[int]:
        if decision.decision == "merge":
            return [own]
        # An item that stops at its own class would only be moved there.
        first = 2 if decision.decision == "stop" and own == 0 else own + 1
        return range(first, self.known.top + 1)

    def _default(self, decision: Decision) -> str:
        """What a blank target means: the proposed parent, else the suggestion."""
        at = self._at.get(decision.row_id)
        if at is None:
            proposed = self.known.parent.get(decision.subject, "")
        else:
            proposed = self._parent[at] or self._suggestion[at]
        if decision.decision == "stop" and decision.subject not in self.known.level:
            return self.known.parent.get(proposed, "")
        return proposed
