"""Appends decisions to the ledger; each is on the disk before the next is asked for."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import starmap
from pathlib import Path

import pandas as pd

from strata_labels.errors import InputError, Problem, RetryError, refuse
from strata_labels.files import sync_folder
from strata_labels.people_csv import clean_cell, clean_cells
from strata_labels.review.decisions import texts
from strata_labels.review.ledger import (
    cut_file,
    cut_record,
    form_of,
    read_whole,
    split_torn,
    unbatch_decisions,
    withdrawal,
)
from strata_labels.review.ledger_index import SAME, Columns, LedgerIndex
from strata_labels.tables import DECISION_COLUMNS

# How many bytes at the ledger's end tell one state from another.
_TAIL = 4096


class LedgerChanged(RetryError):
    """Someone else has written to the ledger since the caller last read it."""


class LedgerWriter:
    """Appends decisions to a ledger that other processes may write to as well.

    Opening reads the file once and mends it: what a crash left of a line goes to `cut_file`. Later
    calls read only what others have added, hold the file's lock while they read and write, and
    return when the decision is on the disk. Many decisions in one call are one write, of which a
    crash leaves whole lines only, in order.

    Args:
        path: the ledger; created, with its header, if absent.

    Raises:
        InputError: the file is there and is no ledger, or is not UTF-8.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._forget()
        self.look()

    @property
    def state(self) -> str:
        """A fingerprint of the ledger as this writer last read it."""
        return self._state

    def look(self) -> str:
        """Reads what others have written since; returns the new state."""
        with self._locked():
            return self._state

    def record(self, decisions: pd.DataFrame, expected: str | None = None) -> pd.DataFrame:
        """Appends decisions; they are on the disk when this returns.

        A decision that is active already is not repeated, so a click or a sheet that arrives twice,
        or again after a crash, leaves the same file.

        Args:
            decisions: at least `subject, level, decision, target, reviewer` of `DECISION_COLUMNS`,
                text; a blank `row_id` is `level:subject`, a blank `decided_at` is now (or just
                after the reviewer's latest decision, if a clock was put back).
            expected: the `state` that the reviewer has seen; None for any.

        Returns:
            What was added, `DECISION_COLUMNS`.

        Raises:
            LedgerChanged: the ledger is not in the `expected` state; nothing is written.
            InputError: the ledger has no column for a cell that is given.
            RetryError: the disk refused; the ledger is as before.
        """
        with self._locked() as descriptor:
            if expected is not None and expected != self._state:
                raise LedgerChanged(f"{self.path} has been written to since you looked.")
            if "evidence_hash" in decisions and "evidence_hash" not in self._header:
                decisions = unbatch_decisions(decisions)  # a line on several items needs hashes
            blank = [""] * len(decisions)
            columns = {
                name: clean_cells(texts(decisions[name])) if name in decisions else blank
                for name in DECISION_COLUMNS
            }
            now = self._index.now(set(columns["reviewer"]))
            columns["decided_at"] = [when or now for when in columns["decided_at"]]
            columns["row_id"] = [
                row_id or f"{level}:{subject}"
                for row_id, level, subject in _zip(columns, "row_id", "level", "subject")
            ]
            names = ("subject", "reviewer", *SAME)
            new = [
                n
                for n, cells in enumerate(_zip(columns, *names))
                if not self._index.repeats(*cells)
            ]
            added = {name: [cells[n] for n in new] for name, cells in columns.items()}
            if new:
                self._write(descriptor, self._lines(added))
                self._index.add(added)
            return pd.DataFrame(added, columns=DECISION_COLUMNS, dtype=str)

    def has(self, decisions: pd.DataFrame) -> bool:
        """Whether all of some decisions are active already, so that `record` would add nothing."""
        names = ("subject", "reviewer", *SAME)
        columns = {name: clean_cells(decisions[name].tolist()) for name in names}
        return all(starmap(self._index.repeats, _zip(columns, *names)))

    def undo(self, reviewer: str, expected: str | None = None) -> pd.DataFrame:
        """Takes back what a reviewer decided last: all of one call of `record`.

        It writes `withdraw` lines that name the time of the decisions. They then count as never
        made, and what the reviewer decided before counts again. The next `undo` takes back the
        call before.

        Returns:
            The lines added, `DECISION_COLUMNS`; none if there is nothing left to take back.

        Raises:
            LedgerChanged, RetryError: as `record`.
        """
        reviewer = clean_cell(reviewer)
        with self._locked():
            active, state = self._index.latest_active(reviewer), self._state
        if expected is not None and expected != state:
            raise LedgerChanged(f"{self.path} has been written to since you looked.")
        taken = [(reviewer, level, subject) for subject, level, _ in active]
        return self.record(withdrawal(taken, active[0][2] if active else ""), expected=state)

    def _forget(self) -> None:
        self._key: tuple[int, int, int] = (0, 0, 0)
        self._size, self._state = 0, ""
        self._header, self._separator = list(DECISION_COLUMNS), ","
        self._index = LedgerIndex()

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
                            sync_folder(self.path.parent)
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
            self._index.add(_whole(rows))
            self._settle(descriptor)

    def _parsed(self, added: bytes) -> Columns | None:
        """Rows that others have appended, or None if the whole file has to be read."""
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
        if b"\r" in raw and b"\n" not in raw:
            what, fix = "the ledger's lines end with CR alone", "Save it with line feeds (LF)."
            raise InputError(Problem(self.path, what, fix))
        whole, tail = split_torn(raw)
        frame = read_whole(self.path, whole) if whole else None
        self._forget()
        if tail:
            if whole:  # of a header that was cut nothing is lost
                with cut_file(self.path).open("ab") as beside:
                    beside.write(cut_record(whole.count(b"\n") + 1, tail))
                    beside.flush()
                    os.fsync(beside.fileno())
            os.ftruncate(descriptor, len(whole))
        if frame is None:
            self._write(descriptor, ",".join(DECISION_COLUMNS) + "\n")
            return
        self._header, self._separator = form_of(whole)
        self._index.add(_whole({name: frame[name].tolist() for name in frame.columns}))
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

    def _lines(self, columns: Columns) -> str:
        """A line per decision in the file's own form."""
        lost = [
            Problem(self.path, "the ledger has no column:", "Add it to the header.", value=name)
            for name in ("note", "evidence_hash")
            if name not in self._header and any(columns[name])
        ]
        refuse(lost)
        out = io.StringIO(newline="")
        # Every cell is quoted, so that a line cut anywhere differs from a whole one.
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
    """Adds decisions to a ledger, in one call; returns how many (see `LedgerWriter.record`)."""
    return len(LedgerWriter(path).record(decisions))


def _zip(columns: Columns, *names: str) -> Iterator[tuple[str, ...]]:
    return zip(*(columns[name] for name in names), strict=True)


def _whole(columns: Columns) -> Columns:
    """With subject and level from the row id, for rows that have only that."""
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
