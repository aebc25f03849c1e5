"""Validation: does a tree help retrieval, which of its edges, and where is it wrong?"""

from pipeline.validation.doubts import Doubts, rank_doubts

__all__ = ["Doubts", "rank_doubts"]
