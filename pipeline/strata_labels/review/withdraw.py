"""Takes back many decisions at once: all of one reviewer, or all of one sheet."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from strata_labels.errors import InputError, Problem
from strata_labels.people_csv import clean_cell
from strata_labels.review.decisions import active_decisions, parse_time, read_decisions
from strata_labels.review.ledger import read_ledger, withdrawal
from strata_labels.review.ledger_writer import LedgerWriter


def withdraw_reviewer(ledger: Path, reviewer: str) -> int:
    """Takes back what a reviewer has decided, as further lines of the ledger.

    Returns:
        How many decisions were active before.

    Raises:
        InputError: the ledger has no decision of that reviewer.
    """
    decisions = read_ledger(ledger).decisions
    name = clean_cell(reviewer)
    if name not in set(decisions.reviewer):
        fix = f"Write one of {', '.join(sorted(set(decisions.reviewer))) or 'nobody'}."
        problem = Problem("--undo-reviewer", "no decision by this reviewer:", fix, value=reviewer)
        raise InputError(problem)
    return _withdraw(ledger, decisions[decisions.reviewer == name])


def withdraw_sheet(ledger: Path, sheet_id: str) -> int:
    """Takes back the decisions that were added to the ledger at one time, as `apply` does.

    Returns:
        How many decisions were active before.

    Raises:
        InputError: the ledger has no decision of that time.
    """
    decisions = read_ledger(ledger).decisions
    time = parse_time(sheet_id.strip())
    own = decisions[[parse_time(text) == time for text in decisions.decided_at]]
    if time is None or own.empty:
        fix = "Write the time that `strata apply` printed; the ledger has it as decided_at."
        raise InputError(Problem("--undo-sheet", "no decision of this time:", fix, value=sheet_id))
    return _withdraw(ledger, decisions[decisions.subject.isin(own.subject)], sheet_id.strip())


def _withdraw(ledger: Path, decisions: pd.DataFrame, time: str = "") -> int:
    """Withdraws the active ones among decisions; of one time, if it is given."""
    when = parse_time(time) if time else None
    active = active_decisions(read_decisions(decisions)[0])[0]
    active = [decision for decision in active if when is None or decision.when == when]
    if active:
        taken = [(decision.reviewer, str(decision.level), decision.subject) for decision in active]
        LedgerWriter(ledger).record(withdrawal(taken, time))
    return len(active)
