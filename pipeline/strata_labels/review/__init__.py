"""Review: the decision ledger, applying it to the proposals, and the sheet people decide in."""

from strata_labels.review.agreement import (
    Agreement,
    agreement,
    agreement_lines,
    audit_sample,
    double_sample,
    error_rate,
)
from strata_labels.review.apply import Resolution, replay
from strata_labels.review.history import history, near
from strata_labels.review.ledger import (
    Ledger,
    batch_decisions,
    cut_decisions,
    lock_of,
    read_ledger,
    time_after,
)
from strata_labels.review.ledger_writer import LedgerChanged, LedgerWriter, append
from strata_labels.review.ranking import PAGE, pages, queue
from strata_labels.review.reviewed import audited, draw_audit, reviewed
from strata_labels.review.sheet import SHEET_COLUMNS, Sheet, neutralise, read_sheet, write_sheet
from strata_labels.review.validate import check_before_build, undisputed

__all__ = [
    "PAGE",
    "SHEET_COLUMNS",
    "Agreement",
    "Ledger",
    "LedgerChanged",
    "LedgerWriter",
    "Resolution",
    "Sheet",
    "agreement",
    "agreement_lines",
    "append",
    "audit_sample",
    "audited",
    "batch_decisions",
    "check_before_build",
    "cut_decisions",
    "double_sample",
    "draw_audit",
    "error_rate",
    "history",
    "lock_of",
    "near",
    "neutralise",
    "pages",
    "queue",
    "read_ledger",
    "read_sheet",
    "replay",
    "reviewed",
    "time_after",
    "undisputed",
    "write_sheet",
]
