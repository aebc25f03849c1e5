"""Review: the decision ledger, applying it to the proposals, and the sheet people decide in."""

from strata_labels.review.agreement import (
    Agreement,
    agreement_lines,
    compare_reviewers,
)
from strata_labels.review.apply import replay
from strata_labels.review.history import history, not_applied, similar_ids
from strata_labels.review.ledger import (
    Ledger,
    cut_decisions,
    lock_of,
    read_ledger,
    time_after,
)
from strata_labels.review.ledger_writer import LedgerWriter, append
from strata_labels.review.look_alikes import GROUP_SIZE
from strata_labels.review.reviewed import audited, draw_audit, reviewed
from strata_labels.review.sheet import write_sheet
from strata_labels.review.sheet_reader import Sheet, read_sheet
from strata_labels.review.tree_edits import change_lines, tree_change
from strata_labels.review.validate import check_before_build, undisputed
from strata_labels.review.withdraw import withdraw_reviewer, withdraw_sheet

__all__ = [
    "GROUP_SIZE",
    "Agreement",
    "Ledger",
    "LedgerWriter",
    "Sheet",
    "agreement_lines",
    "append",
    "audited",
    "change_lines",
    "check_before_build",
    "compare_reviewers",
    "cut_decisions",
    "draw_audit",
    "history",
    "lock_of",
    "not_applied",
    "read_ledger",
    "read_sheet",
    "replay",
    "reviewed",
    "similar_ids",
    "time_after",
    "tree_change",
    "undisputed",
    "withdraw_reviewer",
    "withdraw_sheet",
    "write_sheet",
]
