"""The decision ledger: an append-only CSV, one human decision a row."""

from __future__ import annotations

import csv
import fcntl
import io
import os
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from pipeline.errors import InputError, Problem
from pipeline.review.together import spread
from pipeline.tables import DECISION_COLUMNS, clean_cell, read_people_csv

#: What a reviewer can decide; `replay` says what each means.
DECISIONS = ("keep", "move", "merge", "rename", "stop", "exclude", "unsure")

#: Where a decision stands: its file, and its 1-based line there.
PLACE_COLUMNS = ["file", "row"]

_OPTIONAL = ["row_id", "note", "evidence_hash"]
_REQUIRED = [column for column in DECISION_COLUMNS if column not in _OPTIONAL]


@dataclass(frozen=True)
class Ledger:
    """The decisions of one or more ledger files, as written: nothing is checked yet.

    Attributes:
        decisions: `DECISION_COLUMNS` and `PLACE_COLUMNS`, all text but `row`; a line on several
            items (see `join`) is a row for each of them.
        cut: one problem for each file whose last line a crash has cut short. The cut line is not
            among the decisions; `append` puts it aside as `<file>.cut`.
    """

    decisions: pd.DataFrame
    cut: list[Problem]


def read_ledger(*paths: Path) -> Ledger:
    """Reads ledgers, the base first; a file that does not exist holds no decision.

    Raises:
        InputError: a file is not a ledger (all problems of all files).
    """
    frames, cut, problems = [], [], []
    for path in map(Path, paths):
        if not path.exists():
            continue
        whole, tail = _split(path.read_bytes())
        if not whole:
            continue
        try:
            frame = _read(path, whole)
        except InputError as error:
            problems += error.problems
            continue
        frames.append(frame.assign(file=str(path), row=frame.index))
        if tail:
            text = tail.decode("utf-8", "replace")
            row = whole.count(b"\n") + 1
            fix = "Decide it again; the next decision written puts these characters aside."
            cut.append(Problem(path, "a decision was cut short by a crash:", fix, row, value=text))
    if problems:
        raise InputError(problems)
    empty = pd.DataFrame(columns=DECISION_COLUMNS + PLACE_COLUMNS, dtype=str)
    decisions = spread(pd.concat(frames, ignore_index=True)) if frames else empty
    return Ledger(decisions.astype({"row": "int64"}), cut)


def time_after(ledger: Ledger, now: datetime) -> str:
    """The `decided_at` of new decisions: `now`, in UTC to the second.

    Where the ledger has that second already, or a later one (two applies in a row, a clock that
    was put back), it is the second after the latest: a new decision always counts as the later.
    """
    times = [when for when in map(parse_time, ledger.decisions.decided_at.unique()) if when]
    earliest = max((when + timedelta(seconds=1) for when in times), default=now)
    return max(now, earliest).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime | None:
    """An ISO time, UTC unless it says otherwise; None if it is none."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def append(path: Path, decisions: pd.DataFrame) -> int:
    """Adds decisions to a ledger, in one write that is on the disk when this returns.

    A decision that its reviewer's latest one on the same subject already says is not repeated, so
    applying a sheet twice, or again after a crash, leaves the same file. What an earlier crash
    left of a line goes to `<file>.cut` first.

    Args:
        path: the ledger; created, with its header, if absent.
        decisions: at least `DECISION_COLUMNS`, text.

    Returns:
        How many decisions were added.

    Raises:
        InputError: the file is there and is no ledger, or is not UTF-8.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        raw = path.read_bytes()
        if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise InputError(Problem(path, "the ledger is UTF-16", "Save it as UTF-8 (CSV)."))
        whole, tail = _split(raw)
        new = decisions
        if whole:
            new = _unrecorded(decisions, _read(path, whole))
        if tail:
            with path.with_name(path.name + ".cut").open("ab") as beside:
                beside.write(tail + b"\n")
                beside.flush()
                os.fsync(beside.fileno())
            os.ftruncate(descriptor, len(whole))
        text = _lines(whole, new)
        left = memoryview(text.encode("utf-8"))
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return len(new)


def _lines(whole: bytes, decisions: pd.DataFrame) -> str:
    """The text to add: header if needed, then a line per decision in the file's own form."""
    out = io.StringIO(newline="")
    header, separator = DECISION_COLUMNS, ","
    if whole:
        header, separator = _form(whole)
        out.write("" if whole.endswith(b"\n") else "\n")
    else:
        out.write(",".join(DECISION_COLUMNS) + "\n")
    # Every cell is quoted, so that a line cut anywhere can be told from a whole one.
    writer = csv.writer(out, delimiter=separator, lineterminator="\n", quoting=csv.QUOTE_ALL)
    rows = decisions.reindex(columns=header, fill_value="").fillna("").astype(str)
    writer.writerows([clean_cell(cell) for cell in row] for row in rows.itertuples(index=False))
    return out.getvalue()


def _form(whole: bytes) -> tuple[list[str], str]:
    """Header and separator of a ledger that may have been through a spreadsheet."""
    line = whole.split(b"\n", 1)[0].decode("utf-8-sig").rstrip("\r")
    separator = max(",;\t", key=line.count)
    return [clean_cell(c).casefold() for c in next(csv.reader([line], delimiter=separator))], (
        separator
    )


def _split(raw: bytes) -> tuple[bytes, bytes]:
    """Splits a ledger's bytes into whole lines and what a crash left of the last one.

    A last line without a line end is whole if it has all its cells and, when it is one of ours
    (they start with a quotation mark), ends with the closing mark of its last cell.
    """
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw, b""
    end = raw.rfind(b"\n") + 1
    tail = raw[end:]
    if not end and ",".join(DECISION_COLUMNS).encode().startswith(raw):
        return b"", raw  # the header itself was cut: nothing was decided here yet
    if not tail or not end:
        return raw, b""
    try:
        header, separator = _form(raw[:end])
        text = tail.decode("utf-8").rstrip("\r")
        cells = next(csv.reader([text], delimiter=separator, strict=True))
        good = len(cells) >= len(header) and (not text.startswith('"') or text.endswith('"'))
    except (UnicodeDecodeError, csv.Error):
        good = False
    return (raw, b"") if good else (raw[:end], tail)


def _read(path: Path, whole: bytes) -> pd.DataFrame:
    if len(whole) == path.stat().st_size:
        return read_people_csv(path, _REQUIRED, _OPTIONAL)[DECISION_COLUMNS]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(whole)
        try:
            return read_people_csv(copy, _REQUIRED, _OPTIONAL)[DECISION_COLUMNS]
        except InputError as error:
            raise InputError(replace(problem, where=path) for problem in error.problems) from None


def aspect(decision: pd.Series) -> pd.Series:
    """What a decision is about: a node's name and its place are decided separately."""
    return decision.eq("rename").map({True: "name", False: "place"})


def _unrecorded(decisions: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    """The decisions that the same reviewer's latest ones in `ledger` do not say already."""
    what = ["decision", "target", "note", "evidence_hash"]
    key = ["subject", "aspect", "reviewer"]
    old = ledger.assign(aspect=aspect(ledger.decision)).sort_values("decided_at", kind="stable")
    old = old.drop_duplicates(key, keep="last")[key + what]
    new = decisions.fillna("").assign(aspect=aspect(decisions.decision))
    for column in what + key:
        new[column] = new[column].map(clean_cell)
    same = new[key + what].merge(old, on=key + what, how="left", indicator=True)._merge == "both"
    return decisions[~same.to_numpy()]
