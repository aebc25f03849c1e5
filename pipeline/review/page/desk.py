"""The review itself: what is asked next, what is decided, what is taken back. No HTTP here."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import InputError, Problem
from pipeline.review.conflicts import Conflicts
from pipeline.review.decision import Decision
from pipeline.review.page.card import card, name_of
from pipeline.review.page.forecast import Forecast, forecast_of
from pipeline.review.page.material import Material, Stamp, Table
from pipeline.review.page.search import Search
from pipeline.review.together import join
from pipeline.review.writer import LedgerChanged, LedgerWriter
from pipeline.tables import clean_cell

#: What the page can decide; renaming and further words are for the sheet.
WORDS = ("keep", "move", "merge", "stop", "exclude", "unsure")


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
        material: where the things are.
        reviewer: who decides.
        blind: whether suggestions and evidence are hidden.
        double: share of the item rows that others have decided, to be decided blind once more,
            instead of the open rows; 0: the open rows.

    Raises:
        InputError: the tables or the ledger are not there or are wrong.
    """

    def __init__(
        self, material: Material, reviewer: str, blind: bool = False, double: float = 0.0
    ) -> None:
        self.material, self.blind, self.double = material, blind or double > 0, double
        self.reviewer = clean_cell(reviewer)
        if not self.reviewer:
            raise InputError(Problem("--reviewer", "no name", "Say who decides."))
        self._writer = LedgerWriter(material.ledgers[-1])
        self._lock = threading.RLock()
        self._refreshing: threading.Thread | None = None
        self.recorded = 0
        self._state, self._stamp = "", material.stamp()
        self._open = np.zeros(0, bool)
        self._structure: list[Decision] = []
        self._reload()

    @property
    def state(self) -> str:
        """What the ledger is: a window must have seen it to decide."""
        return self._state

    def show(self, row_id: str = "", after: str = "") -> dict[str, Any]:
        """The page's content: a row and how far the review is.

        Args:
            row_id: show this row, if it is open.
            after: else the next open row behind this one, the first one at the end.
        """
        with self._lock:
            self._catch_up()
            n = self._table.at.get(row_id, -1)
            if n < 0 or not self._open[n]:
                n = self._next(self._table.at.get(after, -1))
            shown = None
            if n >= 0:
                shown = card(self._table, n, self.blind, self._together(n), self._open)
            return {"state": self._state, "row": shown, "progress": self._progress()}

    def decide(
        self,
        state: str,
        row_id: str,
        word: str,
        target: str = "",
        note: str = "",
        whole_group: bool = False,
    ) -> str:
        """Records a decision, on the disk when this returns.

        Args:
            state: the state the window has seen.
            row_id: the row, which has to be open.
            word: one of `WORDS`.
            target: a node id; blank where the word needs none.
            note: free text.
            whole_group: decide all open look-alikes of the row the same way, as one act.

        Returns:
            What was recorded, in words.

        Raises:
            Stale: somebody else has decided since, or the row is not open any more.
            Refused: the decision cannot be.
            RetryError: the disk refused.
        """
        with self._lock:
            self._catch_up()
            n = self._table.at.get(row_id, -1)
            if state != self._state or n < 0 or not self._open[n]:
                raise Stale
            if word not in WORDS:
                raise Refused(f"The page cannot decide {word!r}.")
            if word == "keep" and self.blind:
                raise Refused("Nothing is shown to keep: name a place.")
            rows = self._together(n) if whole_group else [n]
            decisions = [self._checked(row, word, target, note) for row in rows]
            if word == "merge":
                self._hold_together(decisions)
            frame = pd.DataFrame([_ledger_row(decision) for decision in decisions])
            try:
                written = self._writer.record(_lines(frame), expected=self._state)
            except LedgerChanged:
                self._reload()
                raise Stale from None
            self._state = self._writer.state
            self.recorded += len(written)
            self._close(rows, word)
            if not self._table.is_item[n] and word not in ("keep", "unsure"):
                self._structure += [d for d in decisions if d.decision == "merge"]
                self._refresh()
            return self._in_words(decisions)

    def undo(self, state: str) -> tuple[str, str]:
        """Takes the reviewer's last act back, as further rows of the ledger.

        Returns:
            What was taken back, in words, and the row to show again; blank if there was nothing.
        """
        with self._lock:
            self._catch_up()
            if state != self._state:
                raise Stale
            try:
                taken = self._writer.undo(self.reviewer, expected=self._state)
            except LedgerChanged:
                self._reload()
                raise Stale from None
            if taken.empty:
                return "", ""
            self._state = self._writer.state
            self.recorded += len(taken)
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

    def picture(self, item: str, image: str) -> Path | None:
        """The file of an image, if it is one of the workspace's."""
        find = self.material.find_image
        if find is None or ".." in image or image not in self._table.images_of(item):
            return None
        return find(image)

    def settle(self) -> None:
        """Waits for work in the background."""
        if self._refreshing is not None:
            self._refreshing.join()

    # --- what is open --------------------------------------------------------------------

    def _reload(self) -> None:
        """Reads tables and ledger as they are now."""
        while True:
            state, stamp = self._writer.look(), self.material.stamp()
            table = Table(self.material, self.reviewer, self.double)
            if (state, stamp) == (self._writer.look(), self.material.stamp()):
                break
        self._take(table, state, stamp)

    def _take(self, table: Table, state: str, stamp: Stamp) -> None:
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
        self._structure = [_again(row) for row in chosen.to_dict("records")]
        self._search = Search(table)
        table.members, table.sizes, table.by_place, table.item_at  # noqa: B018 (before it is asked)

    def _catch_up(self) -> None:
        if self._writer.look() != self._state or self.material.stamp() != self._stamp:
            self._reload()

    def _refresh(self) -> None:
        """Brings paths up to date after a decision on a node, without letting anybody wait."""

        def run() -> None:
            while True:
                with self._lock:
                    state, stamp = self._state, self._stamp
                try:
                    table = Table(self.material, self.reviewer, self.double)
                except InputError:
                    return  # the next look at the ledger tells
                with self._lock:
                    if (state, stamp) == (self._writer.look(), self.material.stamp()):
                        self._take(table, state, stamp)
                        return

        if self._refreshing is None or not self._refreshing.is_alive():
            self._refreshing = threading.Thread(target=run, daemon=True)
            self._refreshing.start()

    def _together(self, n: int) -> list[int]:
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
            ahead = forecast_of(self._table, self._confidence, self._open, self.material.target)
        return {
            "decided": self._decided,
            "open": int(self._open.sum()),
            "unsure": self._unsure,
            "target": self.material.target,
            "now": ahead.now,
            "decisions": ahead.decisions,
            "best": ahead.best,
        }

    # --- a decision ----------------------------------------------------------------------

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
            seen=table.seen[n],
            said=target,
            when=datetime.now(UTC),
            where="the decision",
            row=None,
        )
        checked = table.checker.check(decision)
        if isinstance(checked, Problem):
            raise Refused(_told(checked))
        return checked

    def _hold_together(self, merges: list[Decision]) -> None:
        """Refuses merges that go in a circle with those in force."""
        made = {d.made: d for d in self._structure if d.decision == "split"}
        conflicts = Conflicts(self._table.known, made).find([*self._structure, *merges])
        for group, problem in conflicts:
            if any(decision in group for decision in merges):
                raise Refused(_told(problem))

    def _in_words(self, decisions: list[Decision]) -> str:
        first = decisions[0]
        named = name_of(self._table, self._table.at[first.row_id])
        target = self._table.known.name.get(first.target, "")
        told = {
            "keep": f"Kept {named} under {target}",
            "move": f"Moved {named} to {target}",
            "merge": f"Merged {named} into {target}",
            "stop": f"Stopped {named} at {target}",
            "exclude": f"Excluded {named}",
            "unsure": f"Left {named} open, as unsure",
        }[first.decision]
        others = len(decisions) - 1
        return f"{told}, and {others} look-alike{'s' if others > 1 else ''}" if others else told


