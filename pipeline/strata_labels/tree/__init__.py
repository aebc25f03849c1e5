"""The label tree: built from proposals and decisions, checked, cut, reshaped, compared, split."""

from strata_labels.tree.build import LABELLED, build_tree
from strata_labels.tree.compare import Agreement, agreement, distance, lowest_common_ancestor
from strata_labels.tree.diff import TreeDiff, diff
from strata_labels.tree.label_tree import LabelTree, node_problems
from strata_labels.tree.reshape import keep_nodes_with_images, merge_small, prune_chains
from strata_labels.tree.split import split_classes

__all__ = [
    "LABELLED",
    "Agreement",
    "LabelTree",
    "TreeDiff",
    "agreement",
    "build_tree",
    "diff",
    "distance",
    "keep_nodes_with_images",
    "lowest_common_ancestor",
    "merge_small",
    "node_problems",
    "prune_chains",
    "split_classes",
]
