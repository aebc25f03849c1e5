"""Review: the decision ledger, its replay on the proposals, and the sheet people decide in."""

from pipeline.review.agreement import (
    Agreement,
    agreement,
    agreement_lines,
    audit_sample,
    double_sample,
    error_rate,
)
from pipeline.review.known import ARROW, KnownNodes
from pipeline.review.ledger import DECISIONS, Ledger, append, read_ledger, time_after
from pipeline.review.ranking import PAGE, pages, queue
from pipeline.review.replay import Resolution, replay
from pipeline.review.sheet import SHEET_COLUMNS, Sheet, read_sheet, write_sheet
from pipeline.review.together import join

__all__ = [
    "ARROW",
    "DECISIONS",
    "PAGE",
    "SHEET_COLUMNS",
    "Agreement",
    "KnownNodes",
    "Ledger",
    "Resolution",
    "Sheet",
    "agreement",
    "agreement_lines",
    "append",
    "audit_sample",
    "double_sample",
    "error_rate",
    "join",
    "pages",
    "queue",
    "read_ledger",
    "read_sheet",
    "replay",
    "time_after",
    "write_sheet",
]
