"""Decisions: reading them from a ledger's rows, and the rule for which are active."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

import pandas as pd

from strata_labels.errors import Problem
from strata_labels.evidence import Evidence, Seen
from strata_labels.evidence_text import evidence_text
from strata_labels.tables import DECISION_COLUMNS

#: What a reviewer can decide; `replay` says what each means.
DECISIONS = (
    "keep",
    "move",
    "merge",
    "split",
    "create",
    "rename",
    "describe",
    "stop",
    "exclude",
    "unsure",
    "same",
    "withdraw",
)

#: Says of a node that is not in the tree any more which node takes its place.
SAME = "same"

#: Decisions that make a node: beside the subject, or below it.
MAKES_NODE = ("split", "create")

#: Decisions that are on nodes only, and on a node's own row.
ONLY_NODES = ("merge", "split", "create", "rename", "describe")

#: What has an effect on a word for a missing label: it has no place of its own.
OF_PLACEHOLDERS = ("keep", "merge", "exclude", "unsure")

#: Takes back what the same reviewer decided on the subject: at the time that is the target, or all
#: before it if that is blank.
WITHDRAW = "withdraw"

_ASPECTS = {"rename": "name", "describe": "text", SAME: "node"}
_FIRST_YEAR, _LAST_YEAR = 1970, 2999
_LEVEL_DIGITS = 3

#: Where a decision was read: its file, and its 1-based line there.
PLACE_COLUMNS = ["file", "row"]


class Decision(NamedTuple):
    """One decision that was read and understood.

    Attributes:
        target: a node id; the new name for `rename`, the text for `describe`; the new node's name
            and its members for `split` and `create`, see `join_members`; "" if none is needed.
        seen: what its reviewer saw, as `strata_labels.evidence.write_seen` writes it.
        written: the target as written, for messages.
        when: `decided_at` as a time; 1970 where that does not matter.
        file, row: where it was read.
    """

    subject: str
    level: int
    decision: str
    target: str
    reviewer: str
    note: str = ""
    decided_at: str = ""
    evidence_hash: str = ""
    seen: str = ""
    written: str = ""
    when: datetime = datetime.fromtimestamp(0, UTC)
    file: str = ""
    row: int | None = None

    @property
    def row_id(self) -> str:
        return f"{self.level}:{self.subject}"

    @property
    def aspect(self) -> str:
        """What it is about: a node's place, its name, its text, which node it is, each new node."""
        if self.decision in MAKES_NODE:
            return f"{self.decision} {_slug(self.new_name)}"
        return _ASPECTS.get(self.decision, "place")

    @property
    def new_name(self) -> str:
        """The name of the node that it makes."""
        return self.target.split("|")[0].strip()

    @property
    def made(self) -> str:
        """The id of the node that it makes, "" if it makes none.

        Of a `split` the subject's id, and the new name after a dot: `2/church.dome`; of a `create`
        one level down, and the name after a slash: `1/church/dome`. The same decision gives the
        same id whenever and wherever it is replayed.
        """
        name = _slug(self.new_name)
        if self.decision not in MAKES_NODE or not name:
            return ""
        if self.decision == "split":
            return f"{self.subject}.{name}"
        return f"{self.level - 2}/{self.subject.split('/', 1)[-1]}/{name}"

    @property
    def members(self) -> list[str]:
        """What it puts below the node it makes."""
        return split_members(self.target)[1:] if self.decision in MAKES_NODE else []

    @property
    def outcome(self) -> tuple[str, str]:
        """The effect: a `keep` that names what it keeps is a move there."""
        return ("move" if self.decision == "keep" and self.target else self.decision), self.target

    def takes_back(self, other: Decision) -> bool:
        """Whether this withdrawal takes back another decision of its reviewer on its subject."""
        time = parse_time(self.target)
        return other.when == time if time else other.when < self.when

    def problem(self, what: str, fix: str, column: str, value: object = None) -> Problem:
        """What is wrong with it, at the place where it was read."""
        return Problem(self.file, what, fix, self.row, column, value)

    def __str__(self) -> str:
        target = f" {self.written}" if self.written else ""
        return f"{self.reviewer}: {self.decision}{target}"


# A bar in a member; one that was written so already gets a sign more.
_BAR = re.compile("%((?:25)*)7C")


def join_members(name: str, members: Iterable[str]) -> str:
    """The target of a decision that makes a node: `name|member|member`, a bar in a member as `%7C`.

    Example:
        >>> join_members("inns", ["1/pub|bar", "1/hotel"])
        'inns|1/pub%7Cbar|1/hotel'
        >>> split_members("inns|1/pub%7Cbar|1/hotel")
        ['inns', '1/pub|bar', '1/hotel']
    """
    written = (_BAR.sub(r"%25\g<1>7C", member).replace("|", "%7C") for member in members)
    return "|".join([name, *written])


