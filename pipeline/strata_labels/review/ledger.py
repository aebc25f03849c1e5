"""The decision ledger: an append-only CSV, one human decision a row."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from strata_labels.errors import InputError, Problem
from strata_labels.people_csv import clean_cell, read_people_csv
from strata_labels.review.together import spread
from strata_labels.tables import DECISION_COLUMNS

#: What a reviewer can decide; `replay` says what each means.
DECISIONS = (
    "keep",
    "move",
    "merge",
    "split",
    "rename",
    "stop",
    "exclude",
    "unsure",
    "withdraw",
)

#: Takes back what the same reviewer decided on the subject: at the time that is the target, or all
#: before it where that is blank.
WITHDRAW = "withdraw"

#: Where a decision stands: its file, and its 1-based line there.
PLACE_COLUMNS = ["file", "row"]

_OPTIONAL = ["row_id", "note", "evidence_hash", "seen"]
_REQUIRED = [column for column in DECISION_COLUMNS if column not in _OPTIONAL]


@dataclass(frozen=True)
class Ledger:
    """The decisions of one or more ledger files, as written: nothing is checked yet.

    Attributes:
        decisions: `DECISION_COLUMNS` and `PLACE_COLUMNS`, all text but `row`; a line on several
            items (see `join`) is a row for each of them.
        cut: one problem for each file whose last line a crash has cut short. The cut line is not
            among the decisions; `LedgerWriter` puts it aside as `<file>.cut`.
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
        whole, tail = split(path.read_bytes())
        if not whole:
            continue
        try:
            frame = read_whole(path, whole)
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
    """The `decided_at` of new decisions: `now`, in UTC to the millisecond.

    Where the ledger has that time already, or a later one (two applies in a row, a clock that
    was put back), it is a millisecond after the latest: a new decision always counts as later.
    """
    times = [when for when in parse_times(ledger.decisions.decided_at.tolist()) if when]
    return time_text(max(times, default=None), now)


def time_text(latest: datetime | None, now: datetime) -> str:
    """`now` in UTC to the millisecond, or the millisecond after `latest` if that is not later."""
    when = now.replace(microsecond=now.microsecond // 1000 * 1000)
    if latest is not None and latest >= when:
        when = latest + timedelta(milliseconds=1)
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime | None:
    """An ISO time, UTC unless it says otherwise; None if it is none."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def parse_times(texts: Sequence[str]) -> list[datetime | None]:
    """`parse_time` of each; a ledger repeats many."""
    found = {text: parse_time(text) for text in dict.fromkeys(texts)}
    return [found[text] for text in texts]


def form(whole: bytes) -> tuple[list[str], str]:
    """Header and separator of a ledger that may have been through a spreadsheet."""
    line = whole.split(b"\n", 1)[0].decode("utf-8-sig").rstrip("\r")
    separator = max(",;\t", key=line.count)
    return [clean_cell(c).casefold() for c in next(csv.reader([line], delimiter=separator))], (
        separator
    )


def split(raw: bytes) -> tuple[bytes, bytes]:
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
        header, separator = form(raw[:end])
        text = tail.decode("utf-8").rstrip("\r")
        cells = next(csv.reader([text], delimiter=separator, strict=True))
        good = len(cells) >= len(header) and (not text.startswith('"') or text.endswith('"'))
    except (UnicodeDecodeError, csv.Error):
        good = False
    return (raw, b"") if good else (raw[:end], tail)


def read_whole(path: Path, whole: bytes) -> pd.DataFrame:
    if len(whole) == path.stat().st_size:
        return read_people_csv(path, _REQUIRED, _OPTIONAL)[DECISION_COLUMNS]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(whole)
        try:
            return read_people_csv(copy, _REQUIRED, _OPTIONAL)[DECISION_COLUMNS]
        except InputError as error:
            raise InputError(replace(problem, where=path) for problem in error.problems) from None
