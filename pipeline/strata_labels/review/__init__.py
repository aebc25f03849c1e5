"""Review: the decision ledger, applying it to the proposals, and the sheet people decide in."""

from strata_labels.review.agreement import (
    Agreement,
    agreement,
    agreement_lines,
)
from strata_labels.review.apply import replay
from strata_labels.review.history import history, near, not_applied
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
    "agreement",
    "agreement_lines",
    "append",
    "audited",
    "change_lines",
    "check_before_build",
    "cut_decisions",
    "draw_audit",
    "history",
    "lock_of",
    "near",
    "not_applied",
    "read_ledger",
    "read_sheet",
    "replay",
    "reviewed",
    "time_after",
    "tree_change",
    "undisputed",
    "withdraw_reviewer",
    "withdraw_sheet",
    "write_sheet",
]
