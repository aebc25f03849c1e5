"""Label trees: the one tree type, finding nodes, building from proposals, comparing, splitting."""

from strata_labels.tree.build import build_tree, tree_of_assignments
from strata_labels.tree.diff import diff
from strata_labels.tree.find import NodeFinder, fold
from strata_labels.tree.label_tree import LabelTree
from strata_labels.tree.split import split_items

__all__ = [
    "LabelTree",
    "NodeFinder",
    "build_tree",
    "diff",
    "fold",
    "split_items",
    "tree_of_assignments",
]
