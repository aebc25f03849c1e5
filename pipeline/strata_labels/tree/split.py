"""Splits that share no class."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from strata_labels.tree.label_tree import LabelTree


def split_classes(
    tree: LabelTree,
    fractions: Mapping[str, float],
    classes: int = 0,
    strata: int | None = None,
    seed: int = 0,
) -> pd.Series:
    """Divides classes among splits, stratum by stratum, so that no class is in two.

    Each stratum is divided as near to the fractions as whole classes allow, and so is the whole:
    in random order within the stratum, each class goes to the split that is furthest behind.

    Args:
        tree: the tree.
        fractions: share of the classes by split, such as `{"train": 0.5, "test": 0.5}`.
        classes: level whose nodes are the classes; 0 for the items (landmarks, products, species).
        strata: level whose nodes are divided alike; the next above the classes if None. A class
            without a node there is in a stratum of its like.
        seed: another seed, another division; the same seed, the same, in whatever order nodes come.

    Returns:
        The split of every item, by id. Items without a node of level `classes` are left out.

    Raises:
        ValueError: fractions that are negative or do not add up to 1, levels that are not the
            tree's or not in this order.
    """
    strata = classes + 1 if strata is None else strata
    if min(fractions.values(), default=-1) < 0 or not math.isclose(sum(fractions.values()), 1):
        raise ValueError(f"fractions {dict(fractions)} are not shares of 1")
    if classes not in tree.levels or strata <= classes:
        raise ValueError(f"classes {classes}, strata {strata} of a tree that has {tree.levels}")
    level = dict(tree.graph.nodes(data="level"))
    stratum: dict[str, str] = {}
    for node in sorted(node for node, own in level.items() if own == classes):
        above = (up for up in tree.ancestors(node) if level[up] == strata)
        stratum[node] = next(above, "")
    order = np.random.default_rng(seed).permutation(len(stratum))
    shuffled = [list(stratum)[at] for at in order]
    names, shares = list(fractions), np.array(list(fractions.values()))
    given = np.zeros(len(names))
    chosen: dict[str, str] = {}
    for number, node in enumerate(sorted(shuffled, key=stratum.__getitem__), start=1):
        # Carried over from stratum to stratum, so that rounding does not add up.
        at = int(np.argmax(shares * number - given))
        given[at] += 1
        chosen[node] = names[at]
    found = {}
    for item in sorted(node for node, own in level.items() if own == 0):
        own_class = next((node for node in tree.path(item) if node in chosen), None)
        if own_class is not None:
            found[item] = chosen[own_class]
    return pd.Series(found, name="split", dtype=object)
