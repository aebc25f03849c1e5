"""Tests a tree by retrieval: report of a training, comparison of two trees, doubts for review."""

from strata_labels.validation.item_paths import (
    FEWEST,
    ItemPaths,
    read_item_table,
    read_tree,
    read_vectors,
)
from strata_labels.validation.report import ITEMS, TRAINED, write_report
from strata_labels.validation.retrieval_doubts import doubts_table
from strata_labels.validation.tree_comparison import against_shuffled, compare_heads, compare_trees

__all__ = [
    "FEWEST",
    "ITEMS",
    "TRAINED",
    "ItemPaths",
    "against_shuffled",
    "compare_heads",
    "compare_trees",
    "doubts_table",
    "read_item_table",
    "read_tree",
    "read_vectors",
    "write_report",
]
