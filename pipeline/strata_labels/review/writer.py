"""Writing to the ledger: one decision at a time, on the disk before the next is asked."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd

from strata_labels.errors import InputError, Problem, RetryError
from strata_labels.people_csv import clean_cell, clean_cells
from strata_labels.review.ledger import WITHDRAW, form, read_whole, split
from strata_labels.review.remembered import SAYS, Remembered
from strata_labels.tables import DECISION_COLUMNS

#: Cells of some rows by column, `DECISION_COLUMNS`.
_Columns = dict[str, list[str]]

#: How much of the ledger's end tells one state from another.
_TAIL = 4096


class LedgerChanged(RetryError):
    """Somebody else has written to the ledger since the caller looked: look again, then decide."""


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
        columns = {name: clean_cells(rows[name].tolist()) for name in DECISION_COLUMNS}
        with self._locked() as descriptor:
            if expected is not None and expected != self._state:
                raise LedgerChanged(f"{self.path} has been written to since you looked.")
            now = self._remembered.now(set(columns["reviewer"]))
            columns["decided_at"] = [when or now for when in columns["decided_at"]]
            columns["row_id"] = [
                row_id or f"{level}:{subject}"
                for row_id, level, subject in _zip(columns, "row_id", "level", "subject")
            ]
            says = self._remembered.says
            new = [n for n, cells in enumerate(_zip(columns, *SAYS)) if not says(*cells)]
            added = {name: [cells[n] for n in new] for name, cells in columns.items()}
            if new:
                self._write(descriptor, self._lines(added))
                self._remembered.add(added)
            return pd.DataFrame(added, columns=DECISION_COLUMNS, dtype=str)

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
            rows = self._remembered.latest_act(reviewer)
            state = self._state
        if expected is not None and expected != state:
            raise LedgerChanged(f"{self.path} has been written to since you looked.")
        frame = pd.DataFrame(
            {
                "subject": [row["subject"] for row in rows],
                "level": [row["level"] for row in rows],
                "decision": WITHDRAW,
                "target": [row["decided_at"] for row in rows],
                "reviewer": reviewer,
            }
        )
        return self.record(frame.drop_duplicates(), expected=state if rows else None)

    # --- what is in the file -------------------------------------------------------------

    def _forget(self) -> None:
        self._key: tuple[int, int, int] = (0, 0, 0)
        self._size, self._state = 0, ""
        self._header, self._separator = list(DECISION_COLUMNS), ","
        self._remembered = Remembered()

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
            self._remembered.add(_whole(rows))
            self._settle(descriptor)

    def _parsed(self, added: bytes) -> _Columns | None:
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
        cells = {name: [row[n] for row in rows] for n, name in enumerate(self._header)}
        blank = [""] * len(rows)
        return {name: clean_cells(cells.get(name, blank)) for name in DECISION_COLUMNS}

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
        self._remembered.add(_whole({name: frame[name].tolist() for name in frame.columns}))
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

    def _lines(self, columns: _Columns) -> str:
        """A line per decision in the file's own form."""
        lost = [
            Problem(self.path, "the ledger has no column:", "Add it to the header.", value=name)
            for name in ("note", "evidence_hash")
            if name not in self._header and any(columns[name])
        ]
        if lost:
            raise InputError(lost)
        out = io.StringIO(newline="")
        # Every cell is quoted, so that a line cut anywhere can be told from a whole one.
        writer = csv.writer(
            out, delimiter=self._separator, lineterminator="\n", quoting=csv.QUOTE_ALL
        )
        blank = [""] * len(columns["subject"])
        cells = (columns.get(name, blank) for name in self._header)
        writer.writerows(zip(*(map(_harmless, column) for column in cells), strict=True))
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


def _zip(columns: _Columns, *names: str) -> Iterator[tuple[str, ...]]:
    return zip(*(columns[name] for name in names), strict=True)


def _whole(columns: _Columns) -> _Columns:
    """With the subject and level that only the row id tells."""
    if "" not in columns["subject"]:
        return columns
    named = [
        tuple(row_id.split(":", 1)) if not subject and ":" in row_id else (level, subject)
        for row_id, level, subject in _zip(columns, "row_id", "level", "subject")
    ]
    levels, subjects = map(list, zip(*named, strict=True))
    return {**columns, "level": levels, "subject": subjects}


def _harmless(cell: str) -> str:
    """A cell that a spreadsheet does not run as a formula; `clean_cell` reads it as it was."""
    return "'" + cell if cell.startswith(("=", "+", "-", "@")) else cell


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
