"""What a ledger holds, by subject and by reviewer, kept in memory while lines are added to it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise

import pandas as pd

from strata_labels.evidence import same_hash
from strata_labels.review.decisions import WITHDRAW, Decision, overridden, parse_times, time_text
from strata_labels.review.ledger import BAR, unbatch_cells, unbatch_decisions

#: Cells of some rows by column, `DECISION_COLUMNS`.
Columns = dict[str, list[str]]

# Cells that make a decision the same as another of its reviewer on its subject.
SAME = ("decision", "target", "note", "evidence_hash")

# Later than any decision, for asking what a new one would override.
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


class LedgerIndex:
    """The rows of a ledger by subject and by reviewer.

    They are kept as columns, so that opening a long ledger makes no object a row. Rows whose time
    cannot be read are left out; `replay` refuses them, by line.
    """

    def __init__(self) -> None:
        names = ("subject", "level", "reviewer", "decided_at", *SAME)
        self._cells: dict[str, list[str]] = {name: [] for name in names}
        self._when: list[datetime] = []
        # A subject's last row, and for each row the one before it on its subject (or -1): in a
        # long ledger most subjects have one row.
        self._last: dict[str, int] = {}
        self._before: list[int] = []
        # Each reviewer's rows by time, those of one time in the order of the file.
        self._by_reviewer: dict[str, list[int]] = {}

    def add(self, columns: Columns) -> None:
        """Adds rows, in the order of the file; cells are clean, `DECISION_COLUMNS`."""
        if any(BAR in subject for subject in columns["subject"]):
            rows = unbatch_decisions(pd.DataFrame(columns))
            columns = {name: rows[name].tolist() for name in columns}
        times = parse_times(columns["decided_at"])
        if None in times:
            good = [n for n, when in enumerate(times) if when]
            columns = {name: [column[n] for n in good] for name, column in columns.items()}
        first = len(self._when)
        self._when += (when for when in times if when)
        for name, cells in self._cells.items():
            cells += columns[name]
        last, before, added = self._last, self._before, dict[str, list[int]]()
        for number, subject in enumerate(columns["subject"], first):
            before.append(last.get(subject, -1))
            last[subject] = number
        for number, reviewer in enumerate(columns["reviewer"], first):
            added.setdefault(reviewer, []).append(number)
        for reviewer, numbers in added.items():
            ordered = self._by_reviewer.setdefault(reviewer, [])
            joint = max(len(ordered) - 1, 0)
            ordered += numbers
            times_of = map(self._when.__getitem__, ordered[joint:])
            if any(later < earlier for earlier, later in pairwise(times_of)):
                ordered.sort(key=self._when.__getitem__)

    def now(self, reviewers: Iterable[str]) -> str:
        """The time of a new decision of theirs, see `time_text`."""
        last = [self._by_reviewer[who][-1] for who in reviewers if self._by_reviewer.get(who)]
        latest = max(map(self._when.__getitem__, last), default=None)
        return time_text(latest, datetime.now(UTC))

    def repeats(self, subject: str, reviewer: str, *same: str) -> bool:
        """Whether this very decision is active already, on every item that it names.

        Args:
            subject: id, or ids of several items.
            reviewer: who decides.
            same: the cells `SAME`.
        """
        if BAR not in subject and subject not in self._last:
            return False
        cells = {"subject": subject, "level": "", **dict(zip(SAME, same, strict=True))}
        return all(self._repeats(part, reviewer) for part in unbatch_cells(cells))

    def _repeats(self, cells: dict[str, str], reviewer: str) -> bool:
        new = _decision(cells, _END_OF_TIME)
        before = self._decisions(self._rows_of(cells["subject"], reviewer))
        changed = [
            old for old, by in zip(before, overridden([*before, new]), strict=False) if by is new
        ]
        if new.decision == WITHDRAW:
            # It repeats an earlier one if all that it names has been taken back before.
            return not changed and any(
                new.takes_back(old) for old in before if old.decision != WITHDRAW
            )
        return bool(changed) and all(
            (old.decision, old.target, old.note) == (new.decision, new.target, new.note)
            and same_hash(old.evidence_hash, new.evidence_hash)
            for old in changed
        )

    def latest_active(self, reviewer: str) -> list[tuple[str, str, str]]:
        """The reviewer's active decisions of the latest time that has any.

        Returns:
            `subject, level, decided_at` of each.
        """
        rows = self._by_reviewer.get(reviewer, [])
        end = len(rows)
        while end:
            start = end - 1
            while start and self._when[rows[start - 1]] == self._when[rows[end - 1]]:
                start -= 1
            active = [n for n in rows[start:end] if self._is_active(n)]
            if active:
                names = ("subject", "level", "decided_at")
                subject, level, time = (self._cells[name] for name in names)
                return [(subject[n], level[n], time[n]) for n in active]
            end = start
        return []

    def _is_active(self, number: int) -> bool:
        rows = self._rows_of(self._cells["subject"][number], self._cells["reviewer"][number])
        return overridden(self._decisions(rows))[rows.index(number)] is None

    def _rows_of(self, subject: str, reviewer: str) -> list[int]:
        found, number = [], self._last.get(subject, -1)
        while number >= 0:
            if self._cells["reviewer"][number] == reviewer:
                found.append(number)
            number = self._before[number]
        return found[::-1]

    def _decisions(self, rows: list[int]) -> list[Decision]:
        cells = self._cells
        return [
            _decision({name: cells[name][n] for name in ("subject", *SAME)}, self._when[n])
            for n in rows
        ]


def _decision(cells: dict[str, str], when: datetime) -> Decision:
    """A decision with what `overridden` and a comparison need."""
    return Decision(
        cells["subject"],
        0,
        cells["decision"].casefold(),
        cells["target"],
        "",
        cells["note"],
        evidence_hash=cells["evidence_hash"],
        written=cells["target"],
        when=when,
    )
