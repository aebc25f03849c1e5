"""The decision ledger's file: an append-only CSV with one decision per line.

A line may hold one decision on several items, with all their ids in one cell: `batch_decisions`.
`LedgerWriter` adds lines; `decisions.py` says what they mean.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from strata_labels.errors import InputError, Problem, gathered, refuse
from strata_labels.people_csv import clean_cell, read_people_csv
from strata_labels.review.decisions import (
    PLACE_COLUMNS,
    WITHDRAW,
    Decision,
    parse_times,
    time_text,
)
from strata_labels.tables import DECISION_COLUMNS

_OPTIONAL = ["row_id", "note", "evidence_hash", "seen"]
_REQUIRED = [column for column in DECISION_COLUMNS if column not in _OPTIONAL]

#: Between the items of a subject, and between the hashes of what was seen of each.
BAR = "|"
# Between what was seen of each item, in ledgers of version 0.1.0.
_OLD_SEEN_BAR = " | "


@dataclass(frozen=True)
class Ledger:
    """The decisions of one or more ledger files, as written: nothing is checked yet.

    Attributes:
        decisions: `DECISION_COLUMNS` and `PLACE_COLUMNS`, all text but `row`; a line on several
            items is a row for each of them.
    """

    decisions: pd.DataFrame


def read_ledger(*paths: Path) -> Ledger:
    """Reads ledgers, the base first; a file that does not exist holds no decision.

    A last line that a crash has cut short is left out, see `cut_decisions`.

    Raises:
        InputError: a file is not a ledger (all problems of all files).
    """
    frames, problems = [], list[Problem]()
    for path in map(Path, paths):
        whole = split_torn(path.read_bytes())[0] if path.exists() else b""
        if not whole:
            continue
        with gathered(problems):
            frame = read_whole(path, whole)
            frames.append(frame.assign(file=str(path), row=frame.index))
    refuse(problems)
    if not frames:
        return Ledger(_no_decisions().copy())
    found = unbatch_decisions(pd.concat(frames, ignore_index=True))
    return Ledger(found.assign(row=found["row"].astype("int64")))


@cache
def _no_decisions() -> pd.DataFrame:
    """What a ledger without decisions holds: a build without any reads it several times."""
    empty = pd.DataFrame(columns=DECISION_COLUMNS + PLACE_COLUMNS, dtype=str)
    return empty.assign(row=empty["row"].astype("int64"))


def time_after(ledger: Ledger, now: datetime) -> str:
    """The `decided_at` of new decisions: `now`, in UTC to the millisecond.

    If the ledger has that time already, or a later one (two applies in a row, a clock that was put
    back), it is a millisecond after the latest: a new decision always counts as later.
    """
    times = [when for when in parse_times(ledger.decisions.decided_at.tolist()) if when]
    return time_text(max(times, default=None), now)


# --- lines that a crash has cut short ------------------------------------------------------


def cut_file(ledger: Path) -> Path:
    """Where `LedgerWriter` puts the characters of lines that a crash has cut short."""
    return ledger.with_name(ledger.name + ".cut")


def lock_of(ledger: Path) -> Path:
    """The lock file of the review page that is open on a ledger."""
    return ledger.with_name(ledger.name + ".lock")


def cut_record(row: int, tail: bytes) -> bytes:
    """A line of `cut_file`: the ledger's line and what was left of it, as JSON."""
    text = tail.decode("utf-8", "replace")
    return json.dumps({"row": row, "text": text}, ensure_ascii=False).encode() + b"\n"


def cut_decisions(*paths: Path) -> list[Problem]:
    """One problem for each decision that a crash cut short and that was not decided again.

    The cut line is the last of the ledger; the next decision moves it to `cut_file`. It counts as
    decided again if a later line of the ledger decides on everything that it names.
    """
    problems = []
    for path in map(Path, paths):
        whole, tail = split_torn(path.read_bytes()) if path.exists() else (b"", b"")
        found = list(_put_aside(cut_file(path)))
        if found and whole:
            later = unbatch_decisions(read_whole(path, whole))
            row_ids = later.row_id.where(later.row_id != "", later.level + ":" + later.subject)
            decided = dict(zip(row_ids, later.index, strict=True))
            found = [cut for cut in found if not _decided_again(*cut, decided)]
        if whole and tail:
            found.append((whole.count(b"\n") + 1, tail.decode("utf-8", "replace")))
        what = "a decision was cut short by a crash:"
        fix = f"Decide it again, or delete {cut_file(path).name} if it does not matter any more."
        problems += [Problem(path, what, fix, row or None, value=text) for row, text in found]
    return problems