def _lines(decisions: pd.DataFrame) -> pd.DataFrame:
    """A ledger line for each answer: look-alikes may be kept at places of their own."""
    same = decisions.groupby(["level", "decision", "target"], sort=False)
    return pd.concat([join(part) for _, part in same], ignore_index=True)


def _ledger_row(decision: Decision) -> dict[str, str]:
    return {
        "row_id": decision.row_id,
        "subject": decision.subject,
        "level": str(decision.level),
        "decision": decision.decision,
        "target": decision.target,
        "reviewer": decision.reviewer,
        "note": decision.note,
        "evidence_hash": decision.evidence_hash,
        "seen": decision.seen,
    }


def _again(row: dict[Any, Any]) -> Decision:
    """A decision in force, for checking others against it."""
    cells = {key: "" if pd.isna(value) else value for key, value in row.items()}
    names = (
        "subject",
        "decision",
        "target",
        "reviewer",
        "note",
        "decided_at",
        "evidence_hash",
        "seen",
    )
    return Decision(
        **{name: str(cells[name]) for name in names},
        level=int(cells["level"]),
        said=str(cells["target"]),
        when=datetime.fromtimestamp(0, UTC),
        where="the ledger",
        row=int(cells["row"]) if cells.get("row") else None,
    )


def _told(problem: Problem) -> str:
    text = f"{problem.what} {problem.value}" if problem.value else problem.what.rstrip(":")
    return f"{text[:1].upper()}{text[1:]}. {problem.fix}"
