"""A reviewer's part of a review: the next row, recording decisions, undo. No HTTP here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from strata_labels.errors import InputError, Problem
from strata_labels.evidence import write_seen
from strata_labels.people_csv import clean_cell
from strata_labels.pictures import UnreadablePictureError
from strata_labels.review.apply import Resolution
from strata_labels.review.carry_over import made_nodes
from strata_labels.review.conflicts import find_conflicts
from strata_labels.review.decisions import Decision, seen_of
from strata_labels.review.ledger import unbatch_decisions
from strata_labels.review.page.answers import answer_text, ledger_lines, refusal
from strata_labels.review.page.decided import decided_list
from strata_labels.review.page.facets import Facets
from strata_labels.review.page.forecast import Forecast, forecast_of
from strata_labels.review.page.leases import Leases
from strata_labels.review.page.naming import name_of
from strata_labels.review.page.review import Review, Stale
from strata_labels.review.page.review_rows import ReviewRows, ReviewSetup
from strata_labels.review.page.row_card import card
from strata_labels.review.page.thumbnails import SIDES

#: What the page can decide; renaming and further words are for the sheet.
WORDS = ("keep", "move", "merge", "stop", "exclude", "unsure", "same")

#: No filter.
ALL = Facets()

#: Rows that one answer can be for, at most.
MOST_ROWS = 50

#: Confirmed answers that are known again, if a connection broke before the confirmation arrived.
CONFIRMED = 20


class Refused(Exception):
    """A decision that cannot be; the message says why and what to do."""


@dataclass
class _Act:
    """One answer, to be taken back as a whole."""

    rows: list[int]
    closed: list[int]
    settled: list[int]
    confidence: list[float]
    is_unsure: bool


class Desk:
    """One reviewer's view of a review: what is open for them, and what they decided.

    Every answer is on the disk before the next row is shown.

    Args:
        review: what is reviewed; a setup is loaded for this reviewer alone.
        reviewer: who decides.
        blind: whether suggestions and evidence are hidden.
        double: share of the item rows that others have decided, to be decided blind once more,
            instead of the open rows; 0: the open rows. Only with a setup.
        leases: which rows are shown to whom, if others decide on the same review.

    Raises:
        InputError: the tables or the ledger are not there or are wrong.
    """

    def __init__(
        self,
        review: Review | ReviewSetup,
        reviewer: str,
        blind: bool = False,
        double: float = 0.0,
        leases: Leases | None = None,
    ) -> None:
        self._leases = leases
        self._waiting: list[str] = []
        # Answers by the state that they carried: one that is sent again is confirmed again.
        self._confirmed: dict[str, tuple[tuple[object, ...], Any]] = {}
        self.blind, self.double = blind or double > 0, double
        self.reviewer = clean_cell(reviewer)
        if not self.reviewer:
            raise InputError(Problem("--reviewer", "no name", "Say who decides."))
        if isinstance(review, ReviewSetup):
            review = Review(review, (self.reviewer, double) if double else None)
        self.review = review
        self.setup = review.setup
        self.recorded = 0
        with review.lock:
            review.desks.append(self)
            self._take()

    @property
    def state(self) -> str:
        """What a window must have seen to decide: the ledger, or what this reviewer has leased."""
        return self._leases.key(self.reviewer) if self._leases else self.review.state

    @property
    def decided(self) -> int:
        """Rows that this reviewer has decided."""
        with self.review.lock:
            self._follow()
            return self._decided

    def ask(
        self,
        row_id: str = "",
        after: str = "",
        single: bool = False,
        facets: Facets = ALL,
        reopen: bool = False,
    ) -> list[str]:
        """Ids of the rows to ask next: one, or a group of look-alikes; none if none is open.

        Args:
            row_id: ask for this row, if it is open, first among its look-alikes.
            after: else for the next open row behind this one, the first one at the end.
            single: for the row alone.
            facets: rows that may come next, and may be in its group.
            reopen: ask for the row, alone, also if it is decided or was accepted.
        """
        with self.review.lock:
            self._catch_up()
            n = self._table.at.get(row_id, -1)
            if reopen and n >= 0 and not self._is_elsewhere(n):
                if self._done[n] and not self._done_before[n]:
                    self._load()  # the rows do not show what was decided since
                return [row_id]
            if n < 0 or not self._free()[n]:
                n = self._next(self._table.at.get(after, -1), facets)
            rows = [] if n < 0 else [n] if single else self._look_alikes(n, facets)
            return [self._table.row_id[row] for row in rows]

    def show(
        self,
        row_id: str = "",
        after: str = "",
        single: bool = False,
        facets: Facets = ALL,
        reopen: bool = False,
    ) -> dict[str, Any]:
        """What the page shows of the rows that `ask` gives, and how far the review is."""
        with self.review.lock:
            named = self.ask(row_id, after, single, facets, reopen)
            rows = [self._table.at[one] for one in named]
            shown = None
            if rows:
                alike = len(self._look_alikes(rows[0], facets)) if self._open[rows[0]] else 1
                shown = card(self._table, rows, self.blind, alike, self._open)
                shown["state"] = self._state_of(rows[0])
            if self._leases:
                self._leases.take(self.reviewer, *self._to_lease(rows))
            return {
                "state": self.state,
                "row": shown,
                "progress": self._progress(),
                "left": int(self._free(facets).sum()),
            }

    def facets(self, facets: Facets) -> dict[str, Any]:
        """Counts for the filters, and progress by node, see `FacetIndex.counts`."""
        with self.review.lock:
            self._follow()
            table, is_open, decided = self._table, self._open, self._table.settled | self._done
        found = table.facets.counts(facets, is_open, decided)  # nobody waits for this
        if self.blind:  # how sure a proposal is would hint at it
            found |= {"confidence": [], "reasons": []}
        return found

    def find(self, text: str) -> dict[str, Any]:
        """Items and nodes by name or id, see `FacetIndex.find`."""
        with self.review.lock:
            table = self._table
        found = table.facets.find(text)  # nobody waits for this
        with self.review.lock:
            self._follow()
            at = self._table.at
            known = [hit for hit in found if hit["row_id"] in at]
            shown = [hit | {"state": self._state_of(at[hit["row_id"]])} for hit in known]
        return {"found": [hit | {"place": ""} for hit in shown] if self.blind else shown}

    def answers(self, only: str = "", text: str = "", start: int = 0) -> dict[str, Any]:
        """The ledger's answers, see `decided_list`.

        A reviewer who is blind, or is asked what others have answered, sees only their own.
        """
        only = self.reviewer if self.blind or self.review.twice else only
        return decided_list(self._table, self.reviewer, only, text, start)

    def tried(self, lines: pd.DataFrame) -> Resolution:
        """What the rows would be with further lines of the ledger, see `Review.tried`.

        Raises:
            Refused: they cannot be.
        """
        try:
            return self.review.tried(lines)
        except InputError as error:
            raise Refused(refusal(error.problems[0])) from None

    def withdraw(self, state: str, time: str, word: str, target: str) -> str:
        """Takes back one own answer, however long ago, as further lines of the ledger.

        Args:
            state: the state that the window has seen.
            time, word, target: of the answer, as the ledger has them.

        Returns:
            What was taken back, as a sentence.

        Raises:
            Stale: somebody else has decided since.
            Refused: nothing of it counts any more, or it is another's.
        """
        with self.review.lock:
            self._catch_up()
            request = ("withdraw", time, word, target)
            if (told := self._told(state, *request)) is not None:
                return str(told)
            if not state or state != self.state:
                raise self._stale()
            try:
                taken = self.review.withdraw(self.reviewer, time, word, target)
            except InputError as error:
                raise Refused(refusal(error.problems[0])) from None
            if taken.empty:
                raise Refused("No such answer of yours counts any more. Open the list again.")
            self.recorded += len(taken)
            self._load()
            said = f"Taken back: your answer of {time[:16].replace('T', ' ')}"
            self._confirmed.clear()  # what was taken back is not confirmed again
            self._confirm(state, request, said)
            return said

    def decide(
        self,
        state: str,
        row_ids: str | Sequence[str],
        word: str,
        target: str = "",
        note: str = "",
        reopen: bool = False,
    ) -> str:
        """Records a decision, on the disk when this returns.

        Args:
            state: the state the window has seen.
            row_ids: the row, or at most `MOST_ROWS` item rows that are decided the same way, as
                one act; all of them have to be open.
            word: one of `WORDS`.
            target: a node id; blank where the word needs none.
            note: free text.
            reopen: decide the row also if it is decided or was accepted.

        Returns:
            What was recorded, as a sentence.

        Raises:
            Stale: somebody else has decided since, or a row is not open any more.
            Refused: the decision cannot be.
            RetryError: the disk refused.
        """
        with self.review.lock:
            self._catch_up()
            named = [row_ids] if isinstance(row_ids, str) else list(dict.fromkeys(row_ids))
            request = (tuple(named), word, target, note)
            if (told := self._told(state, *request)) is not None:
                return str(told)
            rows = [self._table.at.get(row_id, -1) for row_id in named]
            self._check_group(rows)
            if word not in WORDS:
                raise Refused(f"The page cannot decide {word!r}.")
            if word == "keep" and self.blind:
                raise Refused("Nothing is shown to keep: name a place.")
            if not self._may_answer(state, rows, reopen):
                if self._leases and self._has_decided(rows, word, target, note):
                    return f"{name_of(self._table, rows[0])} was recorded before"
                raise self._stale()
            decisions = [self._checked(row, word, target, note) for row in rows]
            if word == "merge":
                self._check_merges(decisions)
            if decisions[0].level > 1 and self.review.has_new_names:
                self.tried(
                    ledger_lines(decisions)
                )  # a place that is free again may have a new name
            self.recorded += self.review.record(self, decisions)
            target = self._table.known.name.get(decisions[0].target, "")
            named_first = name_of(self._table, rows[0])
            if all(self._open[rows]):
                self._close(rows, decisions)
            else:
                self._load()
            said = answer_text(decisions, named_first, target)
            self._confirm(state, request, said, named)
            return said

    def edit(
        self, state: str, request: tuple[object, ...], decision: Callable[[], Decision]
    ) -> str:
        """Records an edit of the tree and loads the rows with it, see `tree_page.record_edit`.

        Args:
            state: the state the window has seen.
            request: what was asked, to know it again if it is sent twice.
            decision: gives the checked decision.

        Returns:
            What was recorded, as a sentence.

        Raises:
            Stale, Refused, RetryError: as `decide`.
        """
        with self.review.lock:
            self._catch_up()
            if (told := self._told(state, *request)) is not None:
                return str(told)
            if not state or state != self.state:
                raise self._stale()
            edit = decision()
            named = self._table.known.name
            said = answer_text([edit], named[edit.subject], named.get(edit.target, edit.target))
            self.recorded += self.review.edit(edit)
            self._follow()
            self._confirm(state, request, said)
            return said

    def undo(self, state: str) -> tuple[str, str]:
        """Takes the reviewer's last act back, as further rows of the ledger.

        Returns:
            What was taken back, as a sentence, and the row to show again; blank if nothing was.
        """
        with self.review.lock:
            self._catch_up()
            if (before := self._told(state, "undo")) is not None:
                return str(before[0]), str(before[1])
            if not state or state != self.state:
                raise self._stale()
            lines = self.review.undo(self.reviewer)
            if lines.empty:
                return "", ""
            taken = unbatch_decisions(lines)
            self.recorded += len(lines)
            rows = [n for row in taken.row_id if (n := self._table.at.get(row, -1)) >= 0]
            if self._acts and sorted(self._acts[-1].rows) == sorted(rows):
                act = self._acts.pop()
                self.review.open[act.closed] = True
                self.review.confidence[act.settled] = act.confidence
                self._done[act.rows] = False
                for n in act.rows:
                    self.review.take_back(n, self.reviewer)
                self._decided -= len(act.rows)
                self._unsure -= len(act.rows) if act.is_unsure else 0
            elif self._leases and (taken.level == "1").all():  # the others do not wait for a load
                self.review.open[rows], self._done[rows] = True, False
                for n in rows:
                    self.review.take_back(n, self.reviewer)
                self._decided -= len(rows)
                self.review.refresh()
            else:
                self.review.reload()
                self._follow()
                rows = [n for row in taken.row_id if (n := self._table.at.get(row, -1)) >= 0]
            names = name_of(self._table, rows[0]) if rows else taken.subject.iloc[0]
            more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
            told = f"Taken back: {names}{more}", str(taken.row_id.iloc[0])
            self._confirmed.clear()  # what was taken back is not confirmed again
            self._confirm(state, ("undo",), told)
            return told

    def search(self, text: str, row_id: str, word: str) -> dict[str, Any]:
        """Nodes a row can be moved to, merged into or stopped at, see `Search.find`."""
        with self.review.lock:
            if self._leases:
                self._leases.renew(self.reviewer)
            n = self._table.at.get(row_id, -1)
            return self.review.search.find(text, n, word) if n >= 0 else {"found": [], "total": 0}

    def picture(self, item: str, image: str, size: str = "") -> bytes | None:
        """An image of the workspace as a JPEG, None where it is not one or cannot be read.

        Args:
            item: whose image.
            image: its id.
            size: one of `SIDES`; another is taken as "".
        """
        find = self.setup.find_image
        if find is None or image not in self._table.images_of(item):
            return None
        path = find(image)
        try:
            side = SIDES.get(size, SIDES[""])
            return self.review.thumbnails.draw(path, side) if path else None
        except UnreadablePictureError:
            return None

    def settle(self) -> None:
        """Waits for work in the background."""
        self.review.settle()

    def bring(self, decisions: list[Decision]) -> None:
        """Applies an answer that was given while the rows were loaded."""
        self._follow()
        decisions = [d for d in decisions if d.row_id in self._table.at]
        rows = [self._table.at[d.row_id] for d in decisions]
        if rows and self._open[rows].all():
            self._close(rows, decisions)

    def ask_again(self, n: int) -> None:
        """Lets this reviewer answer a row once more, on which another one differs."""
        self._follow()
        self._done[n] = False

    # --- what is open --------------------------------------------------------------------

    @property
    def _table(self) -> ReviewRows:
        return self.review.table

    @property
    def _open(self) -> NDArray[np.bool_]:
        """Rows that this reviewer is still to be asked, `[num_rows]`."""
        return self.review.open & ~self._done

    def _is_elsewhere(self, n: int) -> bool:
        """Whether another curator is asked this row now."""
        held = self._leases.of_others(self.reviewer) if self._leases else ()
        return self._table.row_id[n] in held

    def _free(self, facets: Facets = ALL) -> NDArray[np.bool_]:
        """Open rows of a filter that nobody else is asked now, `[num_rows]`."""
        free = self._open
        if facets != ALL:
            free &= self._table.facets.mask(facets)
        if self._leases:
            at = self._table.at
            taken = self._leases.of_others(self.reviewer)
            free[[n for row in taken if (n := at.get(row, -1)) >= 0]] = False
        return free

    def _catch_up(self) -> None:
        self.review.catch_up()
        self._follow()

    def _follow(self) -> None:
        if self._version != self.review.version:
            self._take()

    def _take(self) -> None:
        """Reads from the rows what this reviewer has decided."""
        table, self._version = self._table, self.review.version
        self._done_before = table.decided_by(self.reviewer)
        self._done = self._done_before.copy()
        self._decided = int(self._done.sum())
        self._unsure = int((table.unsure & self._done).sum())
        self._acts: list[_Act] = []

    def _load(self) -> None:
        """Reads all rows again: what was decided long ago has changed."""
        if self._leases:  # the others do not wait for it
            self.review.refresh()
        else:
            self.review.reload()
            self._follow()

    def _state_of(self, n: int) -> str:
        """Whether a row is open, decided, or accepted without a decision."""
        if self._open[n]:
            return "open"
        return "decided" if self._done[n] or self._table.settled[n] else "accepted"

    def _look_alikes(self, n: int, facets: Facets = ALL) -> list[int]:
        """The open look-alikes of a row that nobody else is asked, itself first."""
        others, free = self._table.groups.get(self._table.group[n], []), self._free(facets)
        return [n, *(row for row in others if row != n and free[row])]

    def _next(self, after: int, facets: Facets = ALL) -> int:
        table, free, place = self._table, self._free(facets), 0
        if after >= 0 and not self._done_before[after]:
            place = table.rank[after] + 1
        # What waits for one more comes first; after a row of these, those behind it.
        half = np.flatnonzero(free & self.review.half)
        if after >= 0 and self.review.half[after]:
            half = half[table.rank[half] > table.rank[after]]
        if len(half):
            return int(half[np.argmin(table.rank[half])])
        for part in (table.order[place:], table.order[:place]):
            found = np.flatnonzero(free[part])
            if len(found):
                return int(part[found[0]])
        return -1

    def _close(self, rows: list[int], decisions: list[Decision]) -> None:
        review = self.review
        settled = [n for n, d in zip(rows, decisions, strict=True) if review.settles(n, d)]
        for n in settled[:]:
            settled += np.flatnonzero(self._table.cover == n).tolist()
        closed = [n for n in sorted(set(settled)) if review.open[n]]
        unsure = decisions[0].decision == "unsure"
        before = review.confidence[settled].tolist()
        self._acts.append(_Act(rows, closed, settled, before, unsure))
        review.open[closed] = False
        review.confidence[settled] = 1.0
        self._done[rows] = True
        self._decided += len(rows)
        self._unsure += len(rows) if unsure else 0

    def _progress(self) -> dict[str, Any]:
        is_open, ahead = self._open, Forecast(None, None, None)
        if self._leases:  # what is ahead of all curators changes slowly
            ahead = self.review.forecast()
        elif not self.double:  # a second look is not on the way to the target
            ahead = forecast_of(self._table, self.review.confidence, is_open, self.setup.target)
        return {
            "decided": self._decided,
            "open": int(is_open.sum()),
            "unsure": self._unsure,
            "target": self.setup.target,
            "now": ahead.now,
            "decisions": ahead.decisions,
            "best": ahead.best,
            "ahead": ahead.ahead,
        }

    # --- an answer that may be late, or sent twice ---------------------------------------

    def _to_lease(self, rows: list[int]) -> tuple[list[str], list[str]]:
        """Ids of rows that are shown, and of those that were shown beside what was answered.

        The latter, such as the exceptions of a grid, wait for this reviewer.
        """
        at, is_open = self._table.at, self._open
        shown = [self._table.row_id[row] for row in rows]
        waiting = [row for row in self._waiting if row in at and is_open[at[row]]]
        return shown, [row for row in waiting if row not in shown][-MOST_ROWS:]

    def _may_answer(self, state: str, rows: list[int], reopen: bool = False) -> bool:
        """Whether a window in this state may answer some rows."""
        is_open = self._open
        known = all(n >= 0 and (reopen or is_open[n]) for n in rows)
        if not state or state != self.state or not known:
            return False
        shown = self._leases.rows(self.reviewer) if self._leases else ()
        return not self._leases or all(self._table.row_id[n] in shown for n in rows)

    def _stale(self) -> Stale:
        if not self._leases:
            return Stale()
        minutes = self._leases.seconds / 60
        return Stale(
            "Nothing was recorded: the row was open in another window of yours, has been answered, "
            f"or waited for more than {minutes:.0f} minutes. This is the present state."
        )

    def _told(self, state: str, *request: object) -> Any:
        """What was said to this very request, if it has been confirmed before; else None."""
        before, answer = self._confirmed.get(state, ((), None))
        return answer if before == request else None

    def _confirm(
        self, state: str, request: tuple[object, ...], answer: object, rows: Sequence[str] = ()
    ) -> None:
        """Notes what is said to a request on some rows; its state is used up."""
        if self._leases:
            rest = [*self._waiting, *self._leases.rows(self.reviewer)]
            self._waiting = [row for row in dict.fromkeys(rest) if row not in rows]
            self._leases.release(self.reviewer)
        self._confirmed[state] = request, answer
        if len(self._confirmed) > CONFIRMED:
            del self._confirmed[next(iter(self._confirmed))]

    def _has_decided(self, rows: list[int], word: str, target: str, note: str) -> bool:
        """Whether the ledger has this answer of the reviewer, in force."""
        known = [n for n in rows if n >= 0]
        return known == rows and self.review.has(
            [self._checked(n, word, target, note) for n in rows]
        )

    # --- a decision ----------------------------------------------------------------------

    def _check_group(self, rows: list[int]) -> None:
        if not 0 < len(rows) <= MOST_ROWS:
            raise Refused(f"An answer is for at most {MOST_ROWS} rows.")
        if len(rows) > 1 and not self._table.is_item[rows].all():
            raise Refused("Only items can be decided together.")

    def _checked(self, n: int, word: str, target: str, note: str) -> Decision:
        table = self._table
        if self.blind and word == "move" and target in table.known.path(table.own[n]):
            target = table.own[n]  # the same place, as finely as it is known
        decision = Decision(
            subject=table.subject[n],
            level=table.level[n],
            decision=word,
            target=target,
            reviewer=self.reviewer,
            note=clean_cell(note),
            decided_at=self.setup.clock() if self.setup.clock else "",
            evidence_hash=table.hash[n],
            seen="",
            written=target,
            when=datetime.now(UTC),
            file="the decision",
            row=None,
        )
        # A blank target means the place that the page shows, which is the row's present parent.
        checked = table.checker.check(decision)
        if isinstance(checked, Problem):
            raise Refused(refusal(checked))
        return checked._replace(seen=write_seen(seen_of(table.proposed[n], table.evidence[n])))

    def _check_merges(self, merges: list[Decision]) -> None:
        """Refuses merges that go in a circle with those in force."""
        tree, decisions = self._table.known, [*self.review.structure, *merges]
        for group, problem in find_conflicts(decisions, tree, made_nodes(tree.level, decisions)):
            if any(decision in group for decision in merges):
                raise Refused(refusal(problem))