def _put_aside(beside: Path) -> Iterator[tuple[int, str]]:
    """Lines of a ledger's `cut_file`; version 0.1.0 wrote their text alone, without a line (0)."""
    if not beside.is_file():
        return
    for line in beside.read_bytes().decode("utf-8", "replace").splitlines():
        try:
            record = json.loads(line)
            yield int(record["row"]), str(record["text"])
        except (ValueError, TypeError, KeyError, RecursionError):
            if line:
                yield 0, line


def _decided_again(row: int, text: str, decided: dict[str, int]) -> bool:
    """Whether the row that a cut line names was decided from that line on."""
    cells = text.split('","' if text.startswith('"') else ",")
    if len(cells) < 2:
        return False  # the row itself is cut
    row_id = clean_cell(cells[0].removeprefix('"'))
    level, _, subject = row_id.partition(":")
    each = [f"{level}:{part}" for part in subject.split(BAR)]
    return any(
        all(decided.get(name, -1) >= max(row, 0) for name in names) for names in ([row_id], each)
    )


def split_torn(raw: bytes) -> tuple[bytes, bytes]:
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
        header, separator = form_of(raw[:end])
        text = tail.decode("utf-8").rstrip("\r")
        cells = next(csv.reader([text], delimiter=separator, strict=True))
        good = len(cells) >= len(header) and (not text.startswith('"') or text.endswith('"'))
    except (UnicodeDecodeError, csv.Error):
        good = False
    return (raw, b"") if good else (raw[:end], tail)


def form_of(whole: bytes) -> tuple[list[str], str]:
    """Header and separator of a ledger that may have been through a spreadsheet."""
    line = whole.split(b"\n", 1)[0].decode("utf-8-sig").rstrip("\r")
    separator = max(",;\t", key=line.count)
    header = next(csv.reader([line], delimiter=separator))
    return [clean_cell(cell).casefold() for cell in header], separator


def read_whole(path: Path, whole: bytes) -> pd.DataFrame:
    """Reads the whole lines of a ledger, all cells as text; the index is the line.

    Args:
        path: the file, for the messages.
        whole: its bytes without a torn last line.

    Raises:
        InputError: it is no ledger.
    """
    if len(whole) == path.stat().st_size:
        return read_people_csv(path, _REQUIRED, _OPTIONAL)[DECISION_COLUMNS]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(whole)
        try:
            return read_people_csv(copy, _REQUIRED, _OPTIONAL)[DECISION_COLUMNS]
        except InputError as error:
            raise InputError(replace(problem, where=path) for problem in error.problems) from None


# --- one line for several items ----------------------------------------------------------------


def batch_decisions(decisions: pd.DataFrame) -> pd.DataFrame:
    """Makes one line of decisions that say the same of several items.

    Args:
        decisions: `DECISION_COLUMNS`, one row an item, alike but for row, subject, evidence hash
            and `seen` (JSON, or blank).

    Returns:
        One row whose subject, evidence hash and `seen` hold those of all items;
        `unbatch_decisions` takes it apart again. If an id contains a bar, or what was seen is not
        JSON, the decisions are returned as they are.
    """
    if len(decisions) < 2 or decisions["subject"].str.contains(BAR, regex=False).any():
        return decisions
    seen = decisions["seen"] if "seen" in decisions else pd.Series("", decisions.index)
    if seen.nunique() > 1 and not (seen.eq("") | seen.str.startswith("{")).all():
        return decisions
    one = decisions.iloc[:1].copy()
    one["subject"] = BAR.join(decisions["subject"])
    one["evidence_hash"] = BAR.join(decisions["evidence_hash"])
    one["row_id"] = one["level"].astype(str) + ":" + one["subject"]
    if seen.nunique() > 1:
        one["seen"] = f"[{','.join(seen.replace('', 'null'))}]"
    return one


