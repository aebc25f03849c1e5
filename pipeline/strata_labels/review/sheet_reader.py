"""Reads the decisions of a review sheet: a CSV or a workbook that people filled in."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from strata_labels.errors import Problem, refuse
from strata_labels.evidence import Seen, evidence_hash, is_old_hash, write_seen
from strata_labels.people_csv import clean_cell, read_people_sheets, restore
from strata_labels.review.apply import Resolution
from strata_labels.review.conflicts import agreed, without_conflicts
from strata_labels.review.decisions import (
    DECISIONS,
    WITHDRAW,
    Decision,
    decisions_frame,
    overridden,
)
from strata_labels.review.sheet import EDITABLE, HASH_MARK, sheet_cell
from strata_labels.review.tree_edits import EditCheck
from strata_labels.review.validate import Checker


@dataclass(frozen=True)
class Sheet:
    """What people decided in a sheet.

    Attributes:
        decisions: `DECISION_COLUMNS`, targets as node ids: ready for `append`. Those whose evidence
            has changed since the sheet was written are among them, with the evidence they saw.
        stale: one problem for each of these: it is kept, shown as stale, and not applied.
        replaced: one problem for each decision that the ledger has, and that its reviewer has
            replaced since: it is not taken again.
    """

    decisions: pd.DataFrame
    stale: list[Problem]
    replaced: list[Problem]


def read_sheet(
    path: Path, resolution: Resolution, reviewer: str = "", decided_at: str = ""
) -> Sheet:
    """Reads the decisions of a sheet; a row without one is untouched.

    Only `row_id` and `decision` have to be there; rows and columns may be reordered, hidden or
    left out, and the file may come from a spreadsheet (see `read_people_csv`). Of a workbook, every
    sheet that has the two columns counts. Besides the open rows, any other row and any node may be
    decided on. Whether the decisions contradict the ledger is for `replay` to say, on both
    together, before they are appended.

    A `move` without a target is to the suggestion, where that is another place than the present;
    a `merge` without one is with the suggestion, where that is a node of the same level;
    `keep` and `stop` without one mean the place that the sheet shows. What the ledger says already
    is not taken again, so a sheet may be applied any number of times.

    Args:
        path: the sheet.
        resolution: from `replay` on the tables of now and the decisions of the ledger.
        reviewer: who decided, for rows whose cell is blank.
        decided_at: UTC time of the decisions, e.g. `2026-01-31T12:00:00Z`.

    Raises:
        InputError: every problem of the whole sheet, by row; nothing is taken then.
    """
    frames = read_people_sheets(path, ["row_id", "decision"], _Row._fields[3:], EDITABLE)
    rows = _SheetRows(resolution)
    when = datetime.fromisoformat(decided_at) if decided_at else datetime.fromtimestamp(0, UTC)
    read: list[Decision] = []
    problems: list[Problem] = []
    for where, frame in frames.items():
        for row in map(_Row._make, frame[frame.decision != ""].map(restore).itertuples()):
            wrong = rows.problems(where, row)
            who = row.reviewer or clean_cell(reviewer)
            if not who:
                fix = "Write who decided, or give --reviewer."
                wrong.append(Problem(where, "no reviewer", fix, row.line, "reviewer"))
            problems += wrong
            if all(problem.column not in ("row_id", "subject") for problem in wrong):
                read.append(rows.decision(row, who, decided_at, when, where))
    checker = rows.checker(read)
    known = _by_subject(resolution.read)
    edits = EditCheck(resolution, {decision.made for decision in read})
    accepted: dict[tuple[str, str, str], Decision] = {}
    stale, replaced = [], []
    for decision in read:
        if not decision.reviewer or decision.decision not in DECISIONS:
            continue
        old = checker.is_stale(decision)
        # A blank target means the place that the sheet shows.
        checked = checker.check(decision)
        if isinstance(checked, Problem):
            if not old:
                problems.append(checked)
                continue
            checked = decision
        elif not old and (refused := edits.problem(checked)):
            problems.append(refused)
            continue
        checked = rows.as_recorded(checked, old)
        earlier = known.get((checked.subject, checked.reviewer), [])
        if (by := _replaced(checked, earlier)) is not None:
            what = f"{checked} on {checked.row_id} is in the ledger; replaced on {by.decided_at} by"
            fix = "Decide it in a new sheet, or take the later decision back."
            replaced.append(checked.problem(f"{what}:", fix, "decision", str(by)))
            continue
        if old:
            what = f"the evidence for {checked.subject} has changed since this sheet was written;"
            fix = "It is in the ledger, and not applied. Decide it in the new sheet."
            stale.append(checked.problem(f"{what} kept as stale:", fix, "row_id", checked.row_id))
        first = accepted.setdefault((checked.row_id, checked.aspect, checked.reviewer), checked)
        if first.outcome != checked.outcome:
            at = (
                f"row {first.row}"
                if first.file == checked.file
                else f"{first.file}, row {first.row}"
            )
            what = f"contradicts {at} ({first}) on {checked.row_id}:"
            fix = "Keep one of the two."
            problems.append(checked.problem(what, fix, "decision", str(checked)))
    # Together a reviewer's decisions have to hold as well: no circle of merges, no name given
    # twice. Where reviewers differ it is a dispute, for `replay`.
    found = list(accepted.values())
    late = {(problem.where, problem.row) for problem in stale}
    fresh = [decision for decision in found if (decision.file, decision.row) not in late]
    problems += without_conflicts(agreed(fresh)[0], checker.tree, checker.made)[2]
    refuse(sorted(problems, key=_by_place))
    return Sheet(decisions_frame(found), stale, replaced)


def _by_place(problem: Problem) -> tuple[str, int, str, str]:
    return str(problem.where), problem.row or 0, problem.column or "", problem.what


class _Row(NamedTuple):
    """A row of a sheet as text."""

    line: int
    row_id: str
    decision: str
    target: str
    note: str
    reviewer: str
    evidence_hash: str
    subject: str
    current: str
    current_id: str
    suggestion_id: str


class _SheetRows:
    """The rows that a sheet's rows are about, as the tables have them.

    Args:
        resolution: the tables, with the ledger's decisions.
    """

    def __init__(self, resolution: Resolution) -> None:
        rows = resolution.rows.set_index("row_id", drop=False)
        self._resolution, self._rows = resolution, rows
        # Nodes about which nothing is proposed have no row: the top ones, and those people made.
        known = resolution.known
        nodes = sorted(n for n, own in known.level.items() if f"{own + 1}:{n}" not in rows.index)
        parents, none = [known.parent[node] for node in nodes], [""] * len(nodes)
        self._subjects = [*rows.subject, *nodes]
        self._levels = [*rows.level, *(known.level[node] + 1 for node in nodes)]
        self._own, self._suggested = [*rows.own, *parents], [*rows.suggestion.fillna(""), *none]
        self._proposed, self._evidence = (
            [*rows.proposed, *parents],
            [*rows.evidence, *([()] * len(nodes))],
        )
        self._parents = [*rows.parent, *parents]
        # With a hash, a decision on a node that a later build does not have is gone, not wrong.
        self._hashes = [*rows.evidence_hash.fillna("")]
        self._hashes += [evidence_hash(subject=node) for node in nodes]
        # The tables' own text is cleaned in the sheet: an id is looked up as it is written there.
        self.at = {
            clean_cell(f"{level}:{subject}"): n
            for n, (level, subject) in enumerate(zip(self._levels, self._subjects, strict=True))
        }
        self._by_path: dict[str, list[str]] = defaultdict(list)
        for tree in (resolution.tree, resolution.known):
            for node in tree.level:
                nodes = self._by_path[sheet_cell(tree.path_name(node))]
                nodes += [] if node in nodes else [node]

    def problems(self, where: str, row: _Row) -> list[Problem]:
        """What is wrong with the row, its subject or its decision."""
        line = row.line
        if row.row_id not in self.at:
            fix = "Take the row_id from a current sheet."
            return [Problem(where, "unknown row:", fix, line, "row_id", row.row_id)]
        subject = self._subjects[self.at[row.row_id]]
        if row.subject and row.subject != clean_cell(subject):
            what = f"the row of {subject}, but its subject is:"
            fix = "Take both cells from one row of the sheet."
            return [Problem(where, what, fix, line, "subject", row.subject)]
        if row.decision.casefold() not in DECISIONS:
            fix = f"Write one of {', '.join(DECISIONS)}."
            return [Problem(where, "unknown decision:", fix, line, "decision", row.decision)]
        return []

    def decision(self, row: _Row, who: str, decided_at: str, when: datetime, file: str) -> Decision:
        """The row's decision; its `seen` is the place that the sheet shows."""
        n = self.at[row.row_id]
        word, target = row.decision.casefold(), row.target
        # A suggestion of the subject's own level is a node to merge with, another one a parent.
        above = self._resolution.known.level.get(self._suggested[n], 0) >= self._levels[n]
        if word == ("move" if above else "merge") and not target:
            target = self._suggested[n] if self._suggested[n] != self._own[n] else ""
        place = self._place_shown(row) or row.suggestion_id
        digest = row.evidence_hash.removeprefix(HASH_MARK)
        if digest and is_old_hash(digest) and place == self._own[n]:
            place = self._proposed[n]  # which is what a hash of version 0.1.0 is compared by
        return Decision(
            self._subjects[n],
            self._levels[n],
            word,
            target,
            who,
            row.note,
            decided_at,
            digest,
            seen=write_seen(Seen(place)) if place else "",
            written=target,
            when=when,
            file=file,
            row=row.line,
        )

    def _place_shown(self, row: _Row) -> str:
        """The place in the sheet's cells `current_id` or `current`; else the proposed one."""
        n, known = self.at[row.row_id], self._resolution.known
        own, proposed = self._own[n], self._proposed[n]
        # A sheet whose present place is blank shows the suggestion alone.
        shown = row.current_id or row.suggestion_id
        found = [shown] if shown and not row.current else self._by_path.get(row.current, [])
        found = [row.current_id] if row.current_id else found
        if self._parents[n] in found:  # it shows the place of now, an item's as far as it counts
            return str(own)
        if not found or {proposed, *known.path(proposed)} & set(found):
            return str(proposed)
        return str(found[0])

    def checker(self, read: list[Decision]) -> Checker:
        """Checks decisions as `replay` will: on the tree before all decisions."""
        rows = self._rows.assign(own=self._rows.proposed, evidence=self._rows.known_before)
        found = self._resolution
        return Checker(found.known, rows, [*found.read, *read], found.lost)

    def as_recorded(self, decision: Decision, stale: bool) -> Decision:
        """The decision with the evidence of now, which it was made on unless it is stale."""
        if stale:
            return decision
        n = self.at[clean_cell(decision.row_id)]
        seen = write_seen(Seen(self._proposed[n], self._evidence[n]))
        return decision._replace(evidence_hash=self._hashes[n], seen=seen)


def _by_subject(decisions: list[Decision]) -> dict[tuple[str, str], list[Decision]]:
    found: dict[tuple[str, str], list[Decision]] = defaultdict(list)
    for decision in decisions:
        found[decision.subject, decision.reviewer].append(decision)
    return found


def _replaced(decision: Decision, earlier: list[Decision]) -> Decision | None:
    """The later decision by which the same reviewer has replaced this very one."""
    names = ("decision", "target", "note", "evidence_hash")
    same = [
        by
        for before, by in zip(earlier, overridden(earlier), strict=True)
        if all(getattr(before, name) == getattr(decision, name) for name in names)
    ]
    if not same or None in same:
        return None
    last = max((by for by in same if by is not None), key=lambda by: by.when)
    return None if last.decision == WITHDRAW else last
