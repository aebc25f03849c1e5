"""A review as it is loaded: its rows, what is open of them, and the one writer of its ledger."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from strata_labels.errors import InputError
from strata_labels.evidence import Reason
from strata_labels.review.apply import Resolution, replay
from strata_labels.review.decisions import (
    MAKES_NODE,
    Decision,
    active_decisions,
    as_evidence,
    read_decisions,
)
from strata_labels.review.ledger import (
    ledger_lines,
    read_ledger,
    time_after,
    unbatch_decisions,
    withdrawal,
)
from strata_labels.review.ledger_writer import LedgerChanged, LedgerWriter
from strata_labels.review.page.background import Background
from strata_labels.review.page.facets import FacetIndex
from strata_labels.review.page.forecast import Forecast, forecast_of
from strata_labels.review.page.review_rows import ReviewRows, ReviewSetup, Stamp, Watch
from strata_labels.review.page.search import Search
from strata_labels.review.page.thumbnails import Thumbnails
from strata_labels.review.reliability import Reliability, answers_on_item, estimate
from strata_labels.review.reviewed import reviewed
from strata_labels.tables import load

if TYPE_CHECKING:
    from strata_labels.review.page.desk import Desk

#: Stands for the file of decisions that are only tried.
TRIED = "the decision"

#: Rows that each reviewer answers before all open ones are scored anew.
BATCH = 50

#: Several reviewers are shown a forecast that may be so old.
FORECAST_SECONDS = 2.0


class Stale(Exception):
    """The window has not seen what is now; nothing was recorded."""

    def __init__(
        self,
        message: str = "Somebody decided elsewhere meanwhile, in another window or program. "
        "Nothing of this window was recorded; this is the present state.",
    ) -> None:
        super().__init__(message)


class Review:
    """What all reviewers of one ledger share; each has a `Desk` on it.

    All state but the ledger can be lost: a review loaded again from the same ledger asks what the
    lost one would have asked. Hold `lock` to read or change anything.

    Args:
        setup: what is reviewed.
        second: a reviewer and a share: load the rows of this reviewer's second look (see
            `ReviewRows`); None: the open rows.
        twice: share of the rows that two reviewers are asked, see `ReviewRows`.

    Attributes:
        lock: for everything here, and for the desks.
        table: all rows.
        version: grows with each table that is loaded.
        open: rows that somebody has to decide, `[num_rows]`.
        confidence: of each row's place now, 1 where a person decided it, `[num_rows]`.
        half: rows that wait for the answer of one more, `[num_rows]`.
        desks: of all reviewers.
        structure: merges, renames and new nodes in force.
        search: finds nodes of the tree.
        facets: finds rows by node, level, reason and so on.
        thumbnails: draws pictures, in the folder `thumbnails` of the workspace.
        state: what the ledger is.
        batch: rows answered after which all open ones are scored anew.

    Raises:
        InputError: the tables or the ledger are not there or are wrong.
    """

    table: ReviewRows
    search: Search
    facets: FacetIndex
    open: NDArray[np.bool_]
    confidence: NDArray[np.float64]
    half: NDArray[np.bool_]
    structure: list[Decision]

    def __init__(
        self, setup: ReviewSetup, second: tuple[str, float] | None = None, twice: float = 0.0
    ) -> None:
        self.setup, self._second, self.twice = setup, second, twice
        self.desks: list[Desk] = []
        self.lock = threading.RLock()
        self.thumbnails = Thumbnails(setup.folder / "thumbnails")
        self.version = 0
        self._forecast, self._forecast_until = Forecast(None, None, None), 0.0
        self._writer = LedgerWriter(setup.ledgers[-1])
        self._refreshing = Background(self._bring_up_to_date)
        self._learning = Background(setup.learn) if setup.learn and not second else None
        self._unlearnt, self.batch = 0, BATCH
        # Loads that a reload or an undo has overtaken are of no use; answers given since a load
        # began are brought to it.
        self._epoch = 0
        self._since: list[tuple[Desk, list[Decision]]] = []
        self._watch = Watch(setup)
        self.state, self._stamp = "", self._watch.stamp()
        self.reload()

    def reload(self) -> None:
        """Reads tables and ledger as they are now."""
        while True:
            state, stamp = self._writer.look(), self._watch.stamp()
            table = ReviewRows(self.setup, self._second, self.twice)
            if (state, stamp) == (self._writer.look(), self._watch.stamp()):
                break
        self._epoch += 1
        self._take(table, state, stamp)

    def catch_up(self) -> None:
        """Reloads if somebody else has written to the ledger or the tables."""
        stamp = self._watch.stamp()
        if self._writer.look() != self.state or stamp.fixed != self._stamp.fixed:
            self.reload()
        elif stamp != self._stamp:  # only scored anew: what is shown stands until that is loaded
            self.refresh()

    def refresh(self) -> None:
        """Brings rows and paths up to date in the background."""
        self._refreshing.start()

    def record(self, desk: Desk, decisions: list[Decision]) -> int:
        """Writes a reviewer's answer; it is on the disk when this returns.

        Returns:
            Lines that were added.

        Raises:
            Stale: somebody else has written to the ledger; nothing was.
        """
        lines = ledger_lines(decisions)
        added = len(self._written(self._writer.record, lines))
        self._since.append((desk, decisions))
        word, is_node = decisions[0].decision, decisions[0].level > 1
        if word == "merge":
            self.structure += decisions
        if is_node and word not in ("keep", "unsure"):
            self.refresh()
        self._learn(len(decisions))
        return added

    def edit(self, decision: Decision) -> int:
        """Writes an edit of the tree and loads the rows with it; returns the lines added.

        Raises:
            Stale: somebody else has written to the ledger; nothing was.
        """
        lines = ledger_lines([decision])
        added = len(self._written(self._writer.record, lines))
        self.reload()
        return added

    def settles(self, n: int, decision: Decision) -> bool:
        """Notes an answer to row `n`; returns whether the row is settled.

        A row to ask twice is settled once all who answered agree. Where the second one differs
        from the first, that one is asked again, and so is everybody else.
        """
        if decision.decision == "unsure":
            return False
        if not self.table.hard[n]:
            return True
        said = self.table.said.setdefault(n, {})
        said[decision.reviewer] = decision
        self.table.first.setdefault(n, {}).setdefault(decision.reviewer, decision)
        agreed = len({one.outcome for one in said.values()}) == 1
        if not agreed and len(said) == 2:
            for desk in self.desks:
                if desk.reviewer in said and desk.reviewer != decision.reviewer:
                    desk.ask_again(n)
        self._show_opinions(n)
        settled = agreed and len(said) > 1
        self.half[n] = not settled
        return settled

    def take_back(self, n: int, reviewer: str) -> None:
        """Forgets an answer to a row that is asked twice."""
        for answers in (self.table.said, self.table.first):
            answers.get(n, {}).pop(reviewer, None)
        if self.table.hard[n]:
            self.half[n] = bool(self.table.said.get(n))
            self.open[n] = True
            self._show_opinions(n)

    def reliability(self) -> Reliability:
        """How far each reviewer can be relied on, by the rows that are asked twice."""
        with self.lock:
            tree = self.table.known
            answers = [answers_on_item(dict(said), tree) for said in self.table.first.values()]
        return estimate(answers)

    def forecast(self) -> Forecast:
        """What is left until the target for all reviewers, at most `FORECAST_SECONDS` old."""
        with self.lock:
            if time.monotonic() >= self._forecast_until:
                target = self.setup.target
                self._forecast = forecast_of(self.table, self.confidence, self.open, target)
                self._forecast_until = time.monotonic() + FORECAST_SECONDS
            return self._forecast

    def disputes(self) -> int:
        """Rows that are asked twice on which reviewers differ."""
        with self.lock:
            said = [self.table.said[n].values() for n in np.flatnonzero(self.half).tolist()]
        return sum(len({decision.outcome for decision in one}) > 1 for one in said)

    def _show_opinions(self, n: int) -> None:
        """Shows what reviewers said of a row, if they differ."""
        table, said = self.table, self.table.said.get(n, {})
        differ = len({decision.outcome for decision in said.values()}) > 1
        opinions = [as_evidence(d, table.known.level, "decision") for d in said.values()]
        own = tuple(piece for piece in table.evidence[n] if piece.kind != "decision")
        table.evidence[n] = (*own, *opinions) if differ else own
        reasons = tuple(reason for reason in table.reasons[n] if reason.kind != "disputed")
        table.reasons[n] = (*reasons, Reason("disputed")) if differ else reasons

    def has(self, decisions: list[Decision]) -> bool:
        """Whether these very decisions of their reviewers are in the ledger, and in force."""
        return self._writer.has(ledger_lines(decisions))

    def undo(self, reviewer: str) -> pd.DataFrame:
        """Takes a reviewer's last answer back; returns the lines, none if nothing is left.

        Raises:
            Stale: as `record`.
        """
        lines = self._written(self._writer.undo, reviewer)
        self._epoch += bool(len(lines))
        return lines

    def tried(self, lines: pd.DataFrame) -> Resolution:
        """What the rows would be with further lines of the ledger; nothing is written.

        The file of these decisions is `TRIED`.

        Raises:
            InputError: the lines do not hold together with the ledger.
        """
        ledger = read_ledger(*self.setup.ledgers)
        when = time_after(ledger, datetime.now(UTC))
        more = unbatch_decisions(lines).assign(decided_at=when, file=TRIED, row=0)
        return replay(
            pd.concat([ledger.decisions, more], ignore_index=True),
            reviewed(self.setup.folder),
            load(self.setup.folder, "vocabulary"),
        )

    def withdraw(self, reviewer: str, time: str, word: str, target: str) -> pd.DataFrame:
        """Takes back what one answer of a reviewer still says.

        Returns:
            The lines, none if nothing of it counts any more.

        Raises:
            Stale: as `record`.
            InputError: without the answer, the tree would not hold: another node has its name.
        """
        found = read_decisions(read_ledger(self.setup.ledgers[-1]).decisions)[0]
        taken = [
            d
            for d in active_decisions(d for d in found if d.reviewer == reviewer)[0]
            if (d.decided_at, d.decision, d.written) == (time, word, target)
        ]
        lines = withdrawal(((reviewer, str(d.level), d.subject) for d in taken), time)
        if any(d.level > 1 for d in taken):
            self.tried(lines)
        if taken:
            self._epoch += 1
            lines = self._written(self._writer.record, lines)
        return lines

    @property
    def has_new_names(self) -> bool:
        """Whether people have named nodes: a name that a node had may be another's now."""
        return any(d.decision in ("rename", *MAKES_NODE) for d in self.structure)

    def settle(self) -> None:
        """Waits for work in the background."""
        for work in filter(None, (self._learning, self._refreshing)):
            work.wait()

    def _written(
        self, write: Callable[..., pd.DataFrame], what: pd.DataFrame | str
    ) -> pd.DataFrame:
        try:
            lines = write(what, expected=self.state)
        except LedgerChanged:
            self.reload()
            raise Stale from None
        self.state = self._writer.state
        return lines

    def _take(self, table: ReviewRows, state: str, stamp: Stamp) -> None:
        self.table, self.search, self.facets = table, Search(table), FacetIndex(table)
        self.state, self._stamp = state, stamp
        self.open = np.zeros(len(table.row_id), bool)
        self.open[table.order] = True
        self.confidence = table.confidence.copy()
        self.half = np.zeros(len(table.row_id), bool)
        self.half[[n for n in table.said if self.open[n]]] = True
        effective = table.resolution.effective
        chosen = effective[effective.decision.isin(["merge", "rename", *MAKES_NODE])]
        self.structure = read_decisions(chosen.assign(file="the ledger"))[0]
        self.version += 1
        # The rows have no reference cycles, and must have none: looking for some among them would
        # pause an answer.
        gc.freeze()
        table.members, table.sizes, table.item_at  # noqa: B018 (before it is asked)

    def _bring_up_to_date(self) -> None:
        while True:
            with self.lock:
                epoch, since = self._epoch, self._since
                since.clear()
            stamp = self._watch.stamp()
            try:
                table = ReviewRows(self.setup, self._second, self.twice)
            except InputError:
                return  # the next look at the ledger reports it
            with self.lock:
                if epoch != self._epoch or stamp != self._watch.stamp():
                    continue
                self._take(table, self.state, stamp)
                for desk, decisions in since:
                    desk.bring(decisions)
                return

    def _learn(self, answered: int) -> None:
        """Has the open rows scored anew, in the background, once a batch of them is answered."""
        self._unlearnt += answered
        if self._learning and self._unlearnt >= self.batch:
            self._learning.start()
            self._unlearnt = 0
