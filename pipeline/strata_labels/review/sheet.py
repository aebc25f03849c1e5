"""The review sheet: a CSV in which people decide with a spreadsheet program."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from strata_labels.errors import InputError, Problem
from strata_labels.evidence import Seen, evidence_text, is_old_hash, reason_text, write_seen
from strata_labels.files import whole
from strata_labels.people_csv import clean_cell, read_people_csv
from strata_labels.review.apply import Resolution
from strata_labels.review.decisions import DECISIONS, Decision, decisions_frame, seen_of
from strata_labels.review.ranking import queue
from strata_labels.review.validate import Checker, agreed, without_conflicts
from strata_labels.tree import LabelTree

#: Columns a reviewer writes in.
EDITABLE = ["decision", "target", "note", "reviewer"]

SHEET_COLUMNS = [
    "row_id",
    "level",
    "kind",
    "subject",
    "name",
    "address",
    "current",
    "suggestion",
    "suggestion_id",
    "confidence",
    "alternatives",
    "reasons",
    "evidence",
    "members",
    "examples",
    *EDITABLE,
    "evidence_hash",
]

EXAMPLES = 5

#: Characters of a cell; Excel holds 32,767.
LONGEST = 32_000

# A cell is neutralised if a spreadsheet would take it for a formula, or if it already looks
# neutralised: so taking one apostrophe off again always gives the original.
_FORMULA = re.compile(r"^'*[=+\-@]")
_NEUTRALISED = re.compile(r"^'+[=+\-@]")
# An all-digit hash, or one like 12e4..., would be read as a number and rounded.
_HASH_MARK = "#"


@dataclass(frozen=True)
class Sheet:
    """What people decided in a sheet.

    Attributes:
        decisions: `DECISION_COLUMNS`, targets as node ids: ready for `append`.
        stale: one problem for each decided row whose evidence has changed since the sheet was
            written: refused by name, while the rest is taken.
    """

    decisions: pd.DataFrame
    stale: list[Problem]


def neutralise(cell: str) -> str:
    """Makes a cell harmless to a spreadsheet; `restore` gives it back.

    Example:
        >>> neutralise("=1+1"), restore(neutralise("=1+1")), restore(neutralise("'=x"))
        ("'=1+1", '=1+1', "'=x")
    """
    return "'" + cell if _FORMULA.match(cell) else cell


def restore(cell: str) -> str:
    """The cell that `neutralise` was given."""
    return cell[1:] if _NEUTRALISED.match(cell) else cell


def write_sheet(
    path: Path, resolution: Resolution, items: pd.DataFrame, levels: Sequence[str]
) -> int:
    """Writes all open rows in the order of `queue`; UTF-8 with byte-order mark, for Excel.

    Args:
        path: the sheet; replaced as a whole.
        resolution: from `replay`.
        items: the table `items` (`item_id, name, source_url`).
        levels: names of the levels, level 0 first.

    Returns:
        Number of rows written.
    """
    known = resolution.tree
    members, examples = _members(resolution.rows, items, known)
    rows = queue(resolution, items)
    is_item = rows.level == 1
    described = items.set_index("item_id")
    path_name = {node: known.path_name(node) for node in known.level}
    sheet = pd.DataFrame(
        {
            "row_id": rows.row_id,
            "level": rows.level.astype(int),
            "kind": rows.level.map(lambda level: levels[level - 1]),
            "subject": rows.subject,
            "name": rows.subject.map(described.name).where(is_item, rows.subject.map(known.name)),
            "address": rows.subject.map(described.source_url),
            "current": rows.parent.map(path_name),
            "suggestion": rows.suggestion.map(path_name),
            "suggestion_id": rows.suggestion,
            "confidence": rows.confidence.fillna(0).map("{:.3f}".format),
            "alternatives": [
                "; ".join(path_name[o.node] for o in others if o.node in path_name)
                for others in rows.alternatives
            ],
            "reasons": [" ".join(reason_text(reasons, known.name)) for reasons in rows.reasons],
            "evidence": [
                " ".join(evidence_text(evidence, known.name, with_images=True))
                for evidence in rows.evidence
            ],
            "members": rows.subject.map(members).where(~is_item, 1).fillna(0).astype(int),
            "examples": rows.subject.map(examples).where(~is_item, ""),
            "evidence_hash": _HASH_MARK + rows.evidence_hash.fillna(""),
        },
        columns=SHEET_COLUMNS,
    )
    for column in sheet.columns.difference(["level", "members", "confidence", "evidence_hash"]):
        cells = sheet[column].astype(object).fillna("")
        harmless = {cell: neutralise(_cell(cell)) for cell in cells.unique()}
        sheet[column] = cells.map(harmless)
    with whole(path) as beside:
        sheet.to_csv(beside, index=False, encoding="utf-8-sig", lineterminator="\n")
    return len(sheet)


def read_sheet(
    path: Path, resolution: Resolution, reviewer: str = "", decided_at: str = ""
) -> Sheet:
    """Reads the decisions of a sheet; a row without one is untouched.

    Only `row_id` and `decision` have to be there; rows and columns may be reordered, hidden or
    left out, and the file may come from a spreadsheet (see `read_people_csv`). Whether they
    contradict the ledger is for `replay` to say, on both together, before they are appended.

    A `move` without a target is to the suggestion, where that is another place than the present.

    Args:
        path: the sheet.
        resolution: from `replay` on the tables of now.
        reviewer: who decided, for rows whose cell is blank.
        decided_at: UTC time of the decisions, e.g. `2026-01-31T12:00:00Z`.

    Raises:
        InputError: every problem of the whole sheet, by row; nothing is taken then.
    """
    optional = ["target", "note", "reviewer", "evidence_hash", "subject", "current"]
    frame = read_people_csv(path, ["row_id", "decision"], optional, ended_after=EDITABLE)
    frame = frame[frame.decision != ""].map(restore)
    # The tables' own text is cleaned in the sheet, so an id is looked up as it is written there.
    rows = resolution.rows.set_index("row_id", drop=False)
    at = {clean_cell(row): n for n, row in enumerate(rows.index)}
    subjects, levels = rows.subject.tolist(), rows.level.tolist()
    own, suggested = rows.own.tolist(), rows.suggestion.fillna("").tolist()
    proposed, evidence = rows.proposed.tolist(), rows.evidence.tolist()
    parents, hashes = rows.parent.tolist(), rows.evidence_hash.fillna("").tolist()
    when = datetime.fromisoformat(decided_at) if decided_at else datetime.fromtimestamp(0, UTC)
    read: list[Decision] = []
    problems, stale = [], []
    for line, row_id, word, target, note, who, seen_hash, subject, current in frame.itertuples():

        def wrong(what: str, fix: str, column: str, value: object, line: int = line) -> None:
            problems.append(Problem(path, what, fix, line, column, value))

        who = who or clean_cell(reviewer)
        if row_id not in at:
            wrong("unknown row:", "Take the row_id from a current sheet.", "row_id", row_id)
            continue
        n = at[row_id]
        if subject and subject != clean_cell(subjects[n]):
            fix = "Take both cells from one row of the sheet."
            wrong(f"the row of {subjects[n]}, but its subject is:", fix, "subject", subject)
            continue
        if word.casefold() not in DECISIONS:
            wrong("unknown decision:", f"Write one of {', '.join(DECISIONS)}.", "decision", word)
        if not who:
            wrong("no reviewer", "Write who decided, or give --reviewer.", "reviewer", None)
        if word.casefold() == "move" and not target and suggested[n] != own[n]:
            target = suggested[n]
        # A sheet of version 0.1.0 has another hash; its column `current` tells the place seen.
        seen_hash = seen_hash.removeprefix(_HASH_MARK)
        same = current == _cell(resolution.tree.path_name(parents[n]))
        old = bool(seen_hash) and is_old_hash(seen_hash)
        read.append(
            Decision(
                subject=subjects[n],
                level=levels[n],
                decision=word.casefold(),
                target=target,
                reviewer=who,
                note=note,
                decided_at=decided_at,
                evidence_hash=seen_hash,
                seen=write_seen(Seen(proposed[n])) if old and same else "",
                written=target,
                when=when,
                file=str(path),
                row=line,
            )
        )
    checker = Checker(resolution.tree, rows, read)
    accepted: dict[tuple[str, str, str], Decision] = {}
    for decision in read:
        if checker.is_stale(decision):
            what = f"the evidence for {decision.subject} has changed since this sheet was written:"
            fix = "Decide it in the new sheet."
            stale.append(Problem(path, what, fix, decision.row, "row_id", decision.row_id))
            continue
        if not decision.reviewer or decision.decision not in DECISIONS:
            continue
        # A blank target means the place that the sheet shows, which is the row's present parent.
        checked = checker.check(decision._replace(seen=""))
        if isinstance(checked, Problem):
            problems.append(checked)
            continue
        n = at[clean_cell(checked.row_id)]
        seen = write_seen(seen_of(proposed[n], evidence[n]))
        checked = checked._replace(evidence_hash=hashes[n], seen=seen)
        first = accepted.setdefault((checked.row_id, checked.aspect, checked.reviewer), checked)
        if first.outcome != checked.outcome:
            what = f"contradicts row {first.row} ({first}) on {checked.row_id}:"
            fix = "Keep one of the two."
            problems.append(Problem(path, what, fix, checked.row, "decision", str(checked)))
    # Together a reviewer's decisions have to hold as well: no circle of merges, no name given
    # twice. Where reviewers differ it is a dispute, for `replay`.
    found = list(accepted.values())
    problems += without_conflicts(agreed(found)[0], checker.tree, checker.made)[2]
    if problems:
        raise InputError(sorted(problems, key=lambda p: (p.row or 0, p.column or "", p.what)))
    return Sheet(decisions_frame(found), stale)


def _members(
    rows: pd.DataFrame, items: pd.DataFrame, tree: LabelTree
) -> tuple[pd.Series, pd.Series]:
    """Items below each node, and the names of up to five of them, most confident first."""
    held = rows.loc[(rows.level == 1) & (rows.parent != ""), ["subject", "parent", "confidence"]]
    names = items.set_index("item_id").name
    held = held.assign(name=held.subject.map(names)).sort_values(
        ["confidence", "subject"], ascending=[False, True]
    )
    counts: dict[str, int] = dict(Counter(held.parent))
    some: dict[str, list[str]] = defaultdict(list)
    for node, name in held[held.groupby("parent").cumcount() < EXAMPLES][["parent", "name"]].values:
        some[node].append(name)
    examples: dict[str, list[str]] = {}
    for node in sorted(counts, key=lambda n: (-counts[n], n)):
        for step in tree.path(node):
            shown = examples.setdefault(step, [])
            shown += some[node][: EXAMPLES - len(shown)]
    text = {node: "; ".join(found) for node, found in examples.items()}
    return pd.Series(tree.items_below(counts), dtype="int64"), pd.Series(text, dtype=object)


def _cell(text: str) -> str:
    """A clean cell of at most what a spreadsheet holds; Excel puts the rest into the next row."""
    text = clean_cell(text)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
