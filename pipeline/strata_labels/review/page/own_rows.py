"""Which rows one reviewer is still to be asked, which comes next, and their acts to take back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strata_labels.review.decisions import Decision
from strata_labels.review.page.facets import ALL, Facets
from strata_labels.review.page.leases import Leases
from strata_labels.review.page.review import Review
from strata_labels.review.page.review_rows import ReviewRows


@dataclass
class _Act:
    """One answer, to be taken back as a whole."""

    rows: list[int]
    closed: list[int]
    settled: list[int]
    confidence: list[float]
    is_unsure: bool


class OwnRows:
    """The rows of a review as one reviewer has answered them since they were loaded.

    Args:
        review: what is reviewed; hold its lock.
        reviewer: who decides.
        leases: which rows are shown to whom, if others decide on the same review.

    Attributes:
        decided: rows that this reviewer has decided.
        unsure: rows of these on which they are unsure.
        done: whether they have decided a row, `[num_rows]`.
        done_before: the same, of what was in the ledger when the rows were loaded.
    """

    decided: int
    unsure: int
    done: NDArray[np.bool_]
    done_before: NDArray[np.bool_]

    def __init__(self, review: Review, reviewer: str, leases: Leases | None) -> None:
        self._review, self._reviewer, self._leases = review, reviewer, leases
        self._take()

    @property
    def open(self) -> NDArray[np.bool_]:
        """Rows that this reviewer is still to be asked, `[num_rows]`."""
        return self._review.open & ~self.done

    def follow(self) -> None:
        """Reads the rows anew where another table has been loaded."""
        if self._version != self._review.version:
            self._take()

    def load(self) -> None:
        """Reads all rows again: what was decided long ago has changed."""
        if self._leases:  # the others do not wait for it
            self._review.refresh()
        else:
            self._review.reload()
            self.follow()

    def is_elsewhere(self, n: int) -> bool:
        """Whether another curator is asked this row now."""
        held = self._leases.of_others(self._reviewer) if self._leases else ()
        return self._table.row_id[n] in held

    def free(self, facets: Facets = ALL) -> NDArray[np.bool_]:
        """Open rows of a filter that nobody else is asked now, `[num_rows]`."""
        free = self.open
        if facets != ALL:
            free &= self._review.facets.mask(facets)
        if self._leases:
            at = self._table.at
            taken = self._leases.of_others(self._reviewer)
            free[[n for row in taken if (n := at.get(row, -1)) >= 0]] = False
        return free

    def state_of(self, n: int) -> str:
        """Whether a row is open, decided, or accepted without a decision."""
        if self.open[n]:
            return "open"
        return "decided" if self.done[n] or self._table.settled[n] else "accepted"

    def look_alikes(self, n: int, facets: Facets = ALL) -> list[int]:
        """The open look-alikes of a row that nobody else is asked, itself first."""
        others, free = self._table.groups.get(self._table.group[n], []), self.free(facets)
        return [n, *(row for row in others if row != n and free[row])]

    def next(self, after: int, facets: Facets = ALL) -> int:
        """The open row to ask behind row `after`, -1 for the first one; -1 if none is open."""
        review, table, free, place = self._review, self._table, self.free(facets), 0
        if after >= 0 and not self.done_before[after]:
            place = table.rank[after] + 1
        # What waits for one more comes first; after a row of these, those behind it.
        half = np.flatnonzero(free & review.half)
        if after >= 0 and review.half[after]:
            half = half[table.rank[half] > table.rank[after]]
        if len(half):
            return int(half[np.argmin(table.rank[half])])
        for part in (table.order[place:], table.order[:place]):
            found = np.flatnonzero(free[part])
            if len(found):
                return int(part[found[0]])
        return -1

    def close(self, rows: list[int], decisions: list[Decision]) -> None:
        """Notes an answer: its rows, and those that they cover, are open no more."""
        review = self._review
        settled = [n for n, d in zip(rows, decisions, strict=True) if review.settles(n, d)]
        for n in settled[:]:
            settled += np.flatnonzero(self._table.cover == n).tolist()
        closed = [n for n in sorted(set(settled)) if review.open[n]]
        unsure = decisions[0].decision == "unsure"
        before = review.confidence[settled].tolist()
        self._acts.append(_Act(rows, closed, settled, before, unsure))
        review.open[closed] = False
        review.confidence[settled] = 1.0
        self.done[rows] = True
        self.decided += len(rows)
        self.unsure += len(rows) if unsure else 0

    def take_back(self, rows: list[int]) -> bool:
        """Takes back the last act, if it is on these rows; returns whether it is."""
        if not self._acts or sorted(self._acts[-1].rows) != sorted(rows):
            return False
        act = self._acts.pop()
        self._review.open[act.closed] = True
        self._review.confidence[act.settled] = act.confidence
        self._forget(act.rows)
        self.unsure -= len(act.rows) if act.is_unsure else 0
        return True

    def reopen(self, rows: list[int]) -> None:
        """Opens rows of an older answer at once, and brings all others up to date later."""
        self._review.open[rows] = True
        self._forget(rows)
        self._review.refresh()

    def _forget(self, rows: list[int]) -> None:
        self.done[rows] = False
        for n in rows:
            self._review.take_back(n, self._reviewer)
        self.decided -= len(rows)

    @property
    def _table(self) -> ReviewRows:
        return self._review.table

    def _take(self) -> None:
        """Reads from the rows what this reviewer has decided."""
        table, self._version = self._table, self._review.version
        self.done_before = table.decided_by(self._reviewer)
        self.done = self.done_before.copy()
        self.decided = int(self.done.sum())
        self.unsure = int((table.unsure & self.done).sum())
        self._acts: list[_Act] = []
