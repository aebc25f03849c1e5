"""Label trees: the one tree type, finding nodes, building from proposals, comparing, splitting."""

from strata_labels.tree.diff import diff
from strata_labels.tree.find import UNKNOWN_NODE, NodeFinder, fold
from strata_labels.tree.label_tree import LabelTree
from strata_labels.tree.split import split_items
from strata_labels.tree.tree_tables import NOT_PROPOSED, tree_of_assignments, tree_tables

__all__ = [
    "NOT_PROPOSED",
    "UNKNOWN_NODE",
    "LabelTree",
    "NodeFinder",
    "diff",
    "fold",
    "split_items",
    "tree_of_assignments",
    "tree_tables",
]
