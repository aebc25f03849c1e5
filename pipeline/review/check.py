"""Which decisions of a ledger count, and everything that can be wrong with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.errors import Problem
from pipeline.review.conflicts import Conflicts, agreed, order
from pipeline.review.decision import Decision
from pipeline.review.known import KnownNodes
from pipeline.review.ledger import DECISIONS, WITHDRAW, parse_time

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
        self._parent = parent.fillna("").tolist()
        self._suggestion = rows.suggestion.fillna("").tolist()

    def sort(self, decisions: pd.DataFrame) -> Sorted:
        """Finds the decisions that count.

        Of one reviewer's decisions on a subject the latest counts that was not withdrawn; one whose
        evidence has changed is stale and one whose subject is not there any more is gone: neither
        is applied. Where what is left of several reviewers differs, it is a dispute and none of it
        is applied; `unsure` gives way to any other decision. The order of the rows does not matter.
        """
        read, problems = self._read_all(decisions)
        standing, lost = _not_withdrawn(read)
        problems += lost
        made = self.make_nodes(read)
        stale, gone, valid = [], [], []
        for decision in _latest(standing):
            checked = self.check(decision)
            if self._is_gone(decision):
                gone.append(decision)
            elif self.is_stale(decision.row_id, decision.evidence_hash):
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

    def _read_all(self, decisions: pd.DataFrame) -> tuple[list[Decision], list[Problem]]:
        read, problems = [], []
        for row in decisions.to_dict("records"):
            found = self._read(row)
            if isinstance(found, list):
                problems += found
            else:
                read.append(found)
        return read, problems

    def make_nodes(self, read: list[Decision]) -> dict[str, Decision]:
        """Makes the new names and nodes of renames and splits known, also of those not in force.

        Other decisions may name a node either way, and people's moves to a node that a split made
        hold whatever becomes of the split.
        """
        made: dict[str, Decision] = {}
        for decision in sorted(read, key=order):
            if decision.subject not in self.known.level or not decision.target:
                continue
            if decision.decision == "rename":
                self.known.add_name(decision.subject, decision.target)
            elif decision.decision == "split" and decision.aspect != "split ":
                made[decision.made] = decision
        for node, decision in made.items():
            if node not in self.known.level:
                self.known.add(node, decision.subject, decision.target.split("|")[0].strip())
        return made

    def is_stale(self, row_id: str, evidence_hash: str) -> bool:
        """Whether the row's evidence is not what was seen; a blank hash saw nothing."""
        at = self._at.get(row_id)
        return bool(evidence_hash) and at is not None and self._hash[at] != evidence_hash

    def _is_gone(self, decision: Decision) -> bool:
        """Whether a decision that was made on a real row has lost its subject."""
        known = decision.row_id in self._at or decision.subject in self.known.level
        return bool(decision.evidence_hash) and not known

    def _read(self, row: dict[Any, Any]) -> Decision | list[Problem]:
        """A row whose reviewer, time, decision and row id can be read, or what is wrong."""
        cells = {key: "" if pd.isna(value) else str(value) for key, value in row.items()}
        where = cells.get("file") or "decisions"
        line = int(cells["row"]) if cells.get("row") else None

        def wrong(what: str, fix: str, column: str) -> Problem:
            return Problem(where, what, fix, line, column, cells.get(column, ""))

        problems = []
        word = cells["decision"].casefold()
        if word not in DECISIONS:
            fix = f"Write one of {', '.join(DECISIONS)}."
            problems.append(wrong("unknown decision:", fix, "decision"))
        if not cells["reviewer"]:
            problems.append(wrong("no reviewer", "Write who decided.", "reviewer"))
        when = parse_time(cells["decided_at"])
        if when is None:
            fix = "Write a time such as 2026-01-31T12:00:00Z."
            problems.append(wrong("not a time:", fix, "decided_at"))
        subject, level = cells["subject"], cells["level"]
        row_id = cells.get("row_id", "")
        if word == WITHDRAW and cells["target"] and parse_time(cells["target"]) is None:
            fix = "Write the decided_at of the decision to take back, or leave it blank."
            problems.append(wrong("not a time:", fix, "target"))
        if not subject and ":" in row_id:
            level, subject = row_id.split(":", 1)
        if not subject:
            problems.append(wrong("no subject", "Name an item or a node.", "subject"))
        elif not level.isdecimal():
            problems.append(wrong("not a level:", "Write a whole number.", "level"))
        elif row_id and row_id != f"{int(level)}:{subject}":
            fix = f"Write {int(level)}:{subject}, or mend subject and level."
            problems.append(wrong("another row than subject and level say:", fix, "row_id"))
        if problems or when is None:
            return problems
        return Decision(
            subject=subject,
            level=int(level),
            decision=word,
            target=cells["target"],
            reviewer=cells["reviewer"],
            note=cells.get("note", ""),
            decided_at=cells["decided_at"],
            evidence_hash=cells.get("evidence_hash", ""),
            seen=cells.get("seen", ""),
            said=cells["target"],
            when=when,
            where=where,
            row=line,
        )

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
            return _with(decision, found)
        levels = self._levels(decision, own)
        if not levels:
            return wrong("no level is above this one", "Decide something else.", "decision", "stop")
        found, what, fix = known.find(target, levels)
        if not found:
            return wrong(what, fix, "target", target)
        if found == decision.subject:
            what = f"a node cannot {decision.decision} onto itself:"
            return wrong(what, "Name another node.", "target", target)
        return _with(decision, found)

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
        return _with(decision, "|".join([name, *sorted(found)]))

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


def _with(decision: Decision, target: str) -> Decision:
    return Decision(**{**decision.__dict__, "target": target})


def _not_withdrawn(read: list[Decision]) -> tuple[list[Decision], list[Problem]]:
    """The decisions that nobody has taken back, and the withdrawals that took nothing back."""
    mine: dict[tuple[str, str], list[Decision]] = defaultdict(list)
    for decision in read:
        if decision.decision != WITHDRAW:
            mine[decision.subject, decision.reviewer].append(decision)
    taken, problems = set[int](), []
    for withdrawal in (decision for decision in read if decision.decision == WITHDRAW):
        target = parse_time(withdrawal.target)
        found = [
            id(decision)
            for decision in mine[withdrawal.subject, withdrawal.reviewer]
            if (decision.when == target if target else decision.when < withdrawal.when)
        ]
        taken.update(found)
        if not found:
            what = f"nothing of {withdrawal.reviewer}'s to take back on {withdrawal.row_id}"
            fix = "Name the decided_at of that reviewer's decision, or remove this row."
            where, value = withdrawal.where, withdrawal.target or None
            problems.append(Problem(where, what, fix, withdrawal.row, "target", value))
    kept = [d for d in read if d.decision != WITHDRAW and id(d) not in taken]
    return kept, problems


def _latest(standing: list[Decision]) -> list[Decision]:
    """Each reviewer's latest on each aspect of a subject; several if they are of one moment."""
    latest: dict[tuple[str, str, str], list[Decision]] = defaultdict(list)
    for decision in sorted(standing, key=order):
        kept = latest[decision.subject, decision.aspect, decision.reviewer]
        if kept and kept[0].when < decision.when:
            kept.clear()
        # A line that a merge has doubled is one decision.
        if not any((one.decision, one.said) == (decision.decision, decision.said) for one in kept):
            kept.append(decision)
    return [decision for key in sorted(latest) for decision in latest[key]]