def split_members(target: str) -> list[str]:
    """The name and the members that `join_members` was given."""
    name, *members = target.split("|")
    read = (_BAR.sub(lambda bar: f"%{bar[1][2:]}7C" if bar[1] else "|", one) for one in members)
    return [name, *read]


def order(decision: Decision) -> tuple[str, str, datetime, str, str, str, str, int]:
    """A key that sorts decisions for output; it does not say which are active."""
    d = decision
    return d.subject, d.aspect, d.when, d.reviewer, d.decision, d.written, d.file, d.row or 0


def decisions_frame(decisions: Iterable[Decision]) -> pd.DataFrame:
    """`DECISION_COLUMNS` and `PLACE_COLUMNS`, a row per decision."""
    columns, decisions = [*DECISION_COLUMNS, *PLACE_COLUMNS], list(decisions)
    if not decisions:  # a replay asks for four such tables
        return pd.DataFrame(columns=columns, dtype=object)
    cells: dict[str, Any] = {name: [getattr(d, name) for d in decisions] for name in columns}
    # Whole numbers, also beside a frame without rows or without a place: else 2 becomes 2.0.
    cells["row"] = pd.Series(cells["row"], dtype=object)
    return pd.DataFrame(cells, columns=columns)


# --- which are active ----------------------------------------------------------------------


def overridden(decisions: Sequence[Decision]) -> list[Decision | None]:
    """What overrides each decision: a withdrawal, a later decision, or None if it is active.

    This is the only rule of withdrawal and supersession:

    - a withdrawal takes back the decisions of the time it names, or all before it;
    - of what is left, the latest on each aspect is active; several of one moment all are.

    Args:
        decisions: of one reviewer on one subject, in any order.

    Returns:
        One for each; for a withdrawal itself.
    """
    withdrawals = [d for d in decisions if d.decision == WITHDRAW]
    by: list[Decision | None] = []
    kept: dict[str, list[Decision]] = defaultdict(list)
    for decision in decisions:
        if decision.decision == WITHDRAW:
            by.append(decision)
            continue
        taking = [w for w in withdrawals if w.takes_back(decision)]
        by.append(min(taking, key=lambda w: w.when) if taking else None)
        if not taking:
            kept[decision.aspect].append(decision)
    for group in kept.values():
        group.sort(key=lambda d: d.when)
    times = {aspect: [d.when for d in group] for aspect, group in kept.items()}
    for n, decision in enumerate(decisions):
        if by[n] is None:
            aspect = decision.aspect
            later = bisect_right(times[aspect], decision.when)
            by[n] = kept[aspect][later] if later < len(kept[aspect]) else None
    return by


def active_decisions(decisions: Iterable[Decision]) -> tuple[list[Decision], list[Problem]]:
    """The decisions that are active (see `overridden`), and the withdrawals of nothing.

    The order of the decisions does not matter. A decision that a merge of ledgers has doubled is
    returned once.
    """
    groups: dict[tuple[str, str], list[Decision]] = defaultdict(list)
    for decision in decisions:
        groups[decision.subject, decision.reviewer].append(decision)
    active: list[Decision] = []
    problems = []
    for key in sorted(groups):
        group = groups[key]
        if len(group) == 1 and group[0].decision != WITHDRAW:
            active += group
            continue
        group.sort(key=order)
        single: dict[tuple[str, str, str], Decision] = {}
        for decision, by in zip(group, overridden(group), strict=True):
            if by is None:
                single.setdefault((decision.aspect, decision.decision, decision.written), decision)
        active += single.values()
        for withdrawal in group:
            others = (d for d in group if d.decision != WITHDRAW)
            if withdrawal.decision == WITHDRAW and not any(map(withdrawal.takes_back, others)):
                what = f"nothing of {withdrawal.reviewer}'s to take back on {withdrawal.row_id}"
                fix = "Name the decided_at of that reviewer's decision, or remove this row."
                problems.append(withdrawal.problem(what, fix, "target", withdrawal.target or None))
    return active, problems


# --- reading -------------------------------------------------------------------------------


class _Row(NamedTuple):
    """A row of a ledger as text; a missing cell is ""."""

    row_id: str
    subject: str
    level: str
    decision: str
    target: str
    reviewer: str
    note: str
    decided_at: str
    evidence_hash: str
    seen: str
    file: str
    row: str