def ledger_lines(decisions: list[Decision]) -> pd.DataFrame:
    """Lines for decisions, one for all that say the same of several items."""
    cells = {name: [str(getattr(d, name)) for d in decisions] for name in DECISION_COLUMNS}
    frame = pd.DataFrame(cells)
    if len(decisions) == 1:
        return frame
    same = frame.groupby(["level", "decision", "target"], sort=False)
    return pd.concat([batch_decisions(part) for _, part in same], ignore_index=True)


def withdrawal(taken: Iterable[tuple[str, str, str]], time: str = "") -> pd.DataFrame:
    """Rows that take decisions back, one for all subjects of a reviewer and a level.

    Args:
        taken: reviewer, level and subject of what is taken back.
        time: `decided_at` of what is taken back; "" for all before.

    Returns:
        `DECISION_COLUMNS`; the time of the withdrawal is left blank.
    """
    subjects: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for reviewer, level, subject in taken:
        subjects[reviewer, level][subject] = None
    blank = dict.fromkeys(DECISION_COLUMNS, "") | {"decision": WITHDRAW, "target": time}
    lines = [pd.DataFrame(columns=DECISION_COLUMNS, dtype=str)]
    for (reviewer, level), several in subjects.items():
        own = blank | {"reviewer": reviewer, "level": level}
        each = [own | {"row_id": f"{level}:{one}", "subject": one} for one in several]
        lines.append(batch_decisions(pd.DataFrame(each)))
    return pd.concat(lines, ignore_index=True)


def unbatch_decisions(decisions: pd.DataFrame) -> pd.DataFrame:
    """A row an item for lines on several; all others as they are, in their order.

    A subject names several items if there are as many evidence hashes; an id that merely contains a
    bar has one hash and stays whole.
    """
    bars = decisions["subject"].str.count(r"\|")
    several = (bars > 0) & (bars == decisions["evidence_hash"].str.count(r"\|"))
    if not several.any():
        return decisions
    parts = {
        n: unbatch_cells({str(key): cell for key, cell in decisions.iloc[n].items()})
        for n in np.flatnonzero(several)
    }
    counts = np.ones(len(decisions), dtype=np.int64)
    counts[list(parts)] = [len(some) for some in parts.values()]
    at = np.repeat(np.arange(len(decisions)), counts)
    rows = decisions.iloc[at].copy()
    batched = several.to_numpy()[at]
    for column in ("row_id", "subject", "evidence_hash", *(["seen"] if "seen" in rows else [])):
        cells = rows[column].to_numpy(dtype=object, copy=True)
        cells[batched] = [part[column] for some in parts.values() for part in some]
        rows[column] = cells
    return rows


def unbatch_cells(cells: dict[str, str]) -> list[dict[str, str]]:
    """As `unbatch_decisions`, for the cells of one line (`level, subject, evidence_hash`)."""
    subjects, hashes = cells["subject"].split(BAR), cells["evidence_hash"].split(BAR)
    if len(subjects) < 2 or len(subjects) != len(hashes):
        return [cells]
    seen = _seen_of_each(cells.get("seen", ""), len(subjects))
    return [
        {**cells, "row_id": f"{cells['level']}:{subject}", "subject": subject,
         "evidence_hash": digest, "seen": own}
        for subject, digest, own in zip(subjects, hashes, seen, strict=True)
    ]  # fmt: skip


def _seen_of_each(text: str, count: int) -> list[str]:
    """What was seen of each item of a line; one cell that is no list was seen of all."""
    if not text.startswith("["):
        parts = text.split(_OLD_SEEN_BAR)
        return parts if len(parts) == count else [text] * count
    found: list[str] = []
    at, decoder = 1, json.JSONDecoder()
    try:
        while len(found) < count:
            seen, end = decoder.raw_decode(text, at)
            found.append(text[at:end] if seen else "")
            at = end + 1
    except ValueError:  # not ours: people may write what they like
        return [text] * count
    return found
