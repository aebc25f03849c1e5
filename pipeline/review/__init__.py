"""Review: the decision ledger, its replay on the proposals, and the sheet people decide in."""

from pipeline.review.doubts import with_doubts
from pipeline.review.known import ARROW, KnownNodes
from pipeline.review.ledger import DECISIONS, Ledger, append, read_ledger, time_after
from pipeline.review.replay import Resolution, replay
from pipeline.review.sheet import SHEET_COLUMNS, Sheet, read_sheet, write_sheet

__all__ = [
    "ARROW",
    "DECISIONS",
    "SHEET_COLUMNS",
    "KnownNodes",
    "Ledger",
    "Resolution",
    "Sheet",
    "append",
    "read_ledger",
    "read_sheet",
    "replay",
    "time_after",
    "with_doubts",
    "write_sheet",
]
