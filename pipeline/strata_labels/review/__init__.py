"""Review: the decision ledger, its replay on the proposals, and the sheet people decide in."""

from strata_labels.review.agreement import (
    Agreement,
    agreement,
    agreement_lines,
    audit_sample,
    double_sample,
    error_rate,
)
from strata_labels.review.history import HISTORY_COLUMNS, history, near
from strata_labels.review.known import ARROW, KnownNodes
from strata_labels.review.ledger import DECISIONS, Ledger, read_ledger, time_after
from strata_labels.review.ranking import PAGE, pages, queue
from strata_labels.review.replay import Resolution, replay
from strata_labels.review.reviewed import audited, draw_audit, reviewed
from strata_labels.review.sheet import SHEET_COLUMNS, Sheet, neutralise, read_sheet, write_sheet
from strata_labels.review.together import join
from strata_labels.review.writer import LedgerChanged, LedgerWriter, append

__all__ = [
    "ARROW",
    "DECISIONS",
    "HISTORY_COLUMNS",
    "PAGE",
    "SHEET_COLUMNS",
    "Agreement",
    "KnownNodes",
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
    "double_sample",
    "draw_audit",
    "error_rate",
    "history",
    "join",
    "near",
    "neutralise",
    "pages",
    "queue",
    "read_ledger",
    "read_sheet",
    "replay",
    "reviewed",
    "time_after",
    "write_sheet",
]
