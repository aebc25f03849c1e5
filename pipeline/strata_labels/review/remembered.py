"""What a ledger says, by subject and by reviewer, for the writer of the next decision."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise

import pandas as pd

from strata_labels.review.decision import aspect_of
from strata_labels.review.ledger import WITHDRAW, parse_time, parse_times, time_text
from strata_labels.review.together import BAR, spread, spread_cells

#: Cells that make a decision the same as another, besides subject, aspect and reviewer.
_SAME = ("decision", "target", "note", "evidence_hash")

#: Cells that `Remembered.says` asks for, in its order.
SAYS = ("subject", "reviewer", *_SAME)


class Remembered:
    """The rows of a ledger, as columns, so that opening a long one makes no object a row.

    Rows whose time cannot be read are passed over; `replay` refuses them, by row.
    """

    def __init__(self) -> None:
        self._cells: dict[str, list[str]] = {name: [] for name in (*SAYS, "level", "decided_at")}
        self._when: list[datetime] = []
        self._withdraws: list[bool] = []
        # A subject's last row, and before each row the one before it on its subject (or -1).
        self._last: dict[str, int] = {}
        self._before: list[int] = []
        # A reviewer's decisions by time, those of one time in the order of the file.
        self._by_time: dict[str, list[int]] = {}
        self._latest: dict[str, datetime] = {}

    def add(self, columns: dict[str, list[str]]) -> None:
        """Adds rows, in the order of the file; cells are clean, `DECISION_COLUMNS`.

        A line on several items is remembered item by item.
        """
        if any(BAR in subject for subject in columns["subject"]):
            rows = spread(pd.DataFrame(columns))
            columns = {name: rows[name].tolist() for name in columns}
        times = parse_times(columns["decided_at"])
        if None in times:
            good = [n for n, when in enumerate(times) if when]
            columns = {name: [column[n] for n in good] for name, column in columns.items()}
        first = len(self._when)
        self._when += (when for when in times if when)
        for name, cells in self._cells.items():
            cells += columns[name]
        word = {text: text.casefold() == WITHDRAW for text in set(columns["decision"])}
        self._withdraws += (word[text] for text in columns["decision"])
        last, before = self._last, self._before
        for number, subject in enumerate(columns["subject"], first):
            before.append(last.get(subject, -1))
            last[subject] = number
        added: dict[str, list[int]] = {who: [] for who in dict.fromkeys(columns["reviewer"])}
        for number, who in enumerate(columns["reviewer"], first):
            added[who].append(number)
        for who, numbers in added.items():
            latest = max(map(self._when.__getitem__, numbers))
            self._latest[who] = max(latest, self._latest.get(who, latest))
            self._put_in_time(who, [n for n in numbers if not self._withdraws[n]])

    def _put_in_time(self, reviewer: str, numbers: list[int]) -> None:
        ordered = self._by_time.setdefault(reviewer, [])
        joint = max(len(ordered) - 1, 0)
        ordered += numbers
        times = map(self._when.__getitem__, ordered[joint:])
        if any(later < earlier for earlier, later in pairwise(times)):
            ordered.sort(key=self._when.__getitem__)

    def now(self, reviewers: Iterable[str]) -> str:
        """The time of a new decision of theirs, see `time_text`."""
        latest = [self._latest[who] for who in reviewers if who in self._latest]
        return time_text(max(latest, default=None), datetime.now(UTC))

    def says(self, subject: str, reviewer: str, *said: str) -> bool:
        """Whether the reviewer's latest standing decision is this very one, on all it names.

        Args:
            said: `decision, target, note, evidence_hash`.
        """
        line = {"subject": subject, "evidence_hash": said[3], "level": ""}
        return all(
            self._says(part["subject"], reviewer, *said[:3], part["evidence_hash"])
            for part in spread_cells(line)
        )

    def _says(self, subject: str, reviewer: str, *said: str) -> bool:
        word, target = said[0].casefold(), said[1]
        made, withdrawn = self._of(subject, reviewer)
        if word == WITHDRAW:
            when = parse_time(target)
            named = [n for n in made if when is None or self._when[n] == when]
            return bool(named) and not any(self._stands(n, withdrawn) for n in named)
        about = aspect_of(word, target)
        standing = [
            n
            for n in made
            if aspect_of(self._cells["decision"][n].casefold(), self._cells["target"][n]) == about
            and self._stands(n, withdrawn)
        ]
        if not standing:
            return False
        latest = max(standing, key=self._when.__getitem__)
        return tuple(self._cells[name][latest] for name in _SAME) == said

    def latest_act(self, reviewer: str) -> list[dict[str, str]]:
        """The reviewer's standing decisions of the latest time that has any.

        Returns:
            `subject, level, decided_at` of each; the level is the last one told of the subject.
        """
        act: list[int] = []
        for number in reversed(self._by_time.get(reviewer, [])):
            if act and self._when[number] != self._when[act[0]]:
                break
            if self._stands(number, self._of(self._cells["subject"][number], reviewer)[1]):
                act.append(number)
        subjects = [self._cells["subject"][number] for number in reversed(act)]
        return [
            {
                "subject": subject,
                "level": self._cells["level"][self._last[subject]],
                "decided_at": self._cells["decided_at"][number],
            }
            for subject, number in zip(subjects, reversed(act), strict=True)
        ]

    def _of(self, subject: str, reviewer: str) -> tuple[list[int], list[int]]:
        """A reviewer's decisions and withdrawals on a subject, in the order of the file."""
        made: list[int] = []
        withdrawn: list[int] = []
        number = self._last.get(subject, -1)
        while number >= 0:
            if self._cells["reviewer"][number] == reviewer:
                (withdrawn if self._withdraws[number] else made).append(number)
            number = self._before[number]
        return made[::-1], withdrawn[::-1]

    def _stands(self, number: int, withdrawn: list[int]) -> bool:
        when = self._when[number]
        for other in withdrawn:
            target = parse_time(self._cells["target"][other])
            if (when == target) if target else (when < self._when[other]):
                return False
        return True
