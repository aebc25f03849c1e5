"""A reviewer's part of a review: the next row, recording decisions, undo. No HTTP here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from strata_labels.errors import InputError, Problem
from strata_labels.people_csv import clean_cell
from strata_labels.pictures import UnreadablePictureError
from strata_labels.review.decisions import Decision
from strata_labels.review.ledger import unbatch_decisions
from strata_labels.review.page.answers import (
    MOST_ROWS,
    AnswerCheck,
    Refused,
    answer_text,
    refusal,
)
from strata_labels.review.page.decided import decided_list
from strata_labels.review.page.facets import ALL, Facets
from strata_labels.review.page.forecast import Forecast, forecast_of
from strata_labels.review.page.leases import Leases
from strata_labels.review.page.naming import name_of
from strata_labels.review.page.own_rows import OwnRows
from strata_labels.review.page.review import Review, Stale
from strata_labels.review.page.review_rows import ReviewRows, ReviewSetup
from strata_labels.review.page.row_card import card
from strata_labels.review.page.thumbnails import SIDES

#: Confirmed answers that are known again, if a connection broke before the confirmation arrived.
CONFIRMED = 20


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
            self._rows = OwnRows(review, self.reviewer, leases)
            self.check = AnswerCheck(review, self.reviewer, self.blind)

    @property
    def state(self) -> str:
        """What a window must have seen to decide: the ledger, or what this reviewer has leased."""
        return self._leases.key(self.reviewer) if self._leases else self.review.state

    @property
    def decided(self) -> int:
        """Rows that this reviewer has decided."""
        with self.review.lock:
            self._rows.follow()
            return self._rows.decided

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
            if reopen and n >= 0 and not self._rows.is_elsewhere(n):
                if self._rows.done[n] and not self._rows.done_before[n]:
                    self._rows.load()  # the rows do not show what was decided since
                return [row_id]
            if n < 0 or not self._rows.free()[n]:
                n = self._rows.next(self._table.at.get(after, -1), facets)
            rows = [] if n < 0 else [n] if single else self._rows.look_alikes(n, facets)
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
                is_open = self._rows.open
                alike = len(self._rows.look_alikes(rows[0], facets)) if is_open[rows[0]] else 1
                shown = card(self._table, rows, self.blind, alike, is_open)
                shown["state"] = self._rows.state_of(rows[0])
            if self._leases:
                self._leases.take(self.reviewer, *self._to_lease(rows))
            return {
                "state": self.state,
                "row": shown,
                "progress": self._progress(),
                "left": int(self._rows.free(facets).sum()),
            }

    def facets(self, facets: Facets) -> dict[str, Any]:
        """Counts for the filters, and progress by node, see `FacetIndex.counts`."""
        with self.review.lock:
            self._rows.follow()
            index, is_open = self.review.facets, self._rows.open
            decided = self._table.settled | self._rows.done
        found = index.counts(facets, is_open, decided)  # nobody waits for this
        if self.blind:  # how sure a proposal is would hint at it
            found |= {"confidence": [], "reasons": []}
        return found

    def find(self, text: str) -> dict[str, Any]:
        """Items and nodes by name or id, see `FacetIndex.find`."""
        with self.review.lock:
            index = self.review.facets
        found = index.find(text)  # nobody waits for this
        with self.review.lock:
            self._rows.follow()
            at = self._table.at
            known = [hit for hit in found if hit["row_id"] in at]
            shown = [hit | {"state": self._rows.state_of(at[hit["row_id"]])} for hit in known]
        return {"found": [hit | {"place": ""} for hit in shown] if self.blind else shown}

    def answers(self, only: str = "", text: str = "", start: int = 0) -> dict[str, Any]:
        """The ledger's answers, see `decided_list`.

        A reviewer who is blind, or is asked what others have answered, sees only their own.
        """
        only = self.reviewer if self.blind or self.review.twice else only
        return decided_list(self._table, self.reviewer, only, text, start)

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
            self._rows.load()
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
            self.check.request(rows, word)
            if not self._may_answer(state, rows, reopen):
                if self._leases and self._has_decided(rows, word, target, note):
                    return f"{name_of(self._table, rows[0])} was recorded before"
                raise self._stale()
            decisions = [self.check.answer(row, word, target, note) for row in rows]
            self.check.beside_others(decisions)
            self.recorded += self.review.record(self, decisions)
            target = self._table.known.name.get(decisions[0].target, "")
            named_first = name_of(self._table, rows[0])
            if all(self._rows.open[rows]):
                self._rows.close(rows, decisions)
            else:
                self._rows.load()
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
            self._rows.follow()
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
            if not self._rows.take_back(rows):
                if self._leases and (taken.level == "1").all():  # the others wait for no load
                    self._rows.reopen(rows)
                else:
                    self.review.reload()
                    self._rows.follow()
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
        self._rows.follow()
        decisions = [d for d in decisions if d.row_id in self._table.at]
        rows = [self._table.at[d.row_id] for d in decisions]
        if rows and self._rows.open[rows].all():
            self._rows.close(rows, decisions)

    def ask_again(self, n: int) -> None:
        """Lets this reviewer answer a row once more, on which another one differs."""
        self._rows.follow()
        self._rows.done[n] = False

    @property
    def _table(self) -> ReviewRows:
        return self.review.table

    def _catch_up(self) -> None:
        self.review.catch_up()
        self._rows.follow()

    def _progress(self) -> dict[str, Any]:
        is_open, ahead = self._rows.open, Forecast(None, None, None)
        if self._leases:  # what is ahead of all curators changes slowly
            ahead = self.review.forecast()
        elif not self.double:  # a second look is not on the way to the target
            ahead = forecast_of(self._table, self.review.confidence, is_open, self.setup.target)
        return {
            "decided": self._rows.decided,
            "open": int(is_open.sum()),
            "unsure": self._rows.unsure,
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
        at, is_open = self._table.at, self._rows.open
        shown = [self._table.row_id[row] for row in rows]
        waiting = [row for row in self._waiting if row in at and is_open[at[row]]]
        return shown, [row for row in waiting if row not in shown][-MOST_ROWS:]

    def _may_answer(self, state: str, rows: list[int], reopen: bool = False) -> bool:
        """Whether a window in this state may answer some rows."""
        is_open = self._rows.open
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
            [self.check.answer(n, word, target, note) for n in rows]
        )
