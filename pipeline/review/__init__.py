"""Review: the decision ledger, its replay on the proposals, and the sheet people decide in."""

from pipeline.review.history import HISTORY_COLUMNS, history, near
from pipeline.review.known import ARROW, KnownNodes
from pipeline.review.ledger import DECISIONS, Ledger, read_ledger, time_after
from pipeline.review.replay import Resolution, replay
from pipeline.review.sheet import SHEET_COLUMNS, Sheet, read_sheet, write_sheet
from pipeline.review.writer import LedgerChanged, LedgerWriter, append

__all__ = [
    "ARROW",
    "DECISIONS",
    "HISTORY_COLUMNS",
    "SHEET_COLUMNS",
    "KnownNodes",
    "Ledger",
    "LedgerChanged",
    "LedgerWriter",
    "Resolution",
    "Sheet",
    "append",
    "history",
    "near",
    "read_ledger",
    "read_sheet",
    "replay",
    "time_after",
    "write_sheet",
]
