"""A reviewer's answer: checked before it is recorded, and said as a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

from strata_labels.errors import InputError, Problem
from strata_labels.evidence import Seen, evidence_hash, write_seen
from strata_labels.people_csv import clean_cell
from strata_labels.review.apply import Resolution
from strata_labels.review.carry_over import made_nodes
from strata_labels.review.conflicts import find_conflicts
from strata_labels.review.decisions import Decision
from strata_labels.review.ledger import ledger_lines
from strata_labels.review.page.review import TRIED, Review
from strata_labels.review.tree_edits import EditCheck

#: What the page can decide; renaming and further words are for the sheet.
WORDS = ("keep", "move", "merge", "stop", "exclude", "unsure", "same")

#: Rows that one answer can be for, at most.
MOST_ROWS = 50


class Refused(Exception):
    """A decision that cannot be; the message says why and what to do."""


@dataclass(frozen=True)
class AnswerCheck:
    """What a reviewer may answer.

    Attributes:
        review: what is reviewed; its lock is held.
        reviewer: who decides.
        blind: whether suggestions and evidence are hidden.
    """

    review: Review
    reviewer: str
    blind: bool

    def request(self, rows: list[int], word: str) -> None:
        """Checks what is asked for, -1 in `rows` for one that is not known.

        Raises:
            Refused: too many rows, rows that are not decided together, or no word of the page.
        """
        if not 0 < len(rows) <= MOST_ROWS:
            raise Refused(f"An answer is for at most {MOST_ROWS} rows.")
        if len(rows) > 1 and not self.review.table.is_item[rows].all():
            raise Refused("Only items can be decided together.")
        if word not in WORDS:
            raise Refused(f"The page cannot decide {word!r}.")
        if word == "keep" and self.blind:
            raise Refused("Nothing is shown to keep: name a place.")

    def answer(self, n: int, word: str, target: str, note: str) -> Decision:
        """As `decision`, on row `n`."""
        table = self.review.table
        if self.blind and word == "move" and target in table.known.path(table.own[n]):
            target = table.own[n]  # the same place, as finely as it is known
        return self.decision(table.subject[n], table.level[n], word, target, note)

    def decision(self, subject: str, level: int, word: str, target: str, note: str) -> Decision:
        """The decision on an item or a node, with its target found.

        Raises:
            Refused: it cannot be.
        """
        table, clock = self.review.table, self.review.setup.clock
        n = table.at.get(f"{level}:{subject}")  # none of a node about which nothing is proposed
        decision = Decision(
            subject,
            level,
            word,
            target,
            self.reviewer,
            note=clean_cell(note),
            decided_at=clock() if clock else "",
            evidence_hash=evidence_hash(subject=subject) if n is None else table.hash[n],
            written=target,
            when=datetime.now(UTC),
            file=TRIED,
        )
        # A blank target means the place that the page shows, which is the row's present parent.
        checked = table.checker.check(decision)
        if isinstance(checked, Problem):
            raise Refused(refusal(checked))
        if level > 1 and (problem := EditCheck(table.resolution).problem(checked)):
            raise Refused(refusal(problem))
        saw = "" if n is None else write_seen(Seen(table.proposed[n], table.known_before[n]))
        return checked._replace(seen=saw)

    def beside_others(self, decisions: list[Decision]) -> None:
        """Checks an answer beside the decisions in force.

        Raises:
            Refused: merges go in a circle, or a place that is free again may have a new name.
        """
        if decisions[0].decision == "merge":
            tree, known = self.review.table.known, [*self.review.structure, *decisions]
            for group, problem in find_conflicts(known, tree, made_nodes(tree.level, known)):
                if any(decision in group for decision in decisions):
                    raise Refused(refusal(problem))
        if decisions[0].level > 1 and self.review.has_new_names:
            self.tried(ledger_lines(decisions))

    def tried(self, lines: pd.DataFrame) -> Resolution:
        """What the rows would be with further lines of the ledger, see `Review.tried`.

        Raises:
            Refused: they cannot be.
        """
        try:
            return self.review.tried(lines)
        except InputError as error:
            raise Refused(refusal(error.problems[0])) from None


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


def refusal(problem: Problem) -> str:
    """Why a decision cannot be, as a sentence, and what to do."""
    text = f"{problem.what} {problem.value}" if problem.value else problem.what.rstrip(":")
    return f"{text[:1].upper()}{text[1:]}. {problem.fix}"