def read_decisions(decisions: pd.DataFrame) -> tuple[list[Decision], list[Problem]]:
    """Reads the rows of a ledger; a row with a problem is left out, and the problem returned.

    Args:
        decisions: `Ledger.decisions`; all but `subject, level, decision, target, reviewer,
            decided_at` may be absent.
    """
    if decisions.empty:
        return [], []
    blank = [""] * len(decisions)
    columns = {
        name: texts(decisions[name]) if name in decisions else blank for name in _Row._fields
    }
    words = {text: text.casefold() for text in set(columns["decision"])}
    times = parse_times(columns["decided_at"])
    read: list[Decision] = []
    problems: list[Problem] = []
    rows = map(_Row._make, zip(*columns.values(), strict=True))
    for row, when in zip(rows, times, strict=True):
        word, subject, level = words[row.decision], row.subject, row.level
        if not subject and ":" in row.row_id:
            level, subject = row.row_id.split(":", 1)
        wrong = _problems(row, word, subject, level, when is None)
        if wrong or when is None:
            problems += wrong
            continue
        decision = Decision(
            subject=subject,
            level=int(level),
            decision=word,
            target=row.target,
            reviewer=row.reviewer,
            note=row.note,
            decided_at=row.decided_at,
            evidence_hash=row.evidence_hash,
            seen=row.seen,
            written=row.target,
            when=when,
            file=row.file or "decisions",
            row=int(row.row) if row.row else None,
        )
        read.append(decision)
    return read, problems


def texts(column: pd.Series) -> list[str]:
    """The cells of a column as text, missing ones blank."""
    cells = column.tolist()
    if all(type(cell) is str for cell in cells):
        return cells
    return ["" if pd.isna(cell) else str(cell) for cell in cells]


def _problems(row: _Row, word: str, subject: str, level: str, no_time: bool) -> list[Problem]:
    found: list[tuple[str, str, str]] = []
    if word not in DECISIONS:
        found.append(("unknown decision:", f"Write one of {', '.join(DECISIONS)}.", "decision"))
    if not row.reviewer:
        found.append(("no reviewer", "Write who decided.", "reviewer"))
    if no_time:
        found.append(("not a time:", "Write a time such as 2026-01-31T12:00:00Z.", "decided_at"))
    if word == WITHDRAW and row.target and parse_time(row.target) is None:
        fix = "Write the decided_at of the decision to take back, or leave it blank."
        found.append(("not a time:", fix, "target"))
    if not subject:
        found.append(("no subject", "Name an item or a node.", "subject"))
    elif not level.isdecimal() or len(level) > _LEVEL_DIGITS:
        found.append(("not a level:", "Write a whole number.", "level"))
    elif row.row_id and row.row_id != f"{int(level)}:{subject}":
        fix = f"Write {int(level)}:{subject}, or correct subject and level."
        found.append(("does not match subject and level:", fix, "row_id"))
    if not found:
        return []
    where, line = row.file or "decisions", int(row.row) if row.row else None
    return [
        Problem(where, what, fix, line, column, getattr(row, column)) for what, fix, column in found
    ]


def parse_time(text: str) -> datetime | None:
    """An ISO time, UTC unless it says otherwise; None if it is none.

    Nobody decided before 1970 or decides after 2999: such a time would outdo all later decisions.
    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    if not _FIRST_YEAR <= when.year <= _LAST_YEAR:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def parse_times(written: Sequence[str]) -> list[datetime | None]:
    """`parse_time` of each; a ledger repeats many."""
    found = {text: parse_time(text) for text in dict.fromkeys(written)}
    return [found[text] for text in written]


def time_text(latest: datetime | None, now: datetime) -> str:
    """`now` in UTC to the millisecond, or the millisecond after `latest` if that is not later."""
    when = now.replace(microsecond=now.microsecond // 1000 * 1000)
    if latest is not None and latest >= when:
        when = latest + timedelta(milliseconds=1)
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _slug(name: str) -> str:
    return "-".join(re.findall(r"\w+", name.casefold()))


# --- what a reviewer said, and saw ----------------------------------------------------------


def as_evidence(
    decision: Decision, nodes: Container[str], kind: Literal["decision", "stale_decision"]
) -> Evidence:
    """A decision that is not applied, as it is shown beside the other evidence."""
    when = decision.decided_at or decision.when.isoformat()
    written = (decision.written,) if decision.written else ()
    target = decision.target if decision.target in nodes else ""
    ids = (decision.decision, when, *written)
    return Evidence(kind, target, text=decision.reviewer, ids=ids)


def what_changed(seen: Seen | None, now: Seen, names: Mapping[str, str]) -> str:
    """What has changed between the evidence a reviewer saw and that of now, for people.

    Args:
        seen: what was seen; None if the ledger does not say. A ledger of version 0.1.0 says the
            place only.
        now: the row as it is.
        names: of nodes.
    """
    if seen is None:
        return "the ledger does not say what was seen"
    if seen.place != now.place:
        places = (names.get(place, place) or "nothing" for place in (seen.place, now.place))
        return "it was proposed under {} then and under {} now".format(*places)
    parts = [
        f"{word}: {' '.join(evidence_text(pieces, names))}"
        for word, pieces in (
            ("no longer", [piece for piece in seen.evidence if piece not in now.evidence]),
            ("now", [piece for piece in now.evidence if piece not in seen.evidence]),
        )
        if pieces and seen.evidence
    ]
    return " / ".join(parts) or "its name, classes or images; the evidence is the same"
