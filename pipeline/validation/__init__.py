"""Validation: does a tree help retrieval, which of its edges, and where is it wrong?"""

from pipeline.validation.compare import compare_heads, compare_trees
from pipeline.validation.doubts import Doubts, rank_doubts
from pipeline.validation.inputs import FEWEST, Placed, read_tree, read_vectors
from pipeline.validation.report import write_report

__all__ = [
    "FEWEST",
    "Doubts",
    "Placed",
    "compare_heads",
    "compare_trees",
    "rank_doubts",
    "read_tree",
    "read_vectors",
    "write_report",
]
