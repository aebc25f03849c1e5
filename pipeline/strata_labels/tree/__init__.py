"""Label trees: the one tree type, finding nodes, building from proposals, comparing, splitting."""

from strata_labels.tree.diff import diff
from strata_labels.tree.find import UNKNOWN_NODE, NodeFinder, name_key
from strata_labels.tree.label_tree import LabelTree
from strata_labels.tree.split import (
    ImageSplit,
    SplitPlan,
    as_train_and_test,
    divide,
    fold_shares,
    split_images,
)
from strata_labels.tree.tree_tables import NOT_PROPOSED, tree_of_assignments, tree_tables

__all__ = [
    "NOT_PROPOSED",
    "UNKNOWN_NODE",
    "ImageSplit",
    "LabelTree",
    "NodeFinder",
    "SplitPlan",
    "as_train_and_test",
    "diff",
    "divide",
    "fold_shares",
    "name_key",
    "split_images",
    "tree_of_assignments",
    "tree_tables",
]
