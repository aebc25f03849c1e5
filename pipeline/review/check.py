"""Which decisions of a ledger count, and everything that can be wrong with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from pipeline.errors import Problem
from pipeline.review.decision import Decision
from pipeline.review.known import KnownNodes, fold
from pipeline.review.ledger import DECISIONS, parse_time

_NEEDS_TARGET = {"move", "merge", "rename"}


@dataclass(frozen=True)
class Sorted:
    """Decisions by what becomes of them. `effective` has at most one per subject and aspect."""

    effective: list[Decision]
    stale: list[Decision]
    gone: list[Decision]
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

        Of one reviewer's decisions on a subject the latest counts; one whose evidence has changed
        is stale and one whose subject is not there any more is gone: neither is applied. What is
        left of two reviewers has to agree; `unsure` gives way to any other decision. The order of
        the rows does not matter.
        """
        problems: list[Problem] = []
        latest: dict[tuple[str, str, str], list[Decision]] = defaultdict(list)
        for row in decisions.to_dict("records"):
            found = self._read(row)
            if isinstance(found, list):
                problems += found
                continue
            kept = latest[found.subject, found.aspect, found.reviewer]
            if kept and kept[0].when < found.when:
                kept.clear()
            if not kept or kept[0].when == found.when:
                kept.append(found)
            if found.decision == "rename" and found.target and found.subject in self.known.level:
                # Other decisions may name the node either way.
                self.known.add_name(found.subject, found.target)
        stale, gone = [], []
        by_subject: dict[tuple[str, str], list[Decision]] = defaultdict(list)
        for key in sorted(latest):
            for decision in latest[key]:
                is_gone = self._is_gone(decision)
                is_stale = self.is_stale(decision.row_id, decision.evidence_hash)
                checked = self.check(decision)
                if is_gone:
                    gone.append(decision)
                elif is_stale:
                    stale.append(checked if isinstance(checked, Decision) else decision)
                elif isinstance(checked, Problem):
                    problems.append(checked)
                else:
                    by_subject[key[:2]].append(checked)
        effective = []
        for group in by_subject.values():
            settled = [decision for decision in group if decision.decision != "unsure"] or group
            first = min(settled, key=_order)
            effective.append(first)
            problems += [
                _contradiction(first, other) for other in settled if other.outcome != first.outcome
            ]
        problems += self.together(effective)
        return Sorted(effective, sorted(stale, key=_order), sorted(gone, key=_order), problems)

    def together(self, effective: list[Decision]) -> list[Problem]:
        """What is wrong with decisions only as a whole: merges in a circle, a name twice."""
        return self._circles(effective) + self._same_names(effective)

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
        if decision.decision in {"merge", "rename"} and not is_node:
            fix = "Decide keep, move, stop, exclude or unsure on an item."
            return wrong("only nodes can have this decision:", fix, "decision", decision.decision)
        if decision.decision in {"exclude", "unsure"} and target:
            fix = "Empty the cell; the note is free."
            return wrong(f"{decision.decision} takes no target:", fix, "target", target)
        if not target and decision.decision in _NEEDS_TARGET:
            fix = "Write the new name." if decision.decision == "rename" else "Name a node."
            return wrong(f"{decision.decision} needs a target", fix, "target", None)
        if decision.decision == "rename" or decision.decision in {"exclude", "unsure"}:
            return decision
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

    def _circles(self, effective: list[Decision]) -> list[Problem]:
        merges = {d.subject: d for d in effective if d.decision == "merge"}
        problems, seen = [], set[str]()
        for start in sorted(merges):
            path = [start]
            while path[-1] in merges and path[-1] not in seen:
                seen.add(path[-1])
                path.append(merges[path[-1]].target)
            if path[-1] in path[:-1]:
                circle = [merges[node] for node in path[path.index(path[-1]) : -1]]
                rows = ", ".join(f"{d.where} row {d.row}" for d in circle)
                last = max(circle, key=_order)
                what = f"merges go in a circle ({rows}):"
                text = " into ".join(path[path.index(path[-1]) :])
                fix = "Take one of them back: decide keep on its subject."
                problems.append(Problem(last.where, what, fix, last.row, "target", text))
        return problems

    def _same_names(self, effective: list[Decision]) -> list[Problem]:
        renames = {d.subject: d for d in effective if d.decision == "rename"}
        merged = {d.subject for d in effective if d.decision == "merge"}
        names = self.known.name | {node: d.target for node, d in renames.items()}
        taken: dict[tuple[int, str], list[str]] = defaultdict(list)
        for node, name in names.items():
            if node not in merged:
                taken[self.known.level[node], fold(name)].append(node)
        problems = []
        for node, d in renames.items():
            others = taken[self.known.level[node], fold(d.target)]
            if len(others) > 1 and node in others:
                other = next(o for o in others if o != node)
                fix = f"Take another name, or merge into {other}."
                what = "another node of the level has this name:"
                problems.append(Problem(d.where, what, fix, d.row, "target", d.target))
        return problems


def _with(decision: Decision, target: str) -> Decision:
    return Decision(**{**decision.__dict__, "target": target})


def _order(decision: Decision) -> tuple[str, str, datetime, str, str]:
    return decision.subject, decision.aspect, decision.when, decision.reviewer, decision.said


def _contradiction(one: Decision, other: Decision) -> Problem:
    what = f"contradicts {one.where} row {one.row} ({one}) on {one.row_id}:"
    fix = "Let one of the two append a later decision that agrees."
    return Problem(other.where, what, fix, other.row, "decision", str(other))
