"""Writing to the ledger: one decision at a time, on the disk before the next is asked."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import os
from bisect import insort
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pipeline.errors import InputError, Problem, RetryError
from pipeline.review.decision import aspect_of
from pipeline.review.ledger import WITHDRAW, form, parse_time, read_whole, split, time_text
from pipeline.review.together import spread_cells
from pipeline.tables import DECISION_COLUMNS, clean_cell

#: Cells that make a decision the same as another, besides subject, aspect and reviewer.
_SAME = ("decision", "target", "note", "evidence_hash")

#: How much of the ledger's end tells one state from another.
_TAIL = 4096


class LedgerChanged(RetryError):
    """Somebody else has written to the ledger since the caller looked: look again, then decide."""


class _Entry(NamedTuple):
    when: datetime
    decided_at: str
    subject: str
    aspect: str
    decision: str
    said: tuple[str, ...]


class LedgerWriter:
    """Appends decisions to a ledger that other processes may write to as well.

    Opening reads the file once and mends it: what a crash left of a line goes to `<file>.cut`.
    Later calls read only what others have added, hold the file's lock while they look and write,
    and return when the decision is on the disk. Many decisions in one call are one write, of which
    a crash leaves whole decisions only, in order.

    Args:
        path: the ledger; created, with its header, if absent.

    Attributes:
        cut: one problem for each torn line that this writer has put aside.

    Raises:
        InputError: the file is there and is no ledger, or is not UTF-8.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.cut: list[Problem] = []
        self._forget()
        self.look()

    @property
    def state(self) -> str:
        """What the ledger was when this writer last looked; `record` can insist on it."""
        return self._state

    def look(self) -> str:
        """Reads what others have written since; returns the state of now."""
        with self._locked():
            return self._state

    def record(self, decisions: pd.DataFrame, expected: str | None = None) -> pd.DataFrame:
        """Appends decisions; they are on the disk when this returns.

        A decision that its reviewer's latest one on the same subject already says is not repeated,
        so a click or a sheet that arrives twice, or again after a crash, leaves the same file.

        Args:
            decisions: at least `subject, level, decision, target, reviewer` of `DECISION_COLUMNS`,
                text; a blank `row_id` is `level:subject`, a blank `decided_at` is now (or just
                after the reviewer's latest decision, where a clock was put back).
            expected: the `state` the reviewer decided on.

        Returns:
            What was added, `DECISION_COLUMNS`.

        Raises:
            LedgerChanged: the ledger is not in the `expected` state; nothing is written.
            InputError: the ledger has no column for a cell that is given.
            RetryError: the disk refused; the ledger is as before.
        """
        rows = decisions.reindex(columns=DECISION_COLUMNS).astype(object)
        rows = rows.where(rows.notna(), "").astype(str)
        with self._locked() as descriptor:
            if expected is not None and expected != self._state:
                raise LedgerChanged(f"{self.path} has been written to since you looked.")
            now = self._now(set(rows.reviewer))
            new = []
            for row in rows.itertuples(index=False):
                cells = dict(zip(DECISION_COLUMNS, map(clean_cell, row), strict=True))
                cells["row_id"] = cells["row_id"] or f"{cells['level']}:{cells['subject']}"
                cells["decided_at"] = cells["decided_at"] or now
                if not self._says(cells):
                    new.append(cells)
            if new:
                self._write(descriptor, self._lines(new))
                for cells in new:
                    self._remember(cells)
            return pd.DataFrame(new, columns=DECISION_COLUMNS, dtype=str)

    def undo(self, reviewer: str, expected: str | None = None) -> pd.DataFrame:
        """Takes back a reviewer's latest act: all that was decided in one call of `record`.

        It is written as one `withdraw` a subject that names the time of the decision, which then
        counts as never made: what the reviewer had said before counts again. The next `undo` takes
        back the act before.

        Returns:
            The `withdraw` rows added; none if there is nothing left to take back.

        Raises:
            LedgerChanged, RetryError: as `record`.
        """
        reviewer = clean_cell(reviewer)
        with self._locked():
            rows = self._latest_act(reviewer)
            state = self._state
        if expected is not None and expected != state:
            raise LedgerChanged(f"{self.path} has been written to since you looked.")
        frame = pd.DataFrame(
            {
                "subject": [entry.subject for entry in rows],
                "level": [self._level[entry.subject] for entry in rows],
                "decision": WITHDRAW,
                "target": [entry.decided_at for entry in rows],
                "reviewer": reviewer,
            }
        )
        return self.record(frame.drop_duplicates(), expected=state if rows else None)

    # --- what is in the file -------------------------------------------------------------

    def _forget(self) -> None:
        self._key: tuple[int, int, int] = (0, 0, 0)
        self._size, self._state = 0, ""
        self._header, self._separator = list(DECISION_COLUMNS), ","
        # By subject and reviewer, in the order of the file.
        self._entries: dict[tuple[str, str], list[_Entry]] = defaultdict(list)
        self._withdrawn: dict[tuple[str, str], list[tuple[datetime, datetime | None]]] = {}
        # By reviewer: the times of decisions in order, and the decisions of each.
        self._times: dict[str, list[datetime]] = {}
        self._of_time: dict[str, dict[datetime, list[_Entry]]] = {}
        self._latest: dict[str, datetime] = {}
        self._level: dict[str, str] = {}

    def _remember(self, line: dict[str, str]) -> None:
        for cells in spread_cells(line):
            self._remember_one(cells)

    def _remember_one(self, cells: dict[str, str]) -> None:
        when = parse_time(cells["decided_at"])
        if when is None:
            return  # `replay` refuses it, by row
        subject, reviewer = cells["subject"], cells["reviewer"]
        self._latest[reviewer] = max(when, self._latest.get(reviewer, when))
        self._level[subject] = cells["level"]
        if cells["decision"].casefold() == WITHDRAW:
            taken = self._withdrawn.setdefault((subject, reviewer), [])
            taken.append((when, parse_time(cells["target"])))
            return
        about = aspect_of(cells["decision"].casefold(), cells["target"])
        said = tuple(cells[column] for column in _SAME)
        entry = _Entry(when, cells["decided_at"], subject, about, cells["decision"], said)
        self._entries[subject, reviewer].append(entry)
        of_time = self._of_time.setdefault(reviewer, {})
        if when not in of_time:
            insort(self._times.setdefault(reviewer, []), when)
        of_time.setdefault(when, []).append(entry)

    def _stands(self, entry: _Entry, reviewer: str) -> bool:
        return not any(
            entry.when == target if target else entry.when < when
            for when, target in self._withdrawn.get((entry.subject, reviewer), ())
        )

    def _latest_act(self, reviewer: str) -> list[_Entry]:
        """The reviewer's standing decisions of the latest time that has any."""
        of_time = self._of_time.get(reviewer, {})
        for when in reversed(self._times.get(reviewer, [])):
            standing = [entry for entry in of_time[when] if self._stands(entry, reviewer)]
            if standing:
                return standing
        return []

    def _says(self, line: dict[str, str]) -> bool:
        """Whether the reviewer's latest standing decision is this very one, on all it names."""
        return all(map(self._says_one, spread_cells(line)))

    def _says_one(self, cells: dict[str, str]) -> bool:
        word, reviewer = cells["decision"].casefold(), cells["reviewer"]
        entries = self._entries.get((cells["subject"], reviewer), [])
        if word == WITHDRAW:
            target = parse_time(cells["target"])
            made = [entry for entry in entries if target is None or entry.when == target]
            return bool(made) and not any(self._stands(entry, reviewer) for entry in made)
        about = aspect_of(word, cells["target"])
        standing = [
            entry for entry in entries if entry.aspect == about and self._stands(entry, reviewer)
        ]
        said = tuple(cells[column] for column in _SAME)
        return bool(standing) and max(standing, key=lambda entry: entry.when).said == said

    def _now(self, reviewers: set[str]) -> str:
        latest = [self._latest[who] for who in map(clean_cell, reviewers) if who in self._latest]
        return time_text(max(latest, default=None), datetime.now(UTC))

    # --- the file ------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The open ledger under its lock, mended and read to its end."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            created = not self.path.exists()
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                # A git checkout or an editor may have put another file in its place meanwhile.
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(descriptor), self.path.stat()):
                        if created:
                            _sync_folder(self.path.parent)
                        self._catch_up(descriptor)
                        yield descriptor
                        return
            finally:
                os.close(descriptor)

    def _catch_up(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        key = (found.st_ino, found.st_size, found.st_mtime_ns)
        if key == self._key and self._state:
            return
        grown = (
            0 < self._size < found.st_size
            and found.st_ino == self._key[0]
            and self._digest(descriptor, self._size) == self._state
        )
        added = os.pread(descriptor, found.st_size - self._size, self._size) if grown else b""
        rows = self._parsed(added) if grown else None
        if rows is None:
            self._read_all(descriptor)
        else:
            for cells in rows:
                self._remember(cells)
            self._settle(descriptor)

    def _parsed(self, added: bytes) -> list[dict[str, str]] | None:
        """Rows that others have appended, or None where only a look at the whole file can tell."""
        if added and not added.endswith(b"\n"):
            return None
        try:
            lines = io.StringIO(added.decode("utf-8"), newline="")
            rows = list(csv.reader(lines, delimiter=self._separator, strict=True))
        except (UnicodeDecodeError, csv.Error):
            return None
        if any(len(row) != len(self._header) for row in rows):
            return None
        return [self._cells(row) for row in rows]

    def _cells(self, row: list[str]) -> dict[str, str]:
        given = dict(zip(self._header, map(clean_cell, row), strict=True))
        cells = {column: given.get(column, "") for column in DECISION_COLUMNS}
        if not cells["subject"] and ":" in cells["row_id"]:
            cells["level"], cells["subject"] = cells["row_id"].split(":", 1)
        return cells

    def _read_all(self, descriptor: int) -> None:
        raw = self.path.read_bytes()
        if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise InputError(Problem(self.path, "the ledger is UTF-16", "Save it as UTF-8 (CSV)."))
        whole, tail = split(raw)
        frame = read_whole(self.path, whole) if whole else None
        self._forget()
        if tail:
            with self.path.with_name(self.path.name + ".cut").open("ab") as beside:
                beside.write(tail + b"\n")
                beside.flush()
                os.fsync(beside.fileno())
            os.ftruncate(descriptor, len(whole))
            row, text = whole.count(b"\n") + 1, tail.decode("utf-8", "replace")
            fix = f"Decide it again; the characters are in {self.path.name}.cut."
            what = "a decision was cut short by a crash:"
            self.cut.append(Problem(self.path, what, fix, row, value=text))
        if frame is None:
            self._write(descriptor, ",".join(DECISION_COLUMNS) + "\n")
            return
        self._header, self._separator = form(whole)
        for values in frame.itertuples(index=False):
            cells = dict(zip(frame.columns, values, strict=True))
            if not cells["subject"] and ":" in cells["row_id"]:
                cells["level"], cells["subject"] = cells["row_id"].split(":", 1)
            self._remember(cells)
        if not whole.endswith(b"\n"):
            os.write(descriptor, b"\n")
        self._settle(descriptor)

    def _settle(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        self._key = (found.st_ino, found.st_size, found.st_mtime_ns)
        self._size, self._state = found.st_size, self._digest(descriptor, found.st_size)

    @staticmethod
    def _digest(descriptor: int, size: int) -> str:
        tail = os.pread(descriptor, min(size, _TAIL), max(0, size - _TAIL))
        return f"{size}-{hashlib.sha256(tail).hexdigest()[:16]}"

    def _lines(self, rows: list[dict[str, str]]) -> str:
        """A line per decision in the file's own form."""
        lost = [
            Problem(self.path, "the ledger has no column:", "Add it to the header.", value=column)
            for column in ("note", "evidence_hash")
            if column not in self._header and any(row[column] for row in rows)
        ]
        if lost:
            raise InputError(lost)
        out = io.StringIO(newline="")
        # Every cell is quoted, so that a line cut anywhere can be told from a whole one.
        writer = csv.writer(
            out, delimiter=self._separator, lineterminator="\n", quoting=csv.QUOTE_ALL
        )
        writer.writerows(
            [_harmless(row.get(column, "")) for column in self._header] for row in rows
        )
        return out.getvalue()

    def _write(self, descriptor: int, text: str) -> None:
        before = os.fstat(descriptor).st_size
        left = memoryview(text.encode("utf-8"))
        try:
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        except OSError as error:
            os.ftruncate(descriptor, before)
            raise RetryError(f"{self.path} cannot be written ({error.strerror}).") from None
        self._settle(descriptor)


def append(path: Path, decisions: pd.DataFrame) -> int:
    """Adds decisions to a ledger, as one act; returns how many (see `LedgerWriter.record`)."""
    return len(LedgerWriter(path).record(decisions))


def _harmless(cell: str) -> str:
    """A cell that a spreadsheet does not run as a formula; `clean_cell` reads it as it was."""
    return "'" + cell if cell[:1] in tuple("=+-@") else cell


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
