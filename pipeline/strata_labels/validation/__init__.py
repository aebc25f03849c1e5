"""Validation: does a tree help retrieval, which of its edges, and where is it wrong?"""

from strata_labels.validation.compare import against_shuffled, compare_heads, compare_trees
from strata_labels.validation.doubts import Doubts, doubts_table, rank_doubts
from strata_labels.validation.inputs import FEWEST, Placed, read_tree, read_vectors, table_of
from strata_labels.validation.report import ITEMS, TRAINED, write_report

__all__ = [
    "FEWEST",
    "ITEMS",
    "TRAINED",
    "Doubts",
    "Placed",
    "against_shuffled",
    "compare_heads",
    "compare_trees",
    "doubts_table",
    "rank_doubts",
    "read_tree",
    "read_vectors",
    "table_of",
    "write_report",
]
