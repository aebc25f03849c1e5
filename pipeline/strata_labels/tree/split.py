"""A train and test split whose sides share no item."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from strata_labels.tree.label_tree import LabelTree

_SEED = 0


def split_items(tree: LabelTree, fractions: Mapping[str, float]) -> pd.Series:
    """Divides the items among splits, each level-1 node as near to the fractions as possible.

    In random order within its node, each item goes to the split that is furthest behind. Items
    whose label stops above level 1 are divided as if they had one node.

    Args:
        tree: the tree, items included.
        fractions: share of the items by split, such as `{"train": 0.5, "test": 0.5}`.

    Returns:
        The split of every item, by id; the same for the same tree.

    Raises:
        ValueError: fractions that are negative or do not add up to 1.
    """
    if min(fractions.values(), default=-1) < 0 or not math.isclose(sum(fractions.values()), 1):
        raise ValueError(f"fractions {dict(fractions)} are not shares of 1")
    stratum = {
        item: above if tree.level.get(above := tree.parent[item]) == 1 else ""
        for item in sorted(node for node, level in tree.level.items() if level == 0)
    }
    order = np.random.default_rng(_SEED).permutation(len(stratum))
    items = list(stratum)
    shuffled = [items[at] for at in order]
    names, shares = list(fractions), np.array(list(fractions.values()))
    given = np.zeros(len(names))
    found: dict[str, str] = {}
    for number, item in enumerate(sorted(shuffled, key=stratum.__getitem__), start=1):
        # Carried over from node to node, so that rounding does not add up.
        at = int(np.argmax(shares * number - given))
        given[at] += 1
        found[item] = names[at]
    return pd.Series(dict(sorted(found.items())), name="split", dtype=object)
