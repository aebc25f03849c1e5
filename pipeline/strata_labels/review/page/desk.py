"""A review session: the next row, recording decisions, undo. No HTTP here."""

from __future__ import annotations

import gc
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from strata_labels.errors import InputError, Problem
from strata_labels.evidence import write_seen
from strata_labels.people_csv import clean_cell
from strata_labels.pictures import UnreadablePictureError, thumbnail
from strata_labels.review.decisions import Decision, seen_of
from strata_labels.review.ledger import unbatch_decisions
from strata_labels.review.ledger_writer import LedgerChanged, LedgerWriter
from strata_labels.review.page.answers import answer_text, as_decision, ledger_lines, refusal
from strata_labels.review.page.background import Background
from strata_labels.review.page.forecast import Forecast, forecast_of
from strata_labels.review.page.review_rows import ReviewRows, ReviewSetup, Stamp, Watch
from strata_labels.review.page.row_card import card
from strata_labels.review.page.naming import name_of
from strata_labels.review.page.search import Search
from strata_labels.review.validate import find_conflicts, split_nodes

#: What the page can decide; renaming and further words are for the sheet.
WORDS = ("keep", "move", "merge", "stop", "exclude", "unsure", "same")

#: Rows that one answer can be for, at most.
MOST_ROWS = 50

#: Pixels of a picture on the page, at most, in width and height.
SIDE = 1024

#: Rows answered after which all open ones are scored anew.
BATCH = 50


class Stale(Exception):
    """The window has not seen the ledger of now; nothing was recorded."""


class Refused(Exception):
    """A decision that cannot be; the message says why and what to do."""


@dataclass
class _Act:
    """One answer, to be taken back as a whole."""

    rows: list[int]
    closed: list[int]
    settled: list[int]
    confidence: list[float]


