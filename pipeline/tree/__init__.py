"""The label tree: built from proposals and decisions, checked, cut to levels, compared."""

from pipeline.tree.build import LABELLED, build_tree
from pipeline.tree.diff import TreeDiff, diff
from pipeline.tree.label_tree import LabelTree, node_problems

__all__ = ["LABELLED", "LabelTree", "TreeDiff", "build_tree", "diff", "node_problems"]
