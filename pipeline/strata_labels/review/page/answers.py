"""Answers given on the page, as lines of the ledger and as sentences."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from strata_labels.errors import Problem
from strata_labels.review.decisions import Decision
from strata_labels.review.ledger import batch_decisions
from strata_labels.tables import DECISION_COLUMNS


def answer_text(decisions: list[Decision], named: str, target: str) -> str:
    """What was decided, on the thing that is named and others that were decided with it."""
    sentence = {
        "keep": f"Kept {named} under {target}" if target else f"Kept {named}",
        "move": f"Moved {named} to {target}",
        "merge": f"Merged {named} into {target}",
        "stop": f"Stopped {named} at {target}",
        "exclude": f"Excluded {named}",
        "same": f"{named} is {target} now",
        "unsure": f"Left {named} open, as unsure",
        "create": f"Created {decisions[0].new_name} below {named}",
        "split": f"Split {decisions[0].new_name} off {named}",
        "rename": f"Renamed {named} to {target}",
        "describe": f"Described {named}",
    }[decisions[0].decision]
    others = len(decisions) - 1
    return f"{sentence}, and {others} more" if others else sentence


def ledger_lines(decisions: list[Decision]) -> pd.DataFrame:
    """A ledger line for each answer: look-alikes may be kept at places of their own."""
    cells = {name: [str(getattr(d, name)) for d in decisions] for name in DECISION_COLUMNS}
    frame = pd.DataFrame(cells)
    if len(decisions) == 1:
        return frame
    same = frame.groupby(["level", "decision", "target"], sort=False)
    return pd.concat([batch_decisions(part) for _, part in same], ignore_index=True)


def as_decision(row: dict[Any, Any]) -> Decision:
    """A decision in force, for checking others against it."""
    cells = {key: "" if pd.isna(value) else value for key, value in row.items()}
    names = [name for name in DECISION_COLUMNS if name not in ("row_id", "level")]
    return Decision(
        **{name: str(cells[name]) for name in names},
        level=int(cells["level"]),
        written=str(cells["target"]),
        when=datetime.fromtimestamp(0, UTC),
        file="the ledger",
        row=int(cells["row"]) if cells.get("row") else None,
    )


def refusal(problem: Problem) -> str:
    """Why a decision cannot be, as a sentence, and what to do."""
    text = f"{problem.what} {problem.value}" if problem.value else problem.what.rstrip(":")
    return f"{text[:1].upper()}{text[1:]}. {problem.fix}"