class Desk:
    """A reviewer's open rows, in order, and the ledger their decisions go to.

    Every answer is on the disk before the next row is shown. All state but the ledger can be lost:
    a desk opened again on the same ledger asks what the lost one would have asked.

    Args:
        setup: what is reviewed.
        reviewer: who decides.
        blind: whether suggestions and evidence are hidden.
        double: share of the item rows that others have decided, to be decided blind once more,
            instead of the open rows; 0: the open rows.

    Raises:
        InputError: the tables or the ledger are not there or are wrong.
    """

    def __init__(
        self, setup: ReviewSetup, reviewer: str, blind: bool = False, double: float = 0.0
    ) -> None:
        self.setup, self.blind, self.double = setup, blind or double > 0, double
        self.reviewer = clean_cell(reviewer)
        if not self.reviewer:
            raise InputError(Problem("--reviewer", "no name", "Say who decides."))
        self._writer = LedgerWriter(setup.ledgers[-1])
        self._lock = threading.RLock()
        self._refreshing = Background(self._bring_up_to_date)
        self._learning = Background(setup.learn) if setup.learn and not double else None
        self._unlearnt = 0
        # Loads that a reload or an undo has overtaken are of no use; own answers given since a
        # load began are brought to it.
        self._epoch = 0
        self._since: list[tuple[list[str], str]] = []
        self.recorded = 0
        self._watch = Watch(setup)
        self._state, self._stamp = "", self._watch.stamp()
        self._open = np.zeros(0, bool)
        self._structure: list[Decision] = []
        self._reload()

    @property
    def state(self) -> str:
        """What the ledger is: a window must have seen it to decide."""
        return self._state

    def show(self, row_id: str = "", after: str = "", single: bool = False) -> dict[str, Any]:
        """The page's content: a row or a grid of look-alikes, and how far the review is.

        Args:
            row_id: show this row, if it is open, first among its look-alikes.
            after: else the next open row behind this one, the first one at the end.
            single: show the row alone.
        """
        with self._lock:
            self._catch_up()
            n = self._table.at.get(row_id, -1)
            if n < 0 or not self._open[n]:
                n = self._next(self._table.at.get(after, -1))
            shown = None
            if n >= 0:
                alike = self._look_alikes(n)
                rows = [n] if single else alike
                shown = card(self._table, rows, self.blind, len(alike), self._open)
            return {"state": self._state, "row": shown, "progress": self._progress()}

    def decide(
        self,
        state: str,
        row_ids: str | Sequence[str],
        word: str,
        target: str = "",
        note: str = "",
    ) -> str:
        """Records a decision, on the disk when this returns.

        Args:
            state: the state the window has seen.
            row_ids: the row, or at most `MOST_ROWS` item rows that are decided the same way, as
                one act; all of them have to be open.
            word: one of `WORDS`.
            target: a node id; blank where the word needs none.
            note: free text.

        Returns:
            What was recorded, as a sentence.

        Raises:
            Stale: somebody else has decided since, or a row is not open any more.
            Refused: the decision cannot be.
            RetryError: the disk refused.
        """
        with self._lock:
            self._catch_up()
            named = [row_ids] if isinstance(row_ids, str) else list(dict.fromkeys(row_ids))
            rows = [self._table.at.get(row_id, -1) for row_id in named]
            if state != self._state or not all(n >= 0 and self._open[n] for n in rows):
                raise Stale
            self._check_group(rows)
            if word not in WORDS:
                raise Refused(f"The page cannot decide {word!r}.")
            if word == "keep" and self.blind:
                raise Refused("Nothing is shown to keep: name a place.")
            decisions = [self._checked(row, word, target, note) for row in rows]
            if word == "merge":
                self._check_merges(decisions)
            try:
                written = self._writer.record(ledger_lines(decisions), expected=self._state)
            except LedgerChanged:
                self._reload()
                raise Stale from None
            self._state = self._writer.state
            self.recorded += len(written)
            self._close(rows, word)
            self._since.append(([self._table.row_id[row] for row in rows], word))
            if not self._table.is_item[rows[0]] and word not in ("keep", "unsure"):
                self._structure += [d for d in decisions if d.decision == "merge"]
                self._refresh()
            self._learn(len(rows))
            target = self._table.known.name.get(decisions[0].target, "")
            return answer_text(decisions, name_of(self._table, rows[0]), target)

    def undo(self, state: str) -> tuple[str, str]:
        """Takes the reviewer's last act back, as further rows of the ledger.

        Returns:
            What was taken back, as a sentence, and the row to show again; blank if nothing was.
        """
        with self._lock:
            self._catch_up()
            if state != self._state:
                raise Stale
            try:
                lines = self._writer.undo(self.reviewer, expected=self._state)
            except LedgerChanged:
                self._reload()
                raise Stale from None
            if lines.empty:
                return "", ""
            taken = unbatch_decisions(lines)
            self._state = self._writer.state
            self._epoch += 1
            self.recorded += len(lines)
            rows = [self._table.at.get(row_id, -1) for row_id in taken.row_id]
            if self._acts and sorted(self._acts[-1].rows) == sorted(rows):
                act = self._acts.pop()
                self._open[act.closed] = True
                self._confidence[act.settled] = act.confidence
                self._decided -= len(act.rows)
                self._unsure -= 0 if act.settled else len(act.rows)
            else:
                self._reload()
            rows = [row for row in rows if row >= 0]
            names = name_of(self._table, rows[0]) if rows else taken.subject.iloc[0]
            more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
            return f"Taken back: {names}{more}", taken.row_id.iloc[0]

    def search(self, text: str, row_id: str, word: str) -> dict[str, Any]:
        """Nodes a row can be moved to, merged into or stopped at, see `Search.find`."""
        with self._lock:
            n = self._table.at.get(row_id, -1)
            return self._search.find(text, n, word) if n >= 0 else {"found": [], "total": 0}

    def picture(self, item: str, image: str) -> bytes | None:
        """An image of the workspace as a JPEG, None where it is not one or cannot be read."""
        find = self.setup.find_image
        if find is None or image not in self._table.images_of(item):
            return None
        path = find(image)
        try:
            return thumbnail(path, SIDE) if path else None
        except UnreadablePictureError:
            return None

    def settle(self) -> None:
        """Waits for work in the background."""
        for work in filter(None, (self._learning, self._refreshing)):
            work.wait()

    # --- what is open --------------------------------------------------------------------

    def _reload(self) -> None:
        """Reads tables and ledger as they are now."""
        while True:
            state, stamp = self._writer.look(), self._watch.stamp()
            table = ReviewRows(self.setup, self.reviewer, self.double)
            if (state, stamp) == (self._writer.look(), self._watch.stamp()):
                break
        self._epoch += 1
        self._take(table, state, stamp)

    def _take(self, table: ReviewRows, state: str, stamp: Stamp) -> None:
        self._table = table
        self._state, self._stamp = state, stamp
        self._open = np.zeros(len(table.row_id), bool)
        self._open[table.order] = True
        self._confidence = table.confidence.copy()
        self._decided = int(table.mine.sum())
        self._unsure = int((table.unsure & table.mine).sum())
        self._acts: list[_Act] = []
        effective = table.resolution.effective
        chosen = effective[effective.decision.isin(["merge", "rename", "split"])]
        self._structure = [as_decision(row) for row in chosen.to_dict("records")]
        self._search = Search(table)
        # The rows have no reference cycles: looking for some among them would pause an answer.
        gc.freeze()
        table.members, table.sizes, table.item_at  # noqa: B018 (before it is asked)

    def _catch_up(self) -> None:
        stamp = self._watch.stamp()
        if self._writer.look() != self._state or stamp.fixed != self._stamp.fixed:
            self._reload()
        elif stamp != self._stamp:  # only scored anew: what is shown stands until that is loaded
            self._refresh()

    def _refresh(self) -> None:
        """Brings rows and paths up to date in the background."""
        self._refreshing.start()

    def _bring_up_to_date(self) -> None:
        while True:
            with self._lock:
                epoch, since = self._epoch, self._since
                since.clear()
            stamp = self._watch.stamp()
            try:
                table = ReviewRows(self.setup, self.reviewer, self.double)
            except InputError:
                return  # the next look at the ledger reports it
            with self._lock:
                if epoch != self._epoch or stamp != self._watch.stamp():
                    continue
                self._take(table, self._state, stamp)
                for row_ids, word in since:
                    rows = [n for row_id in row_ids if (n := table.at.get(row_id, -1)) >= 0]
                    if rows and self._open[rows].all():
                        self._close(rows, word)
                return

    def _learn(self, answered: int) -> None:
        """Has the open rows scored anew, in the background, once a batch of them is answered."""
        self._unlearnt += answered
        if self._learning and self._unlearnt >= BATCH:
            self._learning.start()
            self._unlearnt = 0

    def _look_alikes(self, n: int) -> list[int]:
        """The open look-alikes of a row, itself first."""
        others = self._table.groups.get(self._table.group[n], [])
        return [n, *(row for row in others if row != n and self._open[row])]

    def _next(self, after: int) -> int:
        order, place = self._table.order, self._table.rank[after] + 1 if after >= 0 else 0
        for part in (order[place:], order[:place]):
            found = np.flatnonzero(self._open[part])
            if len(found):
                return int(part[found[0]])
        return -1

    def _close(self, rows: list[int], word: str) -> None:
        settled = [] if word == "unsure" else list(rows)
        for n in settled[:]:
            settled += np.flatnonzero(self._table.cover == n).tolist()
        closed = sorted({*rows, *(n for n in settled if self._open[n])})
        self._acts.append(_Act(rows, closed, settled, self._confidence[settled].tolist()))
        self._open[closed] = False
        self._confidence[settled] = 1.0
        self._decided += len(rows)
        self._unsure += 0 if settled else len(rows)

    def _progress(self) -> dict[str, Any]:
        ahead = Forecast(None, None, None)
        if not self.double:  # a second look is not on the way to the target
            ahead = forecast_of(self._table, self._confidence, self._open, self.setup.target)
        return {
            "decided": self._decided,
            "open": int(self._open.sum()),
            "unsure": self._unsure,
            "target": self.setup.target,
            "now": ahead.now,
            "decisions": ahead.decisions,
            "best": ahead.best,
        }

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
            decided_at="",
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
        tree, decisions = self._table.known, [*self._structure, *merges]
        for group, problem in find_conflicts(decisions, tree, split_nodes(tree, decisions)):
            if any(decision in group for decision in merges):
                raise Refused(refusal(problem))
